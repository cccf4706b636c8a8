"""Removes what interrupted builds left, and finishes an interrupted publication."""

import itertools
import shutil

from curation.errors import CurationError, ErrorCode
from curation.storage.atomic_files import sweep_leftovers
from curation.storage.fsync import BUILD, DRAFT, GONE
from curation.versions.commit import write_split, write_texts
from curation.versions.drafts import drop_draft
from curation.versions.locks import Lock
from curation.versions.problems import Problem, ProblemCode, list_problems
from curation.versions.store import open_folder, wrong_folder
from curation.versions.verify import check_folder
from curation.versions.version_index import VersionLine, published, read_chosen


def recover(held: Lock) -> tuple[str, ...]:
    """Remove what interrupted builds left, and finish an interrupted publication.

    Returns
    -------
    tuple of str
        What was done.

    Raises
    ------
    CurationError
        Where a folder ``v<n>`` is not the version of line n, or one without a line does not verify.
    """
    home, name = held.home, held.name
    done = _remove_leftovers(held)
    lines = published(home, name)
    for line in lines:
        folder = home.build(name, line.version)
        if not folder.exists():
            continue
        version = open_folder(folder)
        if version.digest != line.digest:
            raise wrong_folder(version, line)
        if not home.split(name, line.version).exists():
            write_split(held, version)
            read_chosen(home, name, line)
            done.append(f"v{line.version}.csv was missing and has been written again")
    for number in itertools.count(len(lines) + 1):
        if not home.build(name, number).exists():
            break
        line = _finish(held, number)
        done.append(
            f"v{line.version} ({line.digest[:12]}) was built but not yet in versions.jsonl: it is published now"
        )
    return tuple(done)


def _finish(held: Lock, number: int) -> VersionLine:
    folder = held.home.build(held.name, number)
    hint = f"Move it away or delete it, then build again (v{number} is free then)."
    version = open_folder(folder)
    problems = list(check_folder(folder).problems)
    if (version.name, version.number) != (held.name, number):
        problems.append(Problem.at(ProblemCode.LINE_DIFFERS, "version.json", f"it is {version.name}@v{version.number}"))
    if any(line.digest == version.digest for line in published(held.home, held.name)):
        text = f"the digest {version.digest[:12]} is published under another number"
        problems.append(Problem.at(ProblemCode.LINE_DIFFERS, "version.json", text))
    if problems:
        raise CurationError(
            ErrorCode.VERSION_DAMAGED,
            "\n".join(
                [f"{folder}: versions.jsonl has no line for it, and it does not verify", *list_problems(problems)]
            ),
            hint=hint,
        )
    drop_draft(held)
    return write_texts(held, version)


def _remove_leftovers(held: Lock) -> list[str]:
    """Remove what has a temporary name. Only a holder of the lock makes such names, so all are leftovers."""
    home, name, done = held.home, held.name, []
    builds = home.builds(name)
    for folder in sorted(builds.glob(f"{DRAFT}*")):
        if (folder / "draft.json").exists() and not home.draft(name).exists():
            folder.rename(home.draft(name))
            done.append("moved the draft of the last failed build to its place")
    for folder in sorted(path for prefix in (BUILD, DRAFT, GONE) for path in builds.glob(f"{prefix}*")):
        shutil.rmtree(folder)
        if folder.name.startswith(BUILD):
            done.append(f"removed {folder.name}, left by an interrupted build")
    halves = sweep_leftovers(home.dataset(name), name="versions.jsonl")
    halves += sweep_leftovers(home.split(name, 1).parent, name="v*.csv")
    done += [f"removed {part.name}, an incomplete file" for part in halves]
    return done

"""Frees disk space of what can be made again: first the plan, with the bytes it would free, then its execution."""

import datetime
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from curation.dataset.layout import Home
from curation.errors import CurationError, ErrorCode
from curation.storage.cache import Cache
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.folders import list_files
from curation.storage.fsync import BUILD, DRAFT, GONE, remove_tree
from curation.versions.locks import find_holder, locked
from curation.versions.store import restore_command
from curation.versions.version_index import published, read_chosen

Kind = Literal["build", "draft", "leftover", "cache"]


@dataclass(frozen=True)
class CachePart:
    """A file or folder of the cache that may be removed, as the caller chose it."""

    path: Path
    size_bytes: int
    kind: str
    last_used: str


@dataclass(frozen=True)
class Target:
    """One thing that would be removed.

    Parameters
    ----------
    kind : str
    name : str
        The dataset; empty for the cache.
    path : pathlib.Path
    size_bytes : int
        What its removal frees once those before it in the plan are removed: a file with several links counts with the
        last.
    why : str
    """

    kind: Kind
    name: str
    path: Path
    size_bytes: int
    why: str


@dataclass(frozen=True)
class GcPlan:
    """What ``carry_out`` would remove, in this order."""

    home: Home
    targets: tuple[Target, ...]
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """What would be free afterwards, in bytes."""
        return sum(target.size_bytes for target in self.targets)

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        targets = [{**vars(target), "path": str(target.path)} for target in self.targets]
        return {"size_bytes": self.size_bytes, "targets": targets, "notes": list(self.notes)}

    def __str__(self) -> str:
        """Return the plan as lines of text."""
        lines = [f"{target.path}: {target.size_bytes:,} bytes ({target.why})" for target in self.targets]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, f"{self.size_bytes:,} bytes in all"])


@dataclass(frozen=True)
class Freed:
    """The plan, and what was removed of it: nothing where it was not confirmed."""

    plan: GcPlan
    removed: tuple[Target, ...]


def free_space(
    home: Home,
    name: str | None = None,
    *,
    keep: int,
    confirm: Callable[[GcPlan], bool],
    cache: Cache | None = None,
    unused_days: int | None = None,
) -> Freed:
    """Remove what can be made again, once a plan of it is confirmed.

    Parameters
    ----------
    home : Home
    name, keep
        As of ``plan_gc``.
    confirm : callable
        Gets the plan, also an empty one; nothing is removed unless it returns True.
    cache : Cache, optional
        Also remove its files that were not used for ``unused_days``.
    unused_days : int, optional

    Raises
    ------
    CurationError
        As ``plan_gc`` and ``carry_out``.
    """
    parts = _find_unused(cache, unused_days) if cache is not None and unused_days is not None else ()
    plan = plan_gc(home, name, keep=keep, cache=parts)
    return Freed(plan, carry_out(plan) if confirm(plan) else ())


def _find_unused(cache: Cache, days: int) -> tuple[CachePart, ...]:
    limit = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=days)
    found = []
    for cached in cache.usage():
        used = datetime.datetime.fromtimestamp(cached.last_used, datetime.UTC)
        if used <= limit:
            found.append(CachePart(cached.path, cached.size_bytes, cached.kind, f"{used:%Y-%m-%d}"))
    return tuple(found)


def plan_gc(home: Home, name: str | None = None, *, keep: int, cache: Sequence[CachePart] = ()) -> GcPlan:
    """Return what would be freed; nothing is removed.

    Parameters
    ----------
    name : str, optional
        One dataset; all of them, where it is not given.
    keep : int
        How many of a dataset's newest built versions stay. Only the files of the others are removed: line and split
        stay in git, and the files can be made again from them.
    cache : sequence of CachePart
        What would be removed from the cache.
    """
    if keep < 0:
        raise CurationError(
            ErrorCode.OPTION_INVALID, f"keep {keep}: not a number of versions", hint="0 keeps none, 1 the newest."
        )
    names = (home.check_name(name),) if name else home.names()
    targets: list[Target] = []
    notes: list[str] = []
    for each in names:
        found, remarks = _find_targets(home, each, keep=keep)
        targets += found
        notes += remarks
    targets += [
        Target("cache", "", part.path, part.size_bytes, f"{part.kind}, last used {part.last_used}") for part in cache
    ]
    return GcPlan(home, tuple(_measure(targets)), tuple(notes))


def _find_targets(home: Home, name: str, *, keep: int) -> tuple[list[Target], list[str]]:
    builds = home.builds(name)
    if not builds.is_dir():
        return [], []
    targets, notes = [], []
    built = [line for line in published(home, name) if home.build(name, line.version).is_dir()]
    for line in built[: len(built) - keep]:
        folder = home.build(name, line.version)
        try:
            read_chosen(home, name, line)
        except CurationError as fault:
            notes.append(f"{folder} stays: it could not be made again ({fault.message})")
            continue
        targets.append(
            Target(
                "build",
                name,
                folder,
                0,
                f"`{restore_command(name, line.version)}` makes it again while its sources are unchanged",
            )
        )
    if home.draft(name).is_dir():
        targets.append(Target("draft", name, home.draft(name), 0, "left by a failed build"))
    holder = find_holder(home, name)
    if holder:
        notes.append(f"a build of {name} is running ({holder}); its temporary folder stays")
    leftovers = [] if holder else [path for prefix in (BUILD, DRAFT, GONE) for path in builds.glob(f"{prefix}*")]
    targets += [Target("leftover", name, path, 0, "left by a build that was interrupted") for path in sorted(leftovers)]
    return targets, notes


def _measure(targets: Iterable[Target]) -> Iterator[Target]:
    """Give each target the bytes that are free once it and those before it are gone."""
    links: Counter[tuple[int, int]] = Counter()
    for target in targets:
        if target.kind == "cache":
            yield target
            continue
        size = 0
        for file in list_files(target.path):
            state = (target.path / file).lstat()
            links[state.st_dev, state.st_ino] += 1
            if links[state.st_dev, state.st_ino] == state.st_nlink:
                size += state.st_size
        yield replace(target, size_bytes=size)


def carry_out(plan: GcPlan, *, on_wait: Callable[[str], None] | None = None) -> tuple[Target, ...]:
    """Remove what the plan names, each dataset's under its lock; return what was there to remove.

    A crash leaves each folder whole, or under a name that the next ``recover`` removes.

    Raises
    ------
    CurationError
        Where something may not be removed.
    """
    done = []
    for name in sorted({target.name for target in plan.targets}):
        targets = [target for target in plan.targets if target.name == name]
        where = plan.home.builds(name) if name else targets[0].path.parent
        with explain_disk_faults(f"{where}: could not be freed", within=where):
            if not name:
                done += [target for target in targets if _remove_cached(target.path)]
                continue
            with locked(plan.home, name, on_wait=on_wait):
                done += [target for target in targets if _remove_built(target.path)]
    return tuple(done)


def _remove_built(path: Path) -> bool:
    if not path.is_dir():
        return False
    remove_tree(path)
    return True


def _remove_cached(path: Path) -> bool:
    if not os.path.lexists(path):
        return False
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
    return True

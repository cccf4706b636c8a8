"""Removes images on request: first the list of everything that holds them, then its execution.

What cannot be removed here is named: files in a user's own folders, and what git's history keeps.
"""

import fnmatch
import io
import json
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl

from curation.dataset.decisions import now, read_ledger, same_subject
from curation.dataset.forgotten import (
    PREFIX,
    Forgotten,
    mark_of,
    name_salt,
    read_forgotten,
    read_salt,
    write_forgotten,
)
from curation.dataset.layout import Home
from curation.dataset.recipe import FolderSource, load_recipe
from curation.errors import CurationError, ErrorCode
from curation.storage.atomic_files import replace_file
from curation.storage.cache import Cache
from curation.storage.fsspec_paths import RemotePath, is_url
from curation.storage.fsync import remove_tree
from curation.versions.decided import names_any, read_decided, write_decided
from curation.versions.image_lookup import find_rows, near_names
from curation.versions.locks import Lock, locked
from curation.versions.store import open_draft, open_folder
from curation.versions.version_index import EXTRA_COLUMNS, VersionLine, published, read_split

Kind = Literal["version", "build", "draft", "archive", "cache", "run", "decision", "upload"]
_SHOWN: Final = 20
_COLUMNS: Final = ("id", "source", "path", "group_key", "sha256", "file")
_MAX_TEXT_BYTES: Final = 64 << 20


@dataclass(frozen=True)
class Held:
    """One place that holds a forgotten image, and what happens to it.

    Parameters
    ----------
    kind : str
    path : pathlib.Path
    what : str
        What is done there, in words.
    """

    kind: Kind
    path: Path
    what: str


@dataclass(frozen=True)
class ForgetPlan:
    """What forgetting would do.

    Parameters
    ----------
    ids : tuple of str
        The rows that were asked for, and those with the same bytes.
    shas : frozenset of str
    withdrawn : tuple of int
        The versions that published one of them.
    held : tuple of Held
    untouched : tuple of str
        What holds them and is not touched, in sentences.
    """

    name: str
    ids: tuple[str, ...]
    shas: frozenset[str]
    withdrawn: tuple[int, ...]
    held: tuple[Held, ...]
    untouched: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the plan as JSON-able values."""
        return {
            "ids": list(self.ids),
            "files": len(self.shas),
            "withdrawn": list(self.withdrawn),
            "held": [{"kind": each.kind, "path": str(each.path), "what": each.what} for each in self.held],
            "untouched": list(self.untouched),
        }

    def __str__(self) -> str:
        """Return the plan as lines of text."""
        more = f"\n  and {len(self.ids) - _SHOWN} more" if len(self.ids) > _SHOWN else ""
        lines = [f"{len(self.shas)} files of {self.name}:", *(f"  {name}" for name in self.ids[:_SHOWN])]
        lines[-1] += more
        lines += [f"{each.path}: {each.what}" for each in self.held]
        lines += [f"not touched: {each}" for each in self.untouched]
        return "\n".join(lines)


def select_rows(
    rows: pl.DataFrame, *, globs: Sequence[str] = (), groups: Sequence[str] = (), files: Sequence[str] = ()
) -> pl.DataFrame:
    """Return the rows that globs over paths, groups and names select, once each.

    Parameters
    ----------
    globs : sequence of str
        Over the id, the path in the source or its end: ``subject-17/**``. ``*`` also matches ``/``.
    groups : sequence of str
        Values of the recipe's group rule, with or without the source before them.
    files : sequence of str
        As `find_rows` takes them.

    Raises
    ------
    CurationError
        One of them selects nothing.
    """
    found = []
    for glob in globs:
        hits = [_fits(glob, row_id, path) for row_id, path in rows.select("id", "path").rows()]
        found.append((glob, rows.filter(pl.Series(hits, dtype=pl.Boolean))))
    for group in groups:
        key = pl.col("group_key")
        is_group = (key == group) | (key == pl.col("source") + pl.lit(f":{group}"))
        found.append((group, rows.filter(is_group.fill_null(value=False))))
    found += [(name, find_rows(rows, name)) for name in files]
    for asked, selected in found:
        if not selected.height:
            near = near_names(rows, asked)
            raise CurationError(
                ErrorCode.IMAGE_MISSING,
                f"no file matches {asked!r}",
                hint=f"Did you mean {' or '.join(near)}?" if near else "`explain` prints ids and groups.",
            )
    return (
        pl.concat([selected for _, selected in found]).unique("id", keep="first").sort("id") if found else rows.clear()
    )


def _fits(glob: str, row_id: str, path: str) -> bool:
    return any(fnmatch.fnmatchcase(text, pattern) for text in (row_id, path) for pattern in (glob, f"*/{glob}"))


def plan_forget(
    home: Home,
    name: str,
    *,
    globs: Sequence[str] = (),
    groups: Sequence[str] = (),
    files: Sequence[str] = (),
    cache: Cache,
    runs: Path | None = None,
    uploads: Sequence[str] = (),
) -> ForgetPlan:
    """List everything that holds these images; nothing is changed.

    Parameters
    ----------
    globs, groups, files
        As `select_rows` takes them.
    cache : Cache
    runs : pathlib.Path, optional
        The folder of the training runs.
    uploads : sequence of str
        URLs that versions were uploaded to.

    Raises
    ------
    CurationError
        Where no build has read the images, or one of the arguments selects none.
    """
    home.check_name(name)
    rows = _read_rows(home, name)
    chosen = select_rows(rows, globs=globs, groups=groups, files=files)
    shas = frozenset(chosen["sha256"].drop_nulls())
    same = rows.filter(pl.col("sha256").is_in(sorted(shas)))
    ids = tuple(pl.concat([chosen["id"], same["id"]]).unique().sort())
    held = [*_find_versions(home, name, shas), *_find_archives(home, name, same, cache)]
    archives = {each.path for each in held}
    held += [each for each in _find_cached(cache, shas) if each.path not in archives]
    held += _find_runs(runs, shas) if runs is not None else []
    withdrawn = tuple(
        line.version for line in published(home, name) if not line.withdrawn and _publishes(home, name, line, shas)
    )
    held += [
        Held("upload", RemotePath(url) / name / f"v{version}", "deleted, if it is there")
        for url in uploads
        for version in withdrawn
    ]
    untouched = (*_name_own_files(home, name, same), *_name_history(home, name))
    return ForgetPlan(name, ids, shas, withdrawn, tuple(held), untouched)


def forget(
    home: Home, plan: ForgetPlan, *, uploads: Sequence[str] = (), on_wait: Callable[[str], None] | None = None
) -> None:
    """Do what the plan lists.

    The marks are written first, so that nothing comes back, and the builds, which name the images, are deleted last, so
    that an interrupted run can be repeated.
    """
    salt = read_salt(create=True) or b""
    folder = home.dataset(plan.name)
    with locked(home, plan.name, on_wait=on_wait) as lock:
        known = {line.mark: line for line in read_forgotten(folder)}
        new = [Forgotten(mark_of(sha, salt), name_salt(salt), now()) for sha in sorted(plan.shas)]
        write_forgotten(folder, [*known.values(), *(line for line in new if line.mark not in known)])
        for each in plan.held:
            if each.kind in {"archive", "cache", "run"}:
                _clear(each.path, plan.shas, whole=each.kind == "archive")
        for url in uploads:
            for version in plan.withdrawn:
                (RemotePath(url) / plan.name / f"v{version}").remove_all()
        _forget_decisions(folder / "decisions.jsonl", plan.shas)
        decided = read_decided(home, plan.name)
        if decided.height:
            write_decided(home.decided(plan.name), decided.filter(~names_any(decided, plan.shas)))
        _withdraw(lock, plan, salt)
        for each in plan.held:
            if each.kind in {"version", "build", "draft"} and each.path.is_dir():
                remove_tree(each.path)


def _read_rows(home: Home, name: str) -> pl.DataFrame:
    """Return id, source, path, group and sha256 of every row that a build or a draft has."""
    builds = [home.build(name, line.version) for line in published(home, name)]
    tables = [open_folder(folder).manifest.rows.select(_COLUMNS) for folder in builds if folder.is_dir()]
    if home.draft(name).is_dir():
        tables.append(open_draft(home, name).manifest.rows.select(_COLUMNS))
    if not tables:
        raise CurationError(
            ErrorCode.VERSION_NOT_BUILT,
            f"{name}: no build of it is on this machine, so that its images cannot be found",
            hint=f"Run `python -m curation build {name} --until dedup`, or build a version, and repeat the command.",
        )
    return pl.concat(tables).unique(["id", "sha256"], keep="first").sort("id")


def _holds(folder: Path, shas: Collection[str]) -> bool:
    path = folder / "manifest.parquet"
    found = pl.scan_parquet(path).select(pl.col("sha256").is_in(list(shas)).any()).collect() if path.is_file() else None
    return found is not None and bool(found.item())


def _publishes(home: Home, name: str, line: VersionLine, shas: Collection[str]) -> bool:
    return bool(read_split(home.split(name, line.version))["sha256"].is_in(list(shas)).any())


def _find_versions(home: Home, name: str, shas: Collection[str]) -> Iterator[Held]:
    for line in published(home, name):
        folder = home.build(name, line.version)
        if _publishes(home, name, line, shas):
            yield Held("version", folder, f"v{line.version} is withdrawn, and its folder is deleted")
        elif _holds(folder, shas):
            yield Held("build", folder, f"deleted; `python -m curation build {name}@v{line.version}` makes it again")
    if _holds(home.draft(name), shas):
        yield Held("draft", home.draft(name), "deleted")
    ledger = home.dataset(name) / "decisions.jsonl"
    about = [line for line in read_ledger(ledger) if any(same_subject(line, sha) for sha in shas)]
    if about:
        yield Held("decision", ledger, f"{len(about)} decisions about them are removed")
    if count := int(names_any(read_decided(home, name), shas).sum()):
        yield Held("decision", home.decided(name), f"{count} rows of decided images are removed")


def _find_archives(home: Home, name: str, rows: pl.DataFrame, cache: Cache) -> Iterator[Held]:
    """Yield the cached copies of archives that hold the images: an archive can only go whole."""
    seen = set()
    for line in published(home, name):
        folder = home.build(name, line.version)
        listed = open_folder(folder).description.get("archives", []) if folder.is_dir() else []
        for archive in listed:
            alone = sum(other["source"] == archive["source"] for other in listed) == 1
            paths = rows.filter(pl.col("source") == archive["source"])["path"]
            inside = len(paths) > 0 if alone else bool(paths.str.starts_with(f"{archive['name']}/").any())
            for path in (cache.archive_path(archive["sha256"]), cache.find_plain_tar(archive["sha256"])):
                if inside and path is not None and path.exists() and path not in seen:
                    seen.add(path)
                    yield Held("archive", path, f"the cached copy of {archive['name']} is deleted whole")


def _find_cached(cache: Cache, shas: Collection[str]) -> Iterator[Held]:
    for cached in cache.usage():
        if cached.kind in {"archives", "tars", "partial"} or "db" in cached.path.relative_to(cache.root).parts:
            continue
        if what := _describe_hold(cached.path, shas):
            yield Held("cache", cached.path, what)


def _find_runs(runs: Path, shas: Collection[str]) -> Iterator[Held]:
    for path in sorted(runs.rglob("*")) if runs.is_dir() else ():
        if path.is_file() and (what := _describe_hold(path, shas, short=True)):
            yield Held("run", path, what)


def _describe_hold(path: Path, shas: Collection[str], *, short: bool = False) -> str | None:
    """Return what is done with a file that holds one of the images, by its name or its content; None for others."""
    if any(sha in path.name for sha in shas):
        return "deleted"
    try:
        if path.suffix == ".parquet":
            return "its rows about them are removed" if _rows_about(path, shas) else None
        if path.suffix in {".json", ".html"} and path.stat().st_size <= _MAX_TEXT_BYTES:
            text = path.read_text(encoding="utf-8", errors="replace")
            return (
                "deleted"
                if any((sha[:12] if short and path.suffix == ".html" else sha) in text for sha in shas)
                else None
            )
    except (OSError, pl.exceptions.PolarsError):
        return None
    return None


def _rows_about(path: Path, shas: Collection[str]) -> bool:
    if "sha256" not in pl.read_parquet_schema(path):
        return False
    return bool(pl.scan_parquet(path).select(pl.col("sha256").is_in(list(shas)).any()).collect().item())


def _clear(path: Path, shas: Collection[str], *, whole: bool) -> None:
    if not path.exists():
        return
    if not whole and path.suffix == ".parquet" and not any(sha in path.name for sha in shas):
        out = io.BytesIO()
        pl.read_parquet(path).filter(~pl.col("sha256").is_in(list(shas)).fill_null(value=False)).write_parquet(out)
        replace_file(path, out.getvalue())
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _forget_decisions(path: Path, shas: Collection[str]) -> None:
    lines = read_ledger(path)
    kept = [line for line in lines if not any(same_subject(line, sha) for sha in shas)]
    if len(kept) < len(lines):
        replace_file(path, "".join(f"{line.as_json()}\n" for line in kept).encode())


def _withdraw(lock: Lock, plan: ForgetPlan, salt: bytes) -> None:
    """Mark the versions' lines, and replace the sha256 of each forgotten image in their splits by its mark."""
    home, time = lock.home, now()
    lines = [
        replace(line, withdrawn=time) if line.version in plan.withdrawn else line for line in published(home, plan.name)
    ]
    names = {sha: f"{PREFIX}{mark_of(sha, salt)}" for sha in plan.shas}
    for line in lines:
        path = home.split(plan.name, line.version)
        if line.version in plan.withdrawn and path.is_file():
            table = read_split(path)
            ours = pl.col("sha256").is_in(list(names))
            table = table.with_columns(
                pl.when(ours).then(None).otherwise(name).alias(name) for name in EXTRA_COLUMNS if name in table.columns
            ).with_columns(pl.col("sha256", "group").replace(names))
            replace_file(path, table.write_csv().encode())
    if plan.withdrawn:
        text = "".join(f"{json.dumps(line.as_json(), ensure_ascii=True)}\n" for line in lines)
        replace_file(home.lines(plan.name), text.encode())


def _name_own_files(home: Home, name: str, rows: pl.DataFrame) -> Iterator[str]:
    for source in load_recipe(home.dataset(name)).sources:
        if isinstance(source, FolderSource) and not is_url(source.path):
            inside = rows.filter(pl.col("source") == source.name)["path"].unique().sort().to_list()
            if inside:
                shown = ", ".join(inside[:5]) + (f" and {len(inside) - 5} more" if len(inside) > 5 else "")
                yield f"{source.path} is your own: delete {shown} there yourself"


def _name_history(home: Home, name: str) -> Iterator[str]:
    yield f"git's history of {home.dataset(name)} keeps their sha256, names and thumbnails of 32x32 pixels"
    yield "exports and copies elsewhere are not known here"

"""The chain of stages, readable as the story of a dataset: fetch, look, decide, choose, write, publish."""

import datetime
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.dataset.decisions import Ruling, read_ledger, rule
from curation.dataset.findings import Finding
from curation.dataset.manifest import Manifest, check_conservation, choice_digest
from curation.dataset.recipe import AnySource, Decode, Labels, Recipe, Render, load_recipe
from curation.engines import Engine, Local, count_cores
from curation.errors import CurationError
from curation.hashing import Fingerprints, Pairs, SearchReport, find_candidates
from curation.release import VERSION
from curation.report.card import write_card
from curation.report.summary import Summary, summarize
from curation.sources import Fetched, fetch_all, index_files
from curation.stages.decide import decide
from curation.stages.dedup import dedup
from curation.stages.ingest import ingest
from curation.stages.label import label
from curation.stages.probe import probe
from curation.stages.quality import quality
from curation.stages.render import encoder_name, estimate_bytes, render
from curation.stages.restore_split import retake
from curation.stages.select import ShortCountError, select
from curation.storage.archive_index import ArchiveIndex
from curation.storage.atomic_files import replace_file
from curation.storage.cache import Cache
from curation.storage.disk_errors import explain_disk_faults
from curation.storage.progress import Progress, Silence
from curation.versions import (
    Home,
    Lock,
    Version,
    VersionLine,
    check_present,
    chosen,
    commit,
    describe_version,
    drop_draft,
    find,
    find_digest,
    locked,
    name_pictures,
    next_number,
    open_folder,
    open_staging,
    parse_reference,
    previous_split,
    published,
    recover,
    write_draft,
    write_tables,
)
from curation.versions.hardlinks import reuse
from curation.versions.upload import upload

Step = Literal["fetch", "ingest", "probe", "label", "decide", "quality", "dedup", "select"]
BuildOutcome = Literal["published", "restored", "unchanged", "stopped", "planned"]
STEPS: tuple[str, ...] = get_args(Step)


@dataclass(frozen=True)
class StageLine:
    """What one step did."""

    step: str
    rows: int
    kept: int
    excluded: int
    seconds: float


class Listener(Protocol):
    """Whoever wants to be told while a build goes on."""

    @property
    def progress(self) -> Progress:
        """What shows the progress of long work."""

    def stage(self, line: StageLine) -> None:
        """Hear that a step has ended."""

    def note(self, sentence: str) -> None:
        """Hear something worth knowing at once."""


@dataclass
class SilentListener:
    """A listener that shows nothing."""

    progress: Progress = field(default_factory=Silence)

    def stage(self, line: StageLine) -> None:
        """Ignore it."""

    def note(self, sentence: str) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Options:
    """How a build is run; none of it changes what comes out.

    Parameters
    ----------
    home : Home
        Where ``datasets/`` lies.
    cache : Cache
    mirror : Path, optional
        A folder that stands for the network.
    offline : bool
        Never ask the network.
    engine : Engine
        Where the work is done.
    upload : str, optional
        A URL (``s3://bucket/builds``) below which the built version is copied too, as ``<name>/v<n>``.
    listener : Listener
    """

    home: Home = field(default_factory=Home.find)
    cache: Cache = field(default_factory=Cache)
    mirror: Path | None = None
    offline: bool = False
    engine: Engine = field(default_factory=lambda: Local(count_cores()))
    upload: str | None = None
    listener: Listener = field(default_factory=SilentListener)


@dataclass(frozen=True)
class Built:
    """What a build came to.

    Parameters
    ----------
    outcome : str
        ``published``, ``restored`` (the absent files of a published version), ``unchanged`` (it was there already),
        ``stopped`` (after ``until``) or ``planned`` (a dry run).
    line : VersionLine, optional
        Of the version; None where nothing is published.
    folder : Path, optional
        Where its files lie.
    manifest : Manifest
    summary : Summary
    stages : tuple of StageLine
    notes : tuple of str
        What a person should know besides the summary.
    estimated_bytes : int, optional
        What a dry run would write.
    """

    name: str
    outcome: BuildOutcome
    line: VersionLine | None
    folder: Path | None
    manifest: Manifest
    summary: Summary
    stages: tuple[StageLine, ...]
    notes: tuple[str, ...] = ()
    estimated_bytes: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values; the manifest stays out, it is in the version's folder."""
        return {
            "name": self.name,
            "outcome": self.outcome,
            "version": self.line and self.line.as_json(),
            "folder": self.folder and str(self.folder),
            "stages": [asdict(line) for line in self.stages],
            "summary": asdict(self.summary),
            "notes": list(self.notes),
            "estimated_bytes": self.estimated_bytes,
        }


def pull(name: str, options: Options | None = None, *, update: bool = False) -> tuple[Fetched, ...]:
    """Download the sources of a recipe into the cache and write ``lock.json``.

    Parameters
    ----------
    update : bool
        Take what has changed upstream; without it a change is an error.
    """
    options = options or Options()
    recipe = load_recipe(options.home.dataset(name))
    return fetch_all(
        recipe.sources,
        cache=options.cache,
        mirror=options.mirror,
        lock=options.home.dataset(name) / "lock.json",
        update=update,
        offline=options.offline,
        progress=options.listener.progress,
    )


def build(name: str, options: Options | None = None, *, until: Step | None = None, dry_run: bool = False) -> Built:
    """Build a dataset from its recipe and publish it as a version, unless that very version is published already.

    Parameters
    ----------
    name : str
        The folder under ``datasets/``; or a published version, ``name@v2``, whose absent files are then made again as
        git's texts say, whatever the recipe says today.
    options : Options, optional
    until : str, optional
        Stop after this step, before anything is written.
    dry_run : bool
        Go through every choice, write nothing, and estimate the disk it would take.

    Raises
    ------
    CurationError
        Where the input, the recipe or the machine is at fault. Where it fails after probe, a draft with the manifest
        so far and the reason is left for ``show``, ``explain`` and ``review``.
    """
    options = options or Options()
    built = _restore(name, options) if "@" in name else _build(name, options, until=until, dry_run=dry_run)
    if options.upload is None or built.folder is None:
        return built
    sent = upload(built.folder, options.upload)
    note = f"{sent.url}: whole there, {sent.sent} of {sent.files} files were sent"
    return replace(built, notes=(*built.notes, note))


def _build(name: str, options: Options, *, until: Step | None, dry_run: bool) -> Built:
    recipe = load_recipe(options.home.dataset(name))
    if until is not None or dry_run:
        run = _Run(recipe, options)
        run.choose(until)
        planned = estimate_bytes(run.manifest, recipe, run.archive_index) if dry_run and until is None else None
        return run.built("planned" if dry_run else "stopped", estimated_bytes=planned)
    with locked(options.home, name, on_wait=options.listener.note) as held:
        run = _Run(recipe, options)
        run.notes += recover(held)
        try:
            run.choose(None)
        except CurationError as fault:
            if _leave_draft(held, run, fault):
                look = f"`python -m curation show {name}@draft` and `explain {name}@draft FILE` tell every reason"
                hint = f"{fault.hint}; {look}" if fault.hint else look
                raise CurationError(fault.message, hint=hint) from fault
            raise
        return _name_newest(options.home, _publish(held, run))


def _name_newest(home: Home, built: Built) -> Built:
    """Return the result with a note where it is an older version than the one that a bare name means."""
    newest = published(home, built.name)[-1].version
    if built.line is None or built.line.version == newest:
        return built
    own = f"{built.name}@v{built.line.version}"
    note = f"this is {own} again; the newest, which a bare name means, is {built.name}@v{newest}: write {own} to use it"
    return replace(built, notes=(*built.notes, note))


def _restore(reference: str, options: Options) -> Built:
    line = find(options.home, reference)
    name = parse_reference(reference).name
    recipe = load_recipe(options.home.dataset(name))
    rendering = dict(line.rendering)
    recipe = recipe.model_copy(
        update={
            "render": Render.model_validate(rendering["render"]),
            "decode": recipe.decode.model_copy(
                update={"tone": Decode.model_validate({"tone": rendering["tone"]}).tone}
            ),
            # Classes may have other names by now: the version's own are those it was counted by.
            "labels": Labels(classes={label: (label,) for by in line.counts.values() for label in by}, context="*"),
        }
    )
    with locked(options.home, name, on_wait=options.listener.note) as held:
        run = _Run(recipe, options)
        run.notes += recover(held)
        if options.home.build(name, line.version).is_dir():
            check_present(options.home, name, line)
            return run.built("unchanged", line=line, folder=options.home.build(name, line.version))
        run.recipe = load_recipe(options.home.dataset(name))
        run.choose("dedup")
        run.recipe = recipe
        with run._timed("select"):
            run.manifest = retake(run.manifest, chosen(options.home, reference), reference=f"{name}@v{line.version}")
        if choice_digest(run.manifest.kept, rendering=recipe.rendering()) != line.digest:
            raise CurationError(
                f"{reference}: what its split and rendering come to is not its digest {line.digest[:12]}",
                hint=f"take {options.home.split(name, line.version)} and versions.jsonl back from git",
            )
        return _publish(held, run)


class _Run:
    """One pass through the steps: what has been found so far, for whoever publishes it or leaves it as a draft."""

    def __init__(self, recipe: Recipe, options: Options) -> None:
        self.recipe, self.options = recipe, options
        self.manifest = Manifest(pl.DataFrame({"id": []}, schema={"id": pl.String}))
        self.fetched: tuple[Fetched, ...] = ()
        self.archive_index = ArchiveIndex(())
        self.stages: list[StageLine] = []
        self.notes: list[str] = []
        self.step: str = "fetch"
        self._fingerprints: Fingerprints | None = None
        self._ruling: Ruling | None = None
        self._previous: pl.DataFrame | None = None

    def choose(self, until: Step | None) -> None:
        """Go through the steps from fetch to select, or to ``until``."""
        for step in STEPS:
            with self._timed(step):
                before = self.manifest
                after = getattr(self, f"_{step}")()
                if step not in {"fetch", "ingest"}:
                    check_conservation(before, after, stage=step, grows=step == "probe")
                self.manifest = after
            if step == until:
                break
        self.notes += self.options.cache.warnings

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        self.step, start = step, time.perf_counter()
        yield
        kept = self.manifest.kept.height
        line = StageLine(step, len(self.manifest), kept, len(self.manifest) - kept, time.perf_counter() - start)
        self.stages.append(line)
        self.options.listener.stage(line)

    def _fetch(self) -> Manifest:
        options, home = self.options, self.options.home
        fetched = fetch_all(
            self.recipe.sources,
            cache=options.cache,
            mirror=options.mirror,
            lock=home.dataset(self.recipe.name) / "lock.json",
            offline=options.offline,
            progress=options.listener.progress,
        )
        self.fetched = tuple(map(_told, fetched, self.recipe.sources))
        self.archive_index = index_files(self.fetched)
        return self.manifest

    def _ingest(self) -> Manifest:
        options = self.options
        return ingest(
            self.recipe,
            self.fetched,
            cache=options.cache,
            engine=options.engine,
            progress=options.listener.progress,
        )

    def _probe(self) -> Manifest:
        options = self.options
        manifest, self._fingerprints = probe(
            self.manifest,
            self.recipe,
            self.archive_index,
            cache=options.cache,
            engine=options.engine,
            progress=options.listener.progress,
        )
        return manifest

    def _label(self) -> Manifest:
        return label(self.manifest, self.recipe.labels)

    def _decide(self) -> Manifest:
        review = self.recipe.review
        ledger = read_ledger(self.options.home.dataset(self.recipe.name) / "decisions.jsonl")
        self._ruling = rule(ledger, agreement=review.agreement, adjudicator=review.adjudicator)
        decided = decide(self.manifest, self._ruling, classes=self.recipe.classes)
        for sha in decided.absent:
            self.notes.append(f"a decision is about {sha[:12]}, which no source holds any more")
        return decided.manifest

    def _quality(self) -> Manifest:
        return quality(self.manifest, self.recipe.quality)

    def _dedup(self) -> Manifest:
        if self._fingerprints is None or self._ruling is None:
            raise RuntimeError("dedup runs after probe and decide")
        self._previous = previous_split(self.options.home, self.recipe.name, self.recipe.selection.previous)
        held_out = self._previous.filter(pl.col("split") != "train")["sha256"]
        return dedup(
            self.manifest,
            self._fingerprints,
            self.recipe.duplicates,
            apart=self._ruling.apart,
            preferred=self._ruling.preferred,
            protected=frozenset(held_out),
            search=self._search,
        )

    def _search(
        self, hashes: NDArray[np.uint64], radius: int, keys: NDArray[np.int64], plan: SearchReport
    ) -> Iterator[Pairs]:
        """Search, after a warning where that will take long."""
        if plan.warning:
            self.options.listener.note(plan.warning)
        return find_candidates(hashes, radius, keys, plan)

    def _select(self) -> Manifest:
        return select(self.manifest, self.recipe, previous=self._previous)

    def summary(self) -> Summary:
        """Return what a person should know of the manifest so far."""
        grouped = [source.name for source in self.recipe.sources if source.group is not None]
        return summarize(self.manifest, classes=self.recipe.classes, grouped=grouped)

    def built(
        self,
        outcome: BuildOutcome,
        *,
        line: VersionLine | None = None,
        folder: Path | None = None,
        estimated_bytes: int | None = None,
    ) -> Built:
        """Return the result."""
        notes, stages = tuple(self.notes), tuple(self.stages)
        return Built(
            self.recipe.name, outcome, line, folder, self.manifest, self.summary(), stages, notes, estimated_bytes
        )


def _publish(held: Lock, run: _Run) -> Built:
    recipe, home = run.recipe, held.home
    digest = choice_digest(run.manifest.kept, rendering=recipe.rendering())
    line = find_digest(home, recipe.name, digest)
    if line is not None and home.build(recipe.name, line.version).is_dir():
        drop_draft(held)
        check_present(home, recipe.name, line)
        _keep_card(home, recipe.name)
        return run.built("unchanged", line=line, folder=home.build(recipe.name, line.version))
    with open_staging(held) as staging:
        with run._timed("render"):
            run.manifest = _render(run, staging.folder)
        with run._timed("describe"):
            _describe(held, run, staging.folder, number=next_number(home, recipe.name, digest))
        with run._timed("commit"):
            done = commit(staging)
    _keep_card(home, recipe.name)
    folder = home.build(recipe.name, done.line.version)
    run.notes += done.notes
    return run.built(done.outcome, line=done.line, folder=folder)


def _render(run: _Run, folder: Path) -> Manifest:
    options, recipe = run.options, run.recipe
    return render(
        run.manifest,
        recipe,
        run.archive_index,
        folder,
        names=name_pictures(run.manifest.kept),
        reuse=reuse(options.home, recipe.name, rendering=recipe.rendering(), encoder=encoder_name()),
        engine=options.engine,
        progress=options.listener.progress,
    )


def _describe(held: Lock, run: _Run, folder: Path, *, number: int) -> None:
    """Write what the version says of itself, and what it was made from, beside its pictures."""
    from curation.exports.croissant import write_croissant  # not needed where nothing changed

    recipe, dataset = run.recipe, held.home.dataset(run.recipe.name)
    archives = [
        {
            "source": given.source,
            "name": archive.name,
            "sha256": archive.sha256,
            "size_bytes": archive.size_bytes,
            **_said_of(given),
        }
        for given in run.fetched
        for archive in given.archives
    ]
    description = describe_version(
        run.manifest, recipe, number=number, encoder=encoder_name(), tool=VERSION, archives=archives
    )
    write_tables(folder, run.manifest, description)
    day = _publication_day(held, run, description["digest"])
    write_croissant(folder, recipe, description, run.manifest, run.fetched, published=day)
    for name, content in _texts(dataset, mirror=run.options.mirror is not None).items():
        (folder / name).write_bytes(content)
    findings = _report(held.home, run, open_folder(folder))
    card = write_card(recipe, description, run.summary(), run.fetched, findings=findings)
    (folder / "CARD.md").write_text(card, encoding="utf-8", newline="\n")


def _report(home: Home, run: _Run, version: Version) -> tuple[Finding, ...]:
    """Audit the staged version, write its page, and return the findings."""
    # A build with nothing to describe is done sooner than these are imported.
    from curation.audit import audit
    from curation.report.excluded_gallery import gather_evidence
    from curation.report.page import write_page
    from curation.report.version_diff import changes_since_previous

    audited = audit(version, progress=run.options.listener.progress)
    (version.folder / "audit.json").write_text(json.dumps(audited.as_json(), indent=1) + "\n", encoding="utf-8")
    shown = gather_evidence(
        run.manifest, run.recipe, read=lambda name, _: run.archive_index.read(name), fingerprints=run._fingerprints
    )
    page = write_page(version, run.recipe, audited, evidence=shown, before=changes_since_previous(home, version))
    (version.folder / "report.html").write_text(page, encoding="utf-8", newline="\n")
    return audited.findings


def _told(given: Fetched, source: AnySource) -> Fetched:
    """Return what was fetched with the licence and the citation that the recipe states: these win."""
    return replace(given, licence=source.licence or given.licence, citation=source.citation or given.citation)


def _said_of(given: Fetched) -> dict[str, str]:
    """Return what is known of a source besides its bytes."""
    said = {
        "version": given.version,
        "licence": given.licence,
        "doi": given.doi,
        "citation": given.citation,
        "url": given.url,
    }
    return {key: value for key, value in said.items() if value is not None}


def _publication_day(held: Lock, run: _Run, digest: str) -> str:
    """Return the day a version was published, if it was: made again it says the same; else today."""
    line = find_digest(held.home, run.recipe.name, digest)
    return (line.created if line else datetime.datetime.now(datetime.UTC).isoformat())[:10]


def _texts(dataset: Path, *, mirror: bool) -> dict[str, bytes]:
    """Return the texts a version was made from; a build from a mirror has no lock."""
    names = ("recipe.toml", "decisions.jsonl") if mirror else ("recipe.toml", "decisions.jsonl", "lock.json")
    return {name: (dataset / name).read_bytes() for name in names if (dataset / name).is_file()}


def _keep_card(home: Home, name: str) -> None:
    """Have git's card be that of the newest version, also where an earlier run was ended before it came to it."""
    lines = published(home, name)
    card, kept = home.build(name, len(lines)) / "CARD.md", home.dataset(name) / "CARD.md"
    if not lines or not card.is_file():
        return
    content = card.read_bytes()
    if not kept.is_file() or kept.read_bytes() != content:
        with explain_disk_faults(f"{kept}: the card could not be written", within=home.datasets):
            replace_file(kept, content)


def _leave_draft(held: Lock, run: _Run, fault: CurationError) -> bool:
    """Keep what is known where the build failed after the pictures were looked at; say whether there was anything."""
    if run.step not in STEPS[STEPS.index("label") :]:
        return False
    manifest = fault.manifest if isinstance(fault, ShortCountError) else run.manifest
    texts = _texts(held.home.dataset(run.recipe.name), mirror=run.options.mirror is not None)
    write_draft(held, manifest, stage=run.step, reason=fault.message, hint=fault.hint, texts=texts)
    return True

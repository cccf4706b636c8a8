"""The chain of steps that makes a version: fetch, ingest, probe, label, decide, quality, dedup, select, render, commit.

``build`` chooses by the recipe. ``restore`` takes the choice that git has of a published version.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from curation.dataset.decisions import read_ledger, rule
from curation.dataset.forgotten import name_salt, read_forgotten, read_salt, salt_path, strike_forgotten
from curation.dataset.manifest import Manifest, choice_digest, is_excluded_by
from curation.dataset.recipe import AnySource, Decode, Labels, Recipe, Render, load_recipe
from curation.engines import keep_workers
from curation.errors import CurationError, ErrorCode
from curation.hashing import Fingerprints, Pairs, Search, SearchReport, find_candidates, pack_thumbnails
from curation.pipeline.journal import Journal, StageLine, Stopped
from curation.pipeline.options import Listener, Options
from curation.reasons import describe as describe_exclusion
from curation.report.summary import Summary, summarize
from curation.sources import Fetched, fetch_all, index_files
from curation.stages.decide import decide
from curation.stages.dedup import find_duplicates
from curation.stages.ingest import ingest
from curation.stages.label import label
from curation.stages.probe import probe
from curation.stages.quality import quality
from curation.stages.render import UnrenderableImages, encoder_name, estimate_bytes, render
from curation.stages.restore_split import restore_split
from curation.stages.select import ShortCountError, select
from curation.storage.archive_index import ArchiveIndex
from curation.storage.atomic_files import replace_file
from curation.storage.disk_errors import explain_disk_faults
from curation.versions import (
    Diff,
    Home,
    Lock,
    Renewal,
    VersionLine,
    check_not_withdrawn,
    check_present,
    chosen,
    commit,
    diff_plan,
    drop_draft,
    fill_extra,
    find,
    find_digest,
    find_read_otherwise,
    find_renewed,
    held_out_earlier,
    list_decided,
    load,
    locked,
    name_images,
    next_number,
    open_staging,
    parse_reference,
    previous_images,
    published,
    read_decided,
    recover,
    reuse,
    write_decided,
    write_draft,
)
from curation.versions.upload import upload

Step = Literal["fetch", "ingest", "probe", "label", "decide", "quality", "dedup", "select"]
BuildOutcome = Literal["published", "restored", "unchanged", "stopped", "planned"]
STEPS: tuple[Step, ...] = get_args(Step)
LEAVE_DRAFT = frozenset({*STEPS[STEPS.index("label") :], "render"})
"""The steps whose failure leaves a draft: the images were read by then."""
MOST_NAMED = 10
"""Images that cannot be rendered and are named while the build runs; the others are in the manifest."""


@dataclass(frozen=True)
class Built:
    """The result of a build.

    Parameters
    ----------
    outcome : str
        ``published``, ``restored`` (the absent files of a published version), ``unchanged`` (its files were there),
        ``stopped`` (after ``until``) or ``planned`` (a dry run).
    line : VersionLine, optional
        The version's line; None where nothing is published.
    folder : Path, optional
        The folder of its files.
    manifest : Manifest
    summary : Summary
    stages : tuple of StageLine
    notes : tuple of str
        What a user should know in addition to the summary.
    estimated_bytes : int, optional
        What the images of a dry run would take.
    plan : Diff, optional
        What a dry run would change in the newest version; None where nothing is published yet.
    would_change : bool, optional
        Whether a build after this dry run would publish a new version.
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
    plan: Diff | None = None
    would_change: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the result as JSON-able values. The manifest is in the version's folder."""
        return {
            "name": self.name,
            "outcome": self.outcome,
            "version": self.line and self.line.as_json(),
            "folder": self.folder and str(self.folder),
            "stages": [asdict(line) for line in self.stages],
            "summary": asdict(self.summary),
            "notes": list(self.notes),
            "estimated_bytes": self.estimated_bytes,
            "plan": self.plan and self.plan.as_json(),
            "would_change": self.would_change,
        }


class Grouped(NamedTuple):
    """Everything known about the files before a split is chosen."""

    fetched: tuple[Fetched, ...]
    archives: ArchiveIndex
    rows: Manifest
    fingerprints: Fingerprints
    previous: pl.DataFrame
    """The split that the new one follows."""
    decided: pl.DataFrame
    """The decided images that the last version does not contain."""


def pull(name: str, options: Options | None = None, *, update: bool = False) -> tuple[Fetched, ...]:
    """Download the sources of a recipe into the cache and write ``lock.json``.

    Parameters
    ----------
    update : bool
        Accept what has changed upstream; without it a change is an error.
    """
    options = options or Options()
    return _fetch(load_recipe(options.home.dataset(name)), options, update=update)


def build(name: str, options: Options | None = None, *, until: Step | None = None, dry_run: bool = False) -> Built:
    """Build a dataset from its recipe and publish it as a version, unless that version is published already.

    Parameters
    ----------
    name : str
        The folder under ``datasets/``; or a published version, ``name@v2``, as for ``restore``.
    options : Options, optional
    until : str, optional
        Stop after this step. Nothing is written, except that a build until ``dedup`` or ``select`` of images without
        labels leaves a draft, so that they can be reviewed.
    dry_run : bool
        Run every step that chooses, write nothing, compare with the newest version and estimate the disk space.

    Raises
    ------
    CurationError
        Where the input, the recipe or the machine is at fault. A build that fails after probe leaves a draft, with
        the manifest so far and the reason, for ``show``, ``explain`` and ``review``.
    """
    options = options or Options()
    if "@" in name:
        return restore(name, options)
    recipe = load_recipe(options.home.dataset(name))
    if until is not None or dry_run:
        return _plan(recipe, options, until=until, dry_run=dry_run)
    with locked(options.home, name, on_wait=options.listener.note) as held, keep_workers(options.engine) as engine:
        options = replace(options, engine=engine)
        journal = Journal(options.listener)
        journal.notes += recover(held)
        try:
            grouped = find_groups(recipe, options, journal)
            rows = choose_split(grouped, recipe, journal)
            built = _publish_what_can_be_rendered(held, recipe, grouped, rows, journal, options)
            decided = list_decided(built.manifest.rows, grouped.fingerprints, grouped.decided)
            write_decided(options.home.decided(name), decided)
        except CurationError as fault:
            _fail(held, fault, journal, options)
        built = _note_newest(built, options.home)
    return _upload(built, options)


def restore(reference: str, options: Options | None = None) -> Built:
    """Make the absent files of a published version again: the split that git has of it, not the recipe's.

    Parameters
    ----------
    reference : str
        ``name@v2``, or ``name@`` and the first digits of its digest.
    options : Options, optional

    Raises
    ------
    CurationError
        Where there is no such version, or the sources no longer have its images.
    """
    options = options or Options()
    home, line, name = options.home, find(options.home, reference), parse_reference(reference).name
    check_not_withdrawn(name, line)
    recipe = load_recipe(home.dataset(name))
    published_by = _as_published(recipe, line)
    with locked(home, name, on_wait=options.listener.note) as held, keep_workers(options.engine) as engine:
        options = replace(options, engine=engine)
        journal = Journal(options.listener)
        journal.notes += recover(held)
        folder = home.build(name, line.version)
        if folder.is_dir():
            check_present(home, name, line)
            return _upload(_finish(published_by, journal, options, "unchanged", line=line, folder=folder), options)
        grouped = find_groups(recipe, options, journal)
        split = chosen(home, reference)
        rows = retake_split(grouped, split, line, journal, reference=f"{name}@v{line.version}")
        if changed := find_read_otherwise(fill_extra(split), rows.rows, grouped.fingerprints):
            more = f" and {len(changed) - MOST_NAMED} more" if len(changed) > MOST_NAMED else ""
            journal.notes.append(
                f"today's decoder gives other pixels than at publication: {', '.join(changed[:MOST_NAMED])}{more}"
            )
        try:
            built = publish(held, published_by, grouped, rows, journal, options)
        except UnrenderableImages as found:
            name, cause = min(found.causes.items())
            raise CurationError(
                ErrorCode.IMAGE_UNREADABLE,
                f"{name}: {reference} contains it, but it cannot be rendered: {cause}",
                hint="Another version of Pillow may have read it. Build the recipe: that excludes the image.",
            ) from found
    return _upload(built, options)


def find_groups(recipe: Recipe, options: Options, journal: Journal) -> Grouped:
    """Run the steps from the sources to the groups of duplicates: all that is known before a split is chosen."""
    home, cache, engine, progress = options.home, options.cache, options.engine, options.listener.progress
    with journal.step("fetch"):
        fetched = tuple(map(_credit, _fetch(recipe, options), recipe.sources))
        archives = index_files(fetched)
    with journal.step("ingest", conserves=False) as record:
        rows = ingest(recipe, fetched, cache=cache, engine=engine, progress=progress)
        rows = record(_strike_forgotten(rows, home.dataset(recipe.name), journal))
    with journal.step("probe", adds_pages=True) as record:
        rows, fingerprints = probe(rows, recipe, archives, cache=cache, engine=engine, progress=progress)
        record(rows)
    with journal.step("label") as record:
        rows = record(label(rows, recipe.labels))
    with journal.step("decide") as record:
        known, renewal = find_last_version(home, recipe, rows, fingerprints)
        journal.renewal = renewal
        rows = note_earlier_bytes(rows, known)
        last, aside = known.filter(pl.col("split").is_not_null()), known.filter(pl.col("split").is_null())
        ledger = read_ledger(home.dataset(recipe.name) / "decisions.jsonl")
        ruling = rule(ledger, agreement=recipe.review.agreement, adjudicator=recipe.review.adjudicator)
        ruling = ruling.follow(name_successors(known))
        decided = decide(rows, ruling, classes=recipe.classes)
        rows = record(decided.manifest)
        journal.notes += [f"a decision is about {sha[:12]}, which no source contains now" for sha in decided.absent]
    with journal.step("quality") as record:
        rows = record(quality(rows, recipe.quality))
    with journal.step("dedup") as record:
        previous = look_back(home, recipe, last)
        found = find_duplicates(
            rows,
            fingerprints,
            recipe.duplicates,
            apart=ruling.apart,
            preferred=ruling.preferred,
            protected=frozenset(previous.filter(pl.col("split") != "train")["sha256"]),
            search=_announce_slow_search(options.listener),
        )
        rows, journal.borderline = record(found.manifest), found.borderline
    return Grouped(fetched, archives, rows, fingerprints, previous, aside)


def _strike_forgotten(rows: Manifest, folder: Path, journal: Journal) -> Manifest:
    """Keep forgotten files out, by their marks; note marks that this user's salt cannot recognize."""
    lines = read_forgotten(folder)
    salt = read_salt() if lines else None
    unknown = sum(salt is None or line.salt != name_salt(salt) for line in lines)
    if unknown:
        journal.notes.append(
            f"{unknown} forgotten files cannot be recognized here: their marks were made with another user's salt "
            f"({salt_path()})"
        )
    return strike_forgotten(rows, lines, salt)


def find_last_version(
    home: Home, recipe: Recipe, rows: Manifest, fingerprints: Fingerprints
) -> tuple[pl.DataFrame, Renewal]:
    """Return the images of the version before with the bytes that they have now, and what became of those without.

    Decided images that the version does not contain follow; their split is null.
    """
    line, last = previous_images(home, recipe.name, recipe.selection.previous)
    decided = read_decided(home, recipe.name)
    decided = decided.filter(~pl.col("sha256").is_in([*last["sha256"], *name_successors(last)]))
    last = pl.concat([last, decided])
    renewal = find_renewed(last, rows.rows, fingerprints, recipe.duplicates)
    renewal = replace(renewal, vanished=renewal.vanished.filter(pl.col("split").is_not_null()))
    nameless = renewal.vanished["id"].null_count()
    if nameless and line is not None and home.build(recipe.name, line.version).is_dir():
        kept = load(home, f"{recipe.name}@v{line.version}").manifest.kept
        ids = kept.select("sha256", pl.col("page").fill_null(1), "id")
        named = renewal.vanished.drop("id").join(ids, on=["sha256", "page"], how="left", maintain_order="left")
        renewal = replace(renewal, vanished=named.select(renewal.vanished.columns))
    return renewal.follow(last), renewal


def look_back(home: Home, recipe: Recipe, last: pl.DataFrame) -> pl.DataFrame:
    """Return the split that the new one follows, and below it what only earlier versions held out."""
    if recipe.selection.previous == "none":
        return last.clear()
    older = held_out_earlier(home, recipe.name, recipe.selection.previous)
    older = older.with_columns(pl.col("sha256").replace(name_successors(last)))
    older = older.join(last, on=["sha256", "page"], how="anti", maintain_order="left")
    return pl.concat([last, older.unique(["sha256", "page"], keep="first", maintain_order=True)], how="diagonal")


def note_earlier_bytes(rows: Manifest, last: pl.DataFrame) -> Manifest:
    """Fill ``earlier_sha256``: what an image's file was in the versions before, if it has other bytes now."""
    known = last.filter(pl.col("earlier").is_not_null()).select("sha256", "page", "earlier")
    keys = rows.rows.select("sha256", pl.col("page").fill_null(1))
    earlier = keys.join(known.unique(["sha256", "page"]), on=["sha256", "page"], how="left", maintain_order="left")
    return rows.with_columns(earlier_sha256=earlier["earlier"])


def name_successors(last: pl.DataFrame) -> dict[str, str]:
    """Return for each sha256 that an image had before the one that it has now."""
    known = last.filter(pl.col("earlier").is_not_null()).select("earlier", "sha256").iter_rows()
    return {before: now for earlier, now in known for before in earlier.split(" ")}


def add_fingerprints(rows: Manifest, fingerprints: Fingerprints) -> Manifest:
    """Fill ``fingerprint`` of the chosen images, which git keeps to find them again."""
    chosen = rows.rows["excluded_by"].is_null().to_numpy()
    texts = np.full(len(rows), None, object)
    texts[chosen] = pack_thumbnails(fingerprints.take(chosen).thumbnails)
    return rows.with_columns(fingerprint=pl.Series(texts.tolist(), dtype=pl.String))


def choose_split(grouped: Grouped, recipe: Recipe, journal: Journal) -> Manifest:
    """Choose the split as the recipe asks."""
    with journal.step("select") as record:
        return record(select(grouped.rows, recipe, previous=grouped.previous))


def retake_split(
    grouped: Grouped, split: pl.DataFrame, line: VersionLine, journal: Journal, *, reference: str
) -> Manifest:
    """Take the split that a version published.

    Raises
    ------
    CurationError
        Where the sources no longer have its images, or the result is not the version.
    """
    # A published image is kept whatever excludes it today: reasons may be taken back.
    with journal.step("select", conserves=False) as record:
        rows = record(restore_split(grouped.rows, split, reference=reference))
    if choice_digest(rows.kept, rendering=dict(line.rendering)) != line.digest:
        raise CurationError(
            ErrorCode.VERSION_INDEX_INVALID,
            f"{reference}: split and rendering do not give its digest {line.digest[:12]}",
            hint="Restore versions.jsonl and the version's CSV from git.",
        )
    return rows


def publish(held: Lock, recipe: Recipe, grouped: Grouped, rows: Manifest, journal: Journal, options: Options) -> Built:
    """Render and describe what was chosen, and publish it; where its files are there already, only check them."""
    home, progress = held.home, options.listener.progress
    digest = choice_digest(rows.kept, rendering=recipe.rendering())
    line = find_digest(home, recipe.name, digest)
    if line is not None and home.build(recipe.name, line.version).is_dir():
        drop_draft(held)
        check_present(home, recipe.name, line)
        _copy_newest_card(home, recipe.name)
        if recipe.selection.folds and "fold" not in chosen(home, f"{recipe.name}@v{line.version}").columns:
            journal.notes.append(
                f"v{line.version} was published without folds and stays as it is: the next new version has them"
            )
        folder = home.build(recipe.name, line.version)
        return _finish(recipe, journal, options, "unchanged", line=line, folder=folder)
    from curation.pipeline.describe import describe  # audit and report: a second of imports, for new versions only

    rows = add_fingerprints(rows, grouped.fingerprints)
    with open_staging(held) as staging:
        with journal.step("render") as record:
            rows = record(
                render(
                    rows,
                    recipe,
                    grouped.archives,
                    staging.folder,
                    names=name_images(rows.kept),
                    reuse=reuse(home, recipe.name, rendering=recipe.rendering(), encoder=encoder_name()),
                    engine=options.engine,
                    progress=progress,
                )
            )
        with journal.step("describe"):
            describe(
                staging.folder,
                rows,
                recipe,
                number=next_number(home, recipe.name, digest),
                published_on=line.created[:10] if line else None,
                fetched=grouped.fetched,
                archives=grouped.archives,
                fingerprints=grouped.fingerprints,
                summary=_summarize(rows, recipe, journal),
                texts=_read_texts(home.dataset(recipe.name), options),
                home=home,
                engine=options.engine,
                cache=options.cache,
                quick=options.quick,
                progress=progress,
            )
        with journal.step("commit"):
            done = commit(staging, progress=progress)
    _copy_newest_card(home, recipe.name)
    journal.notes += done.notes
    if options.quick:
        reference = f"{recipe.name}@v{done.line.version}"
        journal.notes.append(f"{reference} is not audited yet: run `python -m curation audit {reference}`")
    folder = home.build(recipe.name, done.line.version)
    return _finish(recipe, journal, options, done.outcome, line=done.line, folder=folder)


def _publish_what_can_be_rendered(
    held: Lock, recipe: Recipe, grouped: Grouped, rows: Manifest, journal: Journal, options: Options
) -> Built:
    """Publish what was chosen; where an image cannot be rendered after all, exclude it and choose again."""
    while True:
        try:
            return publish(held, recipe, grouped, rows, journal, options)
        except UnrenderableImages as found:
            causes = {name: (cause.reason.value, cause.detail) for name, cause in found.causes.items()}
        ids = grouped.rows.rows["id"]
        reasons, details = (
            pl.Series([causes.get(name, (None, None))[place] for name in ids], dtype=pl.String) for place in (0, 1)
        )
        grouped = grouped._replace(rows=grouped.rows.exclude("render", reasons, details))
        for name, (reason, detail) in sorted(causes.items())[:MOST_NAMED]:
            why = describe_exclusion("render", reason, detail)
            options.listener.note(f"{name}: {why}; the split is chosen again without it")
        # what was surplus may be chosen now: the reasons of the first choice do not stay
        with journal.step("select", conserves=False) as record:
            rows = record(select(grouped.rows, recipe, previous=grouped.previous))


def _plan(recipe: Recipe, options: Options, *, until: Step | None, dry_run: bool) -> Built:
    """Run the steps that choose, all or until one, and write nothing."""
    journal = Journal(options.listener, until=until)
    outcome: BuildOutcome = "planned" if dry_run else "stopped"
    try:
        grouped = find_groups(recipe, options, journal)
        rows = choose_split(grouped, recipe, journal)
    except Stopped:
        return _finish(recipe, journal, options, outcome, folder=_draft_unlabelled(recipe, journal, options, until))
    built = _finish(recipe, journal, options, outcome, estimated_bytes=estimate_bytes(rows, recipe, grouped.archives))
    return _compare_with_newest(built, recipe, rows, options.home) if dry_run else built


def _compare_with_newest(built: Built, recipe: Recipe, rows: Manifest, home: Home) -> Built:
    """Return the result of a dry run with what would change in the newest version."""
    lines, rendering = published(home, recipe.name), recipe.rendering()
    if not lines:
        return replace(built, would_change=True)
    plan = diff_plan(home, recipe.name, rows, rendering=rendering, recipe_digest=recipe.digest())
    changed = choice_digest(rows.kept, rendering=rendering) != find(home, recipe.name).digest
    return replace(built, plan=plan, would_change=changed)


def _draft_unlabelled(recipe: Recipe, journal: Journal, options: Options, until: Step | None) -> Path | None:
    """Leave a draft where images wait for a label, so that `review` needs no failing build; return its folder."""
    waiting = journal.rows.rows.filter(is_excluded_by("label")).height if until in {"dedup", "select"} else 0
    if not waiting:
        return None
    fault = CurationError(
        ErrorCode.NO_LABELS,
        f"{waiting} images have no label yet",
        hint=f"`python -m curation review {recipe.name}` shows them.",
    )
    with locked(options.home, recipe.name, on_wait=options.listener.note) as held:
        texts = _read_texts(options.home.dataset(recipe.name), options)
        return write_draft(held, journal.rows, stage=str(until), fault=fault, texts=texts)


def _finish(
    recipe: Recipe,
    journal: Journal,
    options: Options,
    outcome: BuildOutcome,
    *,
    line: VersionLine | None = None,
    folder: Path | None = None,
    estimated_bytes: int | None = None,
) -> Built:
    """Return the result of a build whose journal is complete."""
    notes = (*journal.notes, *options.cache.warnings)
    return Built(
        name=recipe.name,
        outcome=outcome,
        line=line,
        folder=folder,
        manifest=journal.rows,
        summary=_summarize(journal.rows, recipe, journal, lost=outcome != "restored"),
        stages=tuple(journal.stages),
        notes=notes,
        estimated_bytes=estimated_bytes,
    )


def _summarize(rows: Manifest, recipe: Recipe, journal: Journal, *, lost: bool = False) -> Summary:
    grouped = [source.name for source in recipe.sources if source.group is not None]
    return summarize(
        rows,
        classes=recipe.classes,
        grouped=grouped,
        ratios=recipe.selection.ratios,
        borderline=journal.borderline,
        renewal=journal.renewal if lost else None,
    )


def _fetch(recipe: Recipe, options: Options, *, update: bool = False) -> tuple[Fetched, ...]:
    return fetch_all(
        recipe.sources,
        cache=options.cache,
        mirror=options.mirror,
        lock=options.home.dataset(recipe.name) / "lock.json",
        update=update,
        offline=options.offline,
        progress=options.listener.progress,
    )


def _credit(given: Fetched, source: AnySource) -> Fetched:
    """Return what was fetched with the recipe's licence and citation where it has them."""
    return replace(given, licence=source.licence or given.licence, citation=source.citation or given.citation)


def _announce_slow_search(listener: Listener) -> Search:
    """Return the search of all pairs, which first warns the listener where it will take long."""

    def search(hashes: NDArray[np.uint64], radius: int, keys: NDArray[np.int64], plan: SearchReport) -> Iterator[Pairs]:
        if plan.warning:
            listener.note(plan.warning)
        return find_candidates(hashes, radius, keys, plan)

    return search


def _as_published(recipe: Recipe, line: VersionLine) -> Recipe:
    """Return the recipe with the rendering and the classes that a version was published with."""
    rendering: dict[str, Any] = dict(line.rendering)
    tone = Decode.model_validate({"tone": rendering["tone"]}).tone
    return recipe.model_copy(
        update={
            "render": Render.model_validate(rendering["render"]),
            "decode": recipe.decode.model_copy(update={"tone": tone}),
            # The recipe may name its classes otherwise by now.
            "labels": Labels(classes={label: (label,) for by in line.counts.values() for label in by}, context="*"),
        }
    )


def _note_newest(built: Built, home: Home) -> Built:
    """Return the result with a note where it is an older version than the bare name refers to."""
    newest = published(home, built.name)[-1].version
    if built.line is None or built.line.version == newest:
        return built
    own = f"{built.name}@v{built.line.version}"
    note = f"this is {own} again. The name {built.name} refers to the newest version, v{newest}: write {own} to use it"
    return replace(built, notes=(*built.notes, note))


def _upload(built: Built, options: Options) -> Built:
    if options.upload is None or built.folder is None:
        return built
    sent = upload(built.folder, options.upload)
    note = f"{sent.url}: complete, {sent.sent} of {sent.files} files were uploaded"
    return replace(built, notes=(*built.notes, note))


def _read_texts(dataset: Path, options: Options) -> dict[str, bytes]:
    """Return the texts a version is made from; a build from a mirror has no lock."""
    names = ["recipe.toml", "decisions.jsonl", *(["lock.json"] if options.mirror is None else [])]
    return {name: (dataset / name).read_bytes() for name in names if (dataset / name).is_file()}


def _copy_newest_card(home: Home, name: str) -> None:
    """Make the card in git that of the newest version, also where an earlier run ended before it did."""
    lines = published(home, name)
    card, kept = home.build(name, len(lines)) / "CARD.md", home.dataset(name) / "CARD.md"
    if not lines or not card.is_file():
        return
    content = card.read_bytes()
    if not kept.is_file() or kept.read_bytes() != content:
        with explain_disk_faults(f"{kept}: the card could not be written", within=home.datasets):
            replace_file(kept, content)


def _fail(held: Lock, fault: CurationError, journal: Journal, options: Options) -> NoReturn:
    """Raise the error; where the images were read before it, leave a draft and name the command that reads it."""
    if journal.current not in LEAVE_DRAFT or fault.code in (ErrorCode.DISK_FULL, ErrorCode.DISK_READ_ONLY):
        raise fault
    rows = fault.manifest if isinstance(fault, ShortCountError) else journal.rows
    write_draft(
        held, rows, stage=journal.current, fault=fault, texts=_read_texts(held.home.dataset(held.name), options)
    )
    look = f"`python -m curation show {held.name}@draft` and `explain {held.name}@draft FILE` list every reason."
    raise CurationError(fault.code, fault.message, hint=f"{fault.hint} {look}" if fault.hint else look) from fault

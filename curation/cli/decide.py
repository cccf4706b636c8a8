"""The verb decide: decisions without the App, and their import and export."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.console import write_file
from curation.cli.options import AsJson, Name, Reviewer, examples, folders_of
from curation.cli.review import open_review
from curation.cli_runner import clean, print_json

if TYPE_CHECKING:
    from curation.dataset.decisions import Decision
    from curation.review.review_session import ReviewSession
    from curation.storage.cache import Cache


def add_to(app: typer.Typer) -> None:
    """Add the verb."""
    app.command(
        epilog=examples(
            'decide pets --file dog/17.jpg --exclude --reason "two animals"',
            "decide pets --exclude --glob 'subject-17/**' --reason \"asked to be removed\"",
            "decide pets --import table.csv",
        )
    )(decide)


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
    glob: Annotated[
        list[str] | None,
        typer.Option(
            help="All files whose path in the source, or its end, matches, such as 'subject-17/**' (repeatable)"
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(help="All files of a group, by the value of the recipe's group rule (repeatable)"),
    ] = None,
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
        chosen = _select(session, sha or (), glob or (), group or ())
        _decide(session, actions[0], chosen, relabel, reason, as_json=as_json)


def _select(session: "ReviewSession", given: Sequence[str], globs: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the sha256 of each file that was named, by itself or with others."""
    from curation.review.decision_import import resolve_sha256
    from curation.versions import select_rows

    rows = session.manifest.rows
    found = select_rows(rows, globs=globs, groups=groups)["sha256"].drop_nulls().unique().sort().to_list()
    return [*(resolve_sha256(session, each) for each in given), *found]


def _decide(
    session: "ReviewSession", action: str, shas: Sequence[str], label: str, reason: str, *, as_json: bool
) -> None:
    if not shas:
        raise typer.BadParameter("give at least one file", param_hint="--file, --glob or --group")
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

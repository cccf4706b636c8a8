"""Verbs that assess a version: audit and report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from curation.cli.console import Screen, write_file
from curation.cli.options import BRIEF, AsJson, Published, Verbose, examples, folders_of
from curation.cli_runner import clean, print_json, print_table

if TYPE_CHECKING:
    from curation.dataset.findings import Audit, Finding


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command(epilog=examples("audit melanoma", "audit melanoma@v2 --fail-on error", "audit sample --remedies"))(
        audit
    )
    app.command(epilog=examples("report melanoma --open", "report sample --remedies --output sample.html"))(report)


def audit(
    context: typer.Context,
    reference: Published,
    fail_on: Annotated[
        str | None,
        typer.Option(help="Exit with 1 on findings of this level or a worse one: error, warning or note"),
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="A training run's folder: its embeddings find doubtful labels better")
    ] = None,
    remedies: Annotated[
        bool, typer.Option("--remedies", help="Measure the effect of every remedy on the shortcuts")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Audit a version for shortcuts, leakage and other risks.

    The other checks are of labels, balance, quality, licences and privacy. Findings that [audit.waive] of the
    current recipe accepts are waived. With --run, the doubtful labels become the review queue of that name. The
    findings are added to a version that was built with --quick.
    """
    from curation.dataset.findings import SEVERITIES, count_of
    from curation.pipeline import audit_and_add

    if fail_on is not None and fail_on not in SEVERITIES:
        raise typer.BadParameter(f"{fail_on!r} is not a level; levels: {', '.join(SEVERITIES)}", param_hint="--fail-on")
    screen = Screen(as_json=as_json)
    with screen.progress:
        home, cache = folders_of(context).home, folders_of(context).open_cache()
        audited = audit_and_add(home, reference, run=run, remedies=remedies, cache=cache, progress=screen.progress)
    if as_json:
        print_json(audited.as_json())
    else:
        _print_audit(audited, verbose=verbose)
        if run is not None:
            typer.echo(f"next: python -m curation review {audited.reference} --queue doubtful")
    failing = audited.at_least(fail_on) if fail_on is not None else ()
    if failing:
        typer.echo(f"failed: {count_of(len(failing), 'finding')} of level {fail_on} or worse", err=True)
        raise typer.Exit(1)


def _print_audit(audited: "Audit", *, verbose: bool) -> None:
    from curation.dataset.findings import SEVERITIES, count_of

    typer.echo(
        f"{audited.reference}: how well simple features predict the label (AUC and 95 % interval; 0.5 is chance)"
    )
    print_table(
        ("probe", "AUC", "sees only"), [(each.name, str(each), each.looks_at) for each in audited.probes], left=3
    )
    if audited.remedies:
        typer.echo("\nAUC after each remedy, measured on the published images")
        head = ("remedy", *(probe.name for probe in audited.probes))
        rows = [
            (name, *("-" if probe.auc is None else f"{probe.auc:.3f}" for probe in probes))
            for name, probes in audited.remedies.items()
        ]
        print_table(head, rows)
    typer.echo()
    for finding in audited.findings:
        _print_finding(finding, verbose=verbose)
    counts = ", ".join(count_of(audited.count(level), level) for level in SEVERITIES)
    typer.echo(f"{count_of(len(audited.checks), 'check')}: {counts}")


def _print_finding(finding: "Finding", *, verbose: bool) -> None:
    level = "waived" if finding.waived is not None else finding.severity
    typer.echo(f"{level:<8} {finding.id}: {clean(finding.says)}")
    typer.echo(f"{'':<8} {'known: ' + clean(finding.waived) if finding.waived is not None else clean(finding.advice)}")
    shown = finding.which if verbose else finding.which[:BRIEF]
    for name in shown:
        typer.echo(f"{'':<12} {clean(name)}")
    if len(shown) < len(finding.which):
        typer.echo(f"{'':<12} ... and {len(finding.which) - len(shown):,} more (-v lists all)")


def report(
    context: typer.Context,
    reference: Published,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in a browser")] = False,
    output: Annotated[Path | None, typer.Option(help="Also write the page to this file")] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="Write a contact sheet (SVG) of published images, duplicates and conflicts")
    ] = None,
    remedies: Annotated[
        bool, typer.Option("--remedies", help="Make the page again, with the effect of every remedy")
    ] = False,
    source: Annotated[
        list[Path] | None,
        typer.Option(help="Where to find originals that are not in the cache: an archive, a folder or a mirror"),
    ] = None,
) -> None:
    """Show the page of a version, or write it to a file."""
    import webbrowser

    from curation.audit import audit_published
    from curation.report.api import make_page, make_sheet
    from curation.versions import load

    home, cache = folders_of(context).home, folders_of(context).open_cache()
    version = load(home, reference)
    if sheet is not None:
        write_file(sheet, make_sheet(version, places=source or (), cache=cache))
        typer.echo(f"wrote {sheet}")
    page = version.folder / "report.html"
    published = page.is_file() and not remedies
    if output is not None and published:
        write_file(output, page.read_text(encoding="utf-8"))
        typer.echo(f"wrote {output}")
    elif output is not None or (sheet is None and not published):
        page = output or Path(f"{version.name}-v{version.number}-report.html")
        screen = Screen()
        with screen.progress:
            audited = audit_published(
                home, f"{version.name}@v{version.number}", remedies=remedies, progress=screen.progress
            )
        write_file(page, make_page(home, version, audited, places=source or (), cache=cache))
        typer.echo(f"wrote {page}")
    opened = open_it and webbrowser.open(page.resolve().as_uri())
    if open_it and not opened:
        typer.echo("No browser could be opened. Open this page yourself:", err=True)
    if not opened and (open_it or (sheet is None and output is None)):
        typer.echo(str(page))

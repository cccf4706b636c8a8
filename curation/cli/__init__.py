"""The command line. Each verb parses its options, calls the library and prints the result.

Heavy imports stay inside the verbs, so that ``--help`` is fast.

======================  ===================================================================
verb                    call
======================  ===================================================================
build, pull             ``curation.pipeline.build``, ``pull``
init                    ``curation.init.start_dataset``
list, show, explain     ``curation.versions.published``, ``show``, ``explain``
diff, verify            ``curation.versions.diff``, ``verify``; ``upload.verify_url``
gc                      ``curation.versions.free_space``
forget                  ``curation.versions.plan_forget``, then ``forget``
audit                   ``curation.audit.audit_published``
report                  ``curation.report.api.make_page``, ``make_sheet``
export, import          ``curation.exports.export``, ``import_dataset``
review                  ``curation.review.app_server.review``, ``agreement.review_status``
decide                  ``curation.review.review_session.ReviewSession.decide``, ``decision_import``
board                   ``curation.board.open_board``, then one call of ``Board``; ``collect``
======================  ===================================================================
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from curation import __version__
from curation.cli import audit, board, build, decide, export, forget, inspect, review
from curation.cli.options import Folders
from curation.cli_runner import run_command

__all__ = ["app", "main"]

app = typer.Typer(
    name="curation",
    help="Turn raw, messy public image sets into a small, trustworthy, versioned training set.",
    epilog="Start with: python -m curation build sample",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
build.add_to(app)
inspect.add_to(app)
audit.add_to(app)
export.add_to(app)
review.add_to(app)
decide.add_to(app)
forget.add_to(app)
board.add_to(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"curation {__version__}")
        raise typer.Exit


@app.callback()
def set_folders(
    context: typer.Context,
    datasets: Annotated[
        Path | None, typer.Option(help="The folder of recipes and builds [$CURATION_DATASETS, else ./datasets]")
    ] = None,
    cache: Annotated[
        Path | None,
        typer.Option(help="The folder of downloads and probe results [$CURATION_CACHE, else the user's cache]"),
    ] = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit")
    ] = False,
) -> None:
    """Keep the folders for the verb."""
    context.obj = Folders(datasets, cache)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 input or recipe at fault, 2 usage, 130 interrupted."""
    given = sys.argv[1:] if arguments is None else arguments
    return run_command(app, given, program="python -m curation", interrupted="; published versions are whole")

"""Arguments and options that several verbs share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from curation.storage.cache import Cache
    from curation.versions import Home

Name = Annotated[str, typer.Argument(help="A dataset: a folder below datasets/, such as sample or melanoma")]
Reference = Annotated[str, typer.Argument(help="NAME, NAME@v2, NAME@<digest prefix> or NAME@draft")]
Published = Annotated[str, typer.Argument(help="NAME, NAME@v2 or NAME@<digest prefix>")]
Mirror = Annotated[
    Path | None,
    typer.Option(
        help="Take downloads from this folder instead of the network (kaggle/<owner>/<set>.zip, figshare/<id>/)"
    ),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes to use [all cores]")]
EngineName = Annotated[Literal["local", "ray"], typer.Option(help="Do the work on this machine, or on a Ray cluster")]
Address = Annotated[
    str | None, typer.Option(help="The cluster: HOST:6379, ray://HOST:10001 or auto [one of this machine alone]")
]
Upload = Annotated[
    str | None, typer.Option(metavar="URL", help="Copy the built version to URL/<name>/v<n> too (s3://bucket/builds)")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network")]
Reviewer = Annotated[
    str | None, typer.Option(help="The reviewer who decides [$CURATION_REVIEWER, else this machine's user]")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the result")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="List every name instead of the first few")]


@dataclass(frozen=True)
class Folders:
    """The folders that were given before the verb; None stands for the environment's or the default one."""

    datasets: Path | None = None
    cache: Path | None = None

    @property
    def home(self) -> "Home":
        """The folder of definitions and builds."""
        from curation.versions import Home

        return Home.find(self.datasets)

    def open_cache(self) -> "Cache":
        """Return the cache."""
        from curation.storage.cache import Cache

        return Cache(self.cache)


def folders_of(context: typer.Context) -> Folders:
    """Return the folders that were given before the verb."""
    return context.find_object(Folders) or Folders()


BRIEF = 3
"""The number of names that are listed without --verbose."""


def examples(*lines: str) -> str:
    """Return the epilog of a verb's help."""
    # \b keeps the lines as they are.
    return "\n".join(["\b", "Examples:", *(f"  python -m curation {line}" for line in lines)])


ClassFolder = Annotated[
    str | None,
    typer.Option(
        metavar="NAME", help="The name of a folder that is a class, where folders of several levels could be classes"
    ),
]
LabelColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="The column of a table that has the labels, where several columns could"),
]

"""Buttons of the FiftyOne App for the review: each writes to the ledger first, and then shows the result.

FiftyOne loads this folder through ``FIFTYONE_PLUGINS_DIR``, which ``review`` sets.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

from fiftyone import operators as foo
from fiftyone.operators import types
from fiftyone.server.events import get_state

from curation.dataset.decisions import CONTEXT, Action
from curation.dataset.findings import count_of
from curation.errors import CurationError
from curation.review.fiftyone_sync import update_samples
from curation.review.review_queues import QUEUES, count_queues
from curation.review.review_session import DecisionResult, describe_other_rows
from curation.review.setup import reload_session, session_of

PLUGIN = "@curation/review"


def _chosen(ctx: Any) -> tuple[list[str], list[str]]:
    """Return (rows, sha256s) of the selected samples, else of the open one."""
    ids = list(ctx.selected) or ([ctx.current_sample] if ctx.current_sample else [])
    if not ids:
        return [], []
    rows, shas = ctx.dataset.select(ids).values(["row", "sha256"])
    return rows, [sha for sha in shas if sha]


def _apply(ctx: Any, action: Action, *, label: str = "", reason: str = "") -> DecisionResult | None:
    """Write the decision and show its result; an error is shown, not raised."""
    rows, shas = _chosen(ctx)
    session = session_of(ctx.dataset)
    try:
        outcome = session.decide(action, shas, label=label, reason=reason, rows=rows)
    except CurationError as fault:
        ctx.ops.notify(f"{fault.message}. {fault.hint or ''}".strip(), variant="error")
        return None
    # The decision is on the disk now; a failure of the App or its database cannot lose it.
    changed = update_samples(ctx.dataset, session.rows(), outcome.shas)
    ctx.ops.clear_selected_samples()
    ctx.trigger(f"{PLUGIN}/show_decisions", params={"samples": changed})
    if ctx.has_custom_view:
        # A queue shows undecided images first, so that its order has changed.
        ctx.ops.reload_dataset()
    ctx.ops.notify(outcome.message, variant="warning" if outcome.other_rows else "success")
    return outcome


class _Deciding(foo.Operator):  # type: ignore[misc]  # FiftyOne has no types
    """An action on the selected images, with a button above the grid."""

    action: ClassVar[Action]
    title: ClassVar[str]
    icon: ClassVar[str]
    effect: ClassVar[str]
    """What it does, in words: the button above the grid has room for an icon only, and shows this under the pointer."""
    asks: ClassVar[tuple[str, ...]] = ()
    place: ClassVar[Any] = types.Places.SAMPLES_GRID_ACTIONS

    @property
    def config(self) -> Any:
        """Return the name, and whether it has a form."""
        return foo.OperatorConfig(
            name=self.operator_name(),
            label=f"Review: {self.title}",
            icon=self.icon,
            dynamic=bool(self.asks),
            unlisted=self.place != types.Places.SAMPLES_GRID_ACTIONS,
        )

    def operator_name(self) -> str:
        """Return the name that FiftyOne uses."""
        name = self.action.replace("-", "_")
        return name if self.place == types.Places.SAMPLES_GRID_ACTIONS else f"{name}_this"

    def resolve_placement(self, ctx: Any) -> Any:
        """Place the button above the grid, or next to the open sample."""
        button = types.Button(label=f"{self.title}: {self.effect}", icon=self.icon, prompt=bool(self.asks))
        return types.Placement(self.place, button)

    def resolve_input(self, ctx: Any) -> Any:
        """Ask for a label or a reason, and list other rows with the same bytes."""
        if not self.asks:
            return None
        inputs = types.Object()
        rows, shas = _chosen(ctx)
        session = session_of(ctx.dataset)
        _describe_selection(inputs, rows, shas, session.other_rows(shas, rows))
        if "label" in self.asks:
            choices = types.AutocompleteView()
            for label in session.labels:
                choices.add_choice(label, label=label)
            # A text, not an enumeration: the App answers another text with "Invalid enum value".
            field = inputs.str("label", label="Label", required=True, view=choices)
            given = str(ctx.params.get("label") or "")
            if given and not _is_label(given, session.rules.classes):
                field.invalid = True
                field.error_message = f"Classes: {', '.join(session.rules.classes)}; or {CONTEXT}<source label>"
        if "reason" in self.asks:
            # No list of reasons: it would complete the typed text to another reason.
            inputs.str("reason", label="Reason", required=self.action == "exclude", view=types.TextFieldView())
        return types.Property(inputs, view=types.View(label=f"{self.title} ({session.reviewer})"))

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Decide on the selected images."""
        given = {name: ctx.params.get(name) or "" for name in self.asks}
        outcome = _apply(ctx, self.action, **given)
        return {"decisions": len(outcome.made) if outcome else 0}


def _is_label(text: str, classes: Sequence[str]) -> bool:
    return text in classes or (text.startswith(CONTEXT) and text != CONTEXT)


def _describe_selection(inputs: Any, rows: Sequence[str], shas: Sequence[str], others: Sequence[str]) -> None:
    if not rows:
        inputs.view("nothing", types.Warning(label="No image is selected"))
        return
    files = len(set(shas))
    several = (
        f"{len(rows)} images" if files == len(rows) else f"{len(rows)} rows of {count_of(files, 'different file')}"
    )
    what = several if len(rows) > 1 else rows[0]
    inputs.message("what", label=what)
    if others:
        inputs.view("others", types.Warning(label=describe_other_rows(others)))


class Keep(_Deciding):
    """Keep an image in spite of quality thresholds."""

    action, title, icon = "keep", "Keep", "check_circle"
    effect = "use it although it is small, blurred or dark; its label stays"


class Exclude(_Deciding):
    """Exclude an image."""

    action, title, icon, asks = "exclude", "Exclude", "block", ("reason",)
    effect = "leave it out of the next version, with a reason"


class Relabel(_Deciding):
    """Give an image another label."""

    action, title, icon, asks = "relabel", "Relabel", "label", ("label", "reason")
    effect = "give it another class, or none"


class NotDuplicates(_Deciding):
    """Mark images as different."""

    action, title, icon = "not-duplicates", "Not duplicates", "call_split"
    effect = "the selected images are different ones"


class Prefer(_Deciding):
    """Keep this image of its duplicates."""

    action, title, icon = "prefer", "Prefer this one", "star"
    effect = "of its duplicates, use this file"


class Undo(_Deciding):
    """Withdraw the reviewer's latest decision on an image."""

    action, title, icon = "undo", "Undo", "undo"
    effect = "withdraw your latest decision on it"


_ON_GRID = (Relabel, Exclude, Keep, NotDuplicates, Prefer, Undo)
"""The most frequent first: on a narrow screen the App hides the last ones behind an arrow."""
_ON_SAMPLE = tuple(
    type(f"{kind.__name__}This", (kind,), {"place": types.Places.SAMPLES_VIEWER_ACTIONS, "__doc__": kind.__doc__})
    for kind in _ON_GRID
)


class OpenReview(foo.Operator):  # type: ignore[misc]  # as above
    """Update a dataset in the running App, for a second ``review`` command."""

    @property
    def config(self) -> Any:
        """Hide it: only a command calls it."""
        return foo.OperatorConfig(name="open_review", label="Open review", unlisted=True)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Update the dataset."""
        result = reload_session(ctx.params)
        # The App would open a new page with the view, the panels and the selection of the previous one.
        get_state().dataset = None
        return result


class Decide(foo.Panel):  # type: ignore[misc]  # as above
    """The number of images left in each queue, and a button for every action."""

    @property
    def config(self) -> Any:
        """Return the name, for the grid and the open sample."""
        return foo.PanelConfig(name="decide", label="Review", icon="fact_check", surfaces="grid modal")

    def on_load(self, ctx: Any) -> None:
        """Count when the panel is opened."""
        self._count(ctx)

    def on_change_selected(self, ctx: Any) -> None:
        """Count the selected images."""
        self._count(ctx)

    def on_change_dataset(self, ctx: Any) -> None:
        """Count again for another dataset."""
        self._count(ctx)

    def _count(self, ctx: Any) -> None:
        session = session_of(ctx.dataset)
        counts = count_queues(session.rows())
        ctx.panel.state.set("counts", {queue: list(count) for queue, count in counts.items()})
        ctx.panel.state.set("chosen", len(ctx.selected or ()))

    def open_queue(self, ctx: Any) -> None:
        """Show a queue."""
        ctx.ops.set_view(name=ctx.params["queue"])

    def label_as(self, ctx: Any) -> None:
        """Relabel the selection without a form."""
        _apply(ctx, "relabel", label=ctx.params["label"])
        self._count(ctx)

    def at_once(self, ctx: Any) -> None:
        """Make a decision that has no form."""
        _apply(ctx, ctx.params["action"])
        self._count(ctx)

    def ask(self, ctx: Any) -> None:
        """Open the form of a decision."""
        ctx.prompt(f"{PLUGIN}/{ctx.params['operator']}", on_success=self.counted)

    def counted(self, ctx: Any) -> None:
        """Count after a form was submitted."""
        self._count(ctx)

    def render(self, ctx: Any) -> Any:
        """Lay out the buttons and the queues."""
        session = session_of(ctx.dataset)
        panel = types.Object()
        panel.md(
            f"### {session.reference}\nReviewer: {session.reviewer}; {ctx.panel.state.get('chosen') or 0} selected",
            "head",
        )
        # Two rows: six buttons do not fit next to each other on half a screen.
        rows = [panel.btn_group("actions"), panel.btn_group("more_actions")]
        for number, kind in enumerate(_ON_GRID):
            name = kind.action.replace("-", "_")
            click, params = (self.ask, {"operator": name}) if kind.asks else (self.at_once, {"action": kind.action})
            actions = rows[number // 3]
            actions.btn(name, label=kind.title, icon=kind.icon, variant="outlined", on_click=click, params=params)
        labels = panel.btn_group("labels")
        for number, label in enumerate(session.rules.classes):
            labels.btn(
                f"label_{number}",
                label=f"Label as {label}",
                variant="outlined",
                on_click=self.label_as,
                params={"label": label},
            )
        panel.md("#### Queues", "queues_head")
        counts = ctx.panel.state.get("counts") or {}
        queues = panel.v_stack("queues")
        for queue in QUEUES:
            total, left = counts.get(queue, (0, 0))
            queues.btn(
                queue.replace("-", "_"),
                label=f"{queue}: {left} of {total} left",
                variant="outlined",
                on_click=self.open_queue,
                params={"queue": queue},
                disabled=not total,
            )
        return types.Property(panel, view=types.GridView(orientation="vertical"))


def register(plugin: Any) -> None:
    """Register all operators and the panel."""
    for operator in (*_ON_GRID, *_ON_SAMPLE, OpenReview, Decide):
        plugin.register(operator)

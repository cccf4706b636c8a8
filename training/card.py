"""Writes a run's ``MODEL_CARD.md``: what the model is for, what it was taught, how good it is, and what it is not."""

from collections.abc import Iterator

from training.run_summary import Results
from training.scores import Rate

NOT_A_DEVICE = (
    "**Not a medical device.** It was made to show how a detector is built. It must not be used to find, exclude or "
    "follow any disease. Whoever worries about a spot on their skin should see a doctor, whatever a light says."
)


def write_card(results: Results) -> str:
    """Return the card's text; every number in it is one of ``metrics.json``."""
    return "\n".join(_lines(results)) + "\n"


def _lines(results: Results) -> Iterator[str]:
    material, verdict, settings = results.material, results.verdict, results.settings
    yield f"# Model card: {results.name}\n"
    yield NOT_A_DEVICE + "\n"
    yield results.first_line() + "\n"
    if second := results.second_line():
        yield second + "\n"
    yield "## What it is\n"
    yield f"- Architecture: `{settings.model}`, input {settings.side}x{settings.side} RGB, int8"
    yield f"- Outputs: {', '.join(material.classes)}"
    yield f"- It warns of: {material.alarm}"
    yield f"- Data: `{material.reference}`, digest `{material.version.digest}`"
    yield f"- Disputed pictures among its training data: {material.version.description['reserve']}"
    fitted = results.quantised.fitted
    yield f"- Seed {settings.seed}; {len(fitted.epochs)} epochs, the best was {fitted.best}\n"
    yield "## How good it is\n"
    yield "Through the board's camera path, int8, with Wilson 95 % intervals.\n"
    yield "| what | |\n|---|---|"
    yield from (f"| {name} | {value} |" for name, value in _figures(results))
    yield ""
    yield "## What without the middle of the picture can be told\n"
    yield "| what a classifier sees | accuracy |\n|---|---|"
    yield from (f"| {shortcut.sees} | {shortcut.accuracy} |" for shortcut in verdict.shortcuts)
    yield ""
    yield "## What it says to pictures it was never taught\n"
    yield verdict.context_note + " Every alarm among them is one that the model was never taught to avoid.\n"
    if verdict.alarms:
        yield f"| class | called {material.alarm} | over 80 % |\n|---|---|---|"
        yield from (f"| {alarms.source_label} | {alarms.alarms} | {alarms.blinking} |" for alarms in verdict.alarms)
        yield ""
    yield "## What it costs\n"
    yield from _costs(results)


def _figures(results: Results) -> Iterator[tuple[str, Rate | str]]:
    test, folds, unseen = results.verdict.test, results.verdict.folds, results.verdict.unseen
    yield "test accuracy", test.camera.accuracy
    yield f"sensitivity for {results.material.alarm}", test.camera.sensitivity
    yield "specificity", test.camera.specificity
    yield "sensitivity over 80 %", test.camera.led.sensitivity
    yield "specificity over 80 %", test.camera.led.specificity
    yield "test accuracy without the camera", test.plain.accuracy
    if test.lost is not None:
        yield "int8 loses against float, points", f"{test.lost:.2f}"
    if folds is not None:
        yield f"{folds.repeats} x {folds.folds}-fold by group, int8", folds.int8
        yield f"{folds.repeats} x {folds.folds}-fold by group, float", folds.unrounded
    if unseen is not None:
        yield f"in the folds: sensitivity for {results.material.alarm}", unseen.scores.sensitivity
        yield "in the folds: specificity", unseen.scores.specificity
        yield "in the folds: sensitivity over 80 %", unseen.scores.led.sensitivity
        yield "in the folds: specificity over 80 %", unseen.scores.led.specificity


def _costs(results: Results) -> Iterator[str]:
    budget = results.budget
    if budget is None:
        yield "It was trained to be compared with others; no board was asked for."
        return
    rows = "" if budget.row_arena_bytes is None else f", {budget.row_arena_bytes:,} B with rows from the camera"
    yield f"- Arena: {budget.arena_bytes:,} B{rows} (tensors in TFLite Micro: {budget.interpreter_arena_bytes:,} B)"
    yield f"- Flash: {budget.flash_bytes:,} B, estimated"
    yield f"- {budget.macs:,} multiplications, about {budget.milliseconds:.0f} ms on {budget.board}, estimated"

"""A person at the App: headless Chromium that selects, presses and reads what is on the screen.

It waits for what a person would wait for, never for a time: a busy machine makes it slow, not wrong.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
PATIENCE_SECONDS = 180.0
"""What a machine that does something else meanwhile may take; only a failing test waits so long."""
AGAIN_SECONDS = 10.0
"""After which a person presses again what the App, still loading, did not hear."""

_TILES = """() => [...document.querySelectorAll('[data-cy=looker]')].map(tile => {
    const box = tile.getBoundingClientRect();
    const tick = tile.querySelector('input[type=checkbox]');
    return [Math.round(box.y), Math.round(box.x), tile.innerText,
            tick !== null && tick.className.includes('selectionIcon')];
})"""
_TICK = """number => {
    const place = tile => { const box = tile.getBoundingClientRect(); return [Math.round(box.y), Math.round(box.x)]; };
    const tiles = [...document.querySelectorAll('[data-cy=looker]')].map(tile => [...place(tile), tile]);
    tiles.sort((one, two) => one[0] - two[0] || one[1] - two[1]);
    const box = tiles[number]?.[2].querySelector('input[type=checkbox]');
    box?.click();
    return Boolean(box);
}"""
"""Ticks a box, and returns whether there was one: while the App redraws its grid, images are missing."""

_LISTEN = """() => {
    window.noticed = [];
    const note = () => document.querySelectorAll('#notistack-snackbar').forEach(
        notice => { if (!window.noticed.includes(notice.textContent)) window.noticed.push(notice.textContent); });
    new MutationObserver(note).observe(document, {childList: true, subtree: true, characterData: true});
}"""
"""Keeps what the App tells and takes away after some seconds."""


def wait_until(is_so: Callable[[], object], what: str, *, seconds: float = PATIENCE_SECONDS) -> None:
    """Ask again until it is so."""
    limit = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < limit, f"after {seconds:.0f} s it was not so that {what}"
        time.sleep(0.05)


@dataclass(frozen=True)
class Tile:
    """What is written under an image of the grid, and what is not."""

    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()


class Browser:
    """One page of the App."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.strangers: list[str] = []
        page.set_default_timeout(PATIENCE_SECONDS * 1000)
        page.add_init_script(f"({_LISTEN})()")
        self._asked: set[Any] = set()
        page.on("request", self._begin)
        page.on("requestfinished", self._note)
        page.on("requestfailed", self._end)

    def _begin(self, request: Any) -> None:
        """Note what the App waits for: its stream of events never ends, and of an image given up no end is told."""
        if not urlsplit(request.url).path.endswith(("/events", "/media")):
            self._asked.add(request)

    def _end(self, request: Any) -> None:
        self._asked.discard(request)

    def _note(self, request: Any) -> None:
        """Note who else answers."""
        self._end(request)
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1":
            self.strangers.append(request.url)

    def open(self, url: str) -> None:
        """Open the App and wait for its grid; an earlier page's grid does not count."""
        self.page.goto("about:blank")
        self.page.goto(url)
        self.page.locator("[data-cy=looker]").first.wait_for()
        self._dismiss()

    def _dismiss(self) -> None:
        """Close what the App tells at its first start."""
        dismiss = self.page.get_by_role("button", name="Dismiss")
        if dismiss.count():
            dismiss.first.click()

    def _look(self) -> list[tuple[str, bool]]:
        """Return (what is written under it, whether it is selected) of each image, in the order on the screen."""
        return [tuple(tile[2:]) for tile in sorted(self.page.evaluate(_TILES))]

    def tiles(self) -> list[str]:
        """Return what is written under each image, in the grid's order on the screen."""
        return [text for text, _ in self._look()]

    def wait_for_tiles(self, expected: Sequence[Tile]) -> None:
        """Wait until the App has its answers and shows these images in this order, none selected."""

        def is_so() -> bool:
            seen = self._look()
            return (
                not self._asked
                and len(seen) == len(expected)
                and all(
                    not ticked
                    and all(word in text for word in tile.has)
                    and not any(word in text for word in tile.lacks)
                    for (text, ticked), tile in zip(seen, expected, strict=True)
                )
            )

        try:
            wait_until(is_so, "the grid shows what was decided")
        except AssertionError as fault:
            raise AssertionError(
                f"{fault}: {self._look()} rather than {expected}; asked: {[asked.url for asked in self._asked]}"
            ) from None

    def wait_idle(self) -> None:
        """Wait until the App has every answer that it asked for."""
        wait_until(lambda: not self._asked, "the App has its answers")

    def select(self, *numbers: int) -> None:
        """Tick these boxes, by the place on the screen, and no others."""
        wanted = set(numbers)

        def is_so() -> bool:
            seen = self._ticked()
            if seen == wanted:
                return True
            if len(self._look()) > max(wanted | seen):
                number = min(wanted ^ seen)
                if self.page.evaluate(_TICK, number):
                    with contextlib.suppress(AssertionError):
                        wait_until(lambda: self._ticked() == seen ^ {number}, "it is ticked", seconds=AGAIN_SECONDS)
            return False

        wait_until(is_so, f"exactly {sorted(wanted)} are selected")

    def _ticked(self) -> set[int]:
        # The box does not keep the browser's own state: its mark is a class.
        return {number for number, (_, ticked) in enumerate(self._look()) if ticked}

    def command(self, name: str) -> None:
        """Call an operator as the keyboard does: the operator browser, its name, Enter."""
        search = self.page.get_by_placeholder("Search operations by name...")
        self._until_shown(search, lambda: self.page.keyboard.press("`"))
        search.fill(f"Review: {name}")
        self.page.get_by_text(f"Review: {name}", exact=True).first.wait_for()
        self.page.keyboard.press("Enter")

    def press(self, operator: str) -> None:
        """Press the button of an operator that has a form, over the grid, or next to the sample that is open."""
        button = self.page.locator(f"[data-item-id='@curation/review/{operator}']").first
        form = self.page.get_by_role("button", name="Execute").first
        self._until_shown(form, lambda: button.click(timeout=AGAIN_SECONDS * 1000))

    def _until_shown(self, wanted: Any, act: Callable[[], None]) -> None:
        """Act, and again where the App did not hear it, as a person does whose click came while it was loading."""
        from playwright.sync_api import TimeoutError as NotYet

        end = time.monotonic() + PATIENCE_SECONDS
        while True:
            with contextlib.suppress(NotYet):
                act()
            try:
                return wanted.wait_for(timeout=AGAIN_SECONDS * 1000)
            except NotYet:
                if time.monotonic() > end:
                    raise

    def fill(self, *, reason: str = "", label: str = "") -> None:
        """Fill the form that is open and execute it."""
        if label:
            field = self.page.get_by_placeholder("Type or select a value").first
            field.click()
            field.fill(label)
            self.page.get_by_role("option", name=label, exact=True).click()
        if reason:
            self.page.get_by_role("dialog").get_by_role("textbox").last.fill(reason)
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('button')].some("
            "button => button.innerText === 'Execute' && !button.disabled)"
        )
        self.page.get_by_role("button", name="Execute").click()

    def wait_for_text(self, text: str) -> None:
        """Wait until a text is on the screen."""
        self.page.get_by_text(text).first.wait_for()

    def wait_for_notice(self, text: str) -> None:
        """Wait until the App has told something, on this page."""
        wait_until(lambda: any(text in told for told in self.page.evaluate("window.noticed")), f"the App said {text!r}")

    def wait_for_tile(self, text: str, *, count: int = 1) -> None:
        """Wait until so many images say a text."""
        self.page.locator("[data-cy=looker]", has_text=text).nth(count - 1).wait_for()

    def wait_for_words(self, text: str, *numbers: int, of: int) -> None:
        """Wait until so many images are on the screen and exactly these, by their place, say a text."""

        def is_so() -> bool:
            seen = self.tiles()
            return len(seen) == of and {number for number, tile in enumerate(seen) if text in tile} == set(numbers)

        wait_until(is_so, f"exactly {numbers} of {of} pictures say {text!r}")

    def wait_still(self) -> bytes:
        """Wait until the screen stands still, and return it as a PNG."""
        seen = [b"", self.page.screenshot()]

        def stands_still() -> bool:
            seen.append(self.page.screenshot())
            return seen[-1] == seen[-2]

        wait_until(stands_still, "the screen stands still")
        return seen[-1]

    def screenshot(self, path: Path) -> None:
        """Write what is on the screen, as soon as it stands still."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.wait_still())


@contextmanager
def open_chromium(chromium: Path) -> Iterator[Any]:
    """Start Chromium without a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS, timeout=180_000)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def open_page(chromium: Any) -> Iterator[Browser]:
    """Open one page that has no other: the App keeps what was selected in the browser."""
    context = chromium.new_context(viewport={"width": 1600, "height": 1000})
    try:
        yield Browser(context.new_page())
    finally:
        context.close()

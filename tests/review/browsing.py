"""A person at the App: headless Chromium that selects, presses and reads what is on the screen."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

CHROMIUM_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Browser:
    """One page of the App."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.strangers: list[str] = []
        page.on("requestfinished", self._note)

    def _note(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname != "127.0.0.1":
            self.strangers.append(request.url)

    def open(self, url: str, *, samples: bool = True) -> None:
        """Open the App and wait for its grid; an earlier page's grid does not count."""
        self.page.goto("about:blank")
        self.page.goto(url)
        if samples:
            self.page.locator("[data-cy=looker]").first.wait_for(timeout=90_000)
        else:
            self.page.get_by_text("samples").first.wait_for(timeout=90_000)
        dismiss = self.page.get_by_role("button", name="Dismiss")
        if dismiss.count():
            dismiss.first.click()

    def tiles(self) -> list[str]:
        """Return what is written under each picture, in the grid's order on the screen."""
        tiles = self.page.locator("[data-cy=looker]")
        boxes = [(tiles.nth(number).bounding_box(), tiles.nth(number).inner_text()) for number in range(tiles.count())]
        placed = [(round(box["y"]), round(box["x"]), text) for box, text in boxes if box]
        return [text for _, _, text in sorted(placed)]

    def select(self, *numbers: int) -> None:
        """Tick these boxes, by the place on the screen, and no others."""
        for number in sorted(set(numbers) ^ self._ticked()):
            before = len(self._ticked())
            self._boxes()[number].evaluate("box => box.click()")
            for _ in range(50):
                self.page.wait_for_timeout(100)
                if len(self._ticked()) != before:
                    break
        assert self._ticked() == set(numbers), f"{sorted(self._ticked())} are selected rather than {sorted(numbers)}"

    def _ticked(self) -> set[int]:
        # The box does not keep the browser's own state: its mark is a class.
        classes = [str(box.get_attribute("class")) for box in self._boxes()]
        return {number for number, name in enumerate(classes) if "selectionIcon" in name}

    def _boxes(self) -> list[Any]:
        tiles = self.page.locator("[data-cy=looker]")
        placed = []
        for number in range(tiles.count()):
            box = tiles.nth(number).bounding_box()
            if box is not None:
                placed.append((round(box["y"]), round(box["x"]), number))
        return [tiles.nth(number).locator("input[type=checkbox]") for _, _, number in sorted(placed)]

    def command(self, name: str) -> None:
        """Call an operator as the keyboard does: the operator browser, its name, Enter."""
        self.page.keyboard.press("`")
        search = self.page.get_by_placeholder("Search operations by name...")
        search.wait_for(timeout=10_000)
        search.fill(f"Review: {name}")
        self.page.get_by_text(f"Review: {name}", exact=True).first.wait_for(timeout=10_000)
        self.page.keyboard.press("Enter")

    def press(self, operator: str) -> None:
        """Press the button of an operator over the grid, or beside the sample that is open."""
        self.page.locator(f"[data-item-id='@curation/review/{operator}']").first.click()

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

    def wait_for_text(self, text: str, *, seconds: float = 20) -> float:
        """Wait until a text is on the screen; return the seconds it took."""
        began = time.perf_counter()
        self.page.get_by_text(text).first.wait_for(timeout=seconds * 1000)
        return time.perf_counter() - began

    def wait_for_tile(self, text: str, *, count: int = 1, seconds: float = 20) -> float:
        """Wait until so many pictures say a text; return the seconds it took."""
        began = time.perf_counter()
        self.page.locator("[data-cy=looker]", has_text=text).nth(count - 1).wait_for(timeout=seconds * 1000)
        return time.perf_counter() - began

    def screenshot(self, path: Path) -> None:
        """Write what is on the screen."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=path)


@contextmanager
def open_browser(chromium: Path) -> Iterator[Browser]:
    """Start Chromium with one page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        try:
            yield Browser(browser.new_page(viewport={"width": 1600, "height": 1000}))
        finally:
            browser.close()

"""Each notebook as `proveout edit` opens it, in a browser, on a small pipeline's inputs: no error, no empty plot, and every
control changes something that is shown."""

import shutil
import time
from collections.abc import Iterator

import pytest

from program import page_of

SHORT = ["prompts", "report"]  # one of the design, and that of the reports
LONG = ["curate", "retrieval", "models", "calibrate", "decide", "agent", "evaluate"]
BESIDE = ("curate", "retrieval", "models", "calibrate", "agent")
CATALOG = ["evaluate", *(pytest.param(name, marks=pytest.mark.long) for name in BESIDE)]
PATIENCE = 300  # seconds for a notebook to come to rest

AT_WORK = """() => {
    const cells = [...document.querySelectorAll('.marimo-cell')]
    const busy = /running|queued|needs-run/
    return !cells.length || cells.some(cell => busy.test(cell.className)
        || cell.querySelector('[data-testid=cell-status][data-status=running], [data-testid=cell-status][data-status=queued]'))
}"""
WRONG = """() => [...document.querySelectorAll('.marimo-cell.has-error, .marimo-error, [data-testid=marimo-error]')]
    .map(place => place.innerText.slice(-600))"""
SHOWN = """() => [...document.querySelectorAll('.output-area')].map(output => {
    const copy = output.cloneNode(true)
    const parts = copy.querySelectorAll('img, svg, marimo-table, marimo-stat, marimo-callout-output')
    return copy.textContent + [...parts].map(part => part.outerHTML).join()
})"""
EMPTY = """() => [...document.querySelectorAll('.output-area img')].filter(image => !image.naturalWidth).length"""


@pytest.fixture
def opened(request, small_home, chromium) -> Iterator[object]:
    """The notebook's page in the editor, when all of its cells have run."""
    with page_of(chromium, ["edit", request.param, "--no-token"], small_home, height=1600) as page:
        rest(page)
        yield page


def rest(page) -> None:
    """Wait until no cell is at work, and has not been for a second."""
    until, quiet = time.monotonic() + PATIENCE, 0
    while quiet < 4:
        page.wait_for_timeout(250)
        quiet = 0 if page.evaluate(AT_WORK) else quiet + 1
        assert time.monotonic() < until, "the notebook does not come to rest"


def changed(page, before: list[str]) -> bool:
    """Whether something else is shown, within a minute and after all has come to rest."""
    for _ in range(240):
        page.wait_for_timeout(250)
        if page.evaluate(SHOWN) != before:
            rest(page)
            return page.evaluate(SHOWN) != before
    return False


def operate(control, kind: str) -> bool:
    """Change a control as a person would; False where it has nothing else to choose."""
    if kind == "marimo-dropdown":
        if (choice := control.locator("select")).count():
            values = choice.locator("option").evaluate_all("all => all.map(one => one.value)")
            others = [value for value in values if value and value != choice.input_value() and value != "--"]
            if others:
                choice.select_option(others[0])
            return bool(others)
        control.locator("button").click()  # one that can be searched
        for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter", "Escape"):
            control.page.wait_for_timeout(200)
            control.page.keyboard.press(key)
    elif kind == "marimo-slider":
        thumb = control.locator("[role=slider]")
        if thumb.get_attribute("aria-valuemin") == thumb.get_attribute("aria-valuemax"):
            return False
        at_the_end = thumb.get_attribute("aria-valuenow") == thumb.get_attribute("aria-valuemax")
        thumb.focus()
        for _ in range(3):
            control.page.keyboard.press("ArrowLeft" if at_the_end else "ArrowRight")
    elif kind == "marimo-button":
        if control.locator("button").is_disabled():
            return False
        control.locator("button").click()
    else:
        write(control, "5" if kind == "marimo-number" else "e")
    return True


def write(control, key: str) -> None:
    control.locator("input, textarea").first.click()
    for press in ("Control+End", key, "Tab"):
        control.page.keyboard.press(press)


@pytest.mark.parametrize("opened", [*SHORT, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)], indirect=True)
def test_a_notebook_opens_whole_and_every_control_does_something(opened):
    check(opened)


@pytest.mark.parametrize("name", CATALOG)
def test_a_notebook_of_the_catalog_does_so_too(name, catalog_once, chromium, tmp_path):
    home = shutil.copytree(catalog_once / "work" / "catalog", tmp_path / "home")
    with page_of(chromium, ["edit", name, "--mission", "catalog", "--no-token"], home, height=1600) as page:
        rest(page)
        check(page)


def check(page) -> None:
    assert page.evaluate(WRONG) == []
    assert page.evaluate(EMPTY) == 0, "a plot is empty"
    kinds = "marimo-dropdown, marimo-slider, marimo-number, marimo-text, marimo-text-area, marimo-button"
    for at in range(page.locator(kinds).count()):
        control = page.locator(kinds).nth(at)
        kind = control.evaluate("one => one.tagName.toLowerCase()")
        label = control.evaluate("one => one.dataset.label || ''")
        control.evaluate("one => one.scrollIntoView()")
        before = page.evaluate(SHOWN)
        if operate(control, kind):
            assert changed(page, before), f"{kind} {label} changes nothing that is shown"
            assert page.evaluate(WRONG) == [], f"after {kind} {label}"
            if kind == "marimo-text-area":
                write(control, "Backspace")  # a mistake in one text hides what the next one does
                rest(page)

"""A decision opens as a notebook whose edited cell is the pipeline's step, and its case becomes a regression case."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from program import page_of, proveout
from proveout.agent.steps import STEPS, Steps
from proveout.cli import acting, designing, releasing
from proveout.errors import BadInput, BadModel, BadSpec
from proveout.evaluation import regression
from proveout.evaluation.comparison import faults
from proveout.evaluation.regression import Regression
from proveout.journal import Journal
from proveout.live import replay
from proveout.live.opening import Opened, opened
from proveout.live.what_if import Change, what_if
from proveout.records import Decided, Route
from proveout.release import Releases
from proveout.workspace import Workspace
from test_loop import hand_in, labels
from test_notebooks import WRONG, rest

ROOT = Path(__file__).parent.parent
DECIDE = ROOT / "notebooks" / "invoices" / "decide.py"
ACT = "def route(draft, mission):\n    return Route.ACT"


@pytest.fixture(scope="module")
def space(bills_once) -> Iterator[Workspace]:
    """Three bills decided in one batch, the third a copy of the second's business."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp"))  # marimo takes a notebook in /tmp for one without a name, and does not save
    shutil.copytree(bills_once, folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)  # opens notebooks whole
    space = Workspace.find("bills", start=folder)
    for number in (1, 2):
        hand_in(space, number)
    text = (space.home / "inbox" / "slip-2.txt").read_text()
    (space.home / "inbox" / "slip-2-again.txt").write_text(f"{text}\nthank you\n")
    acting.run(space, None)
    yield space
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def decided(space) -> list[Decided]:
    with Journal(space.home / "journal.db") as journal:
        return list(journal.decisions())


def again(case: Opened, **functions):
    """What the cells of the notebook make of a case."""
    drafts = case.agent.read(case.files)
    for step in ("recall", "score", "check", "route", "propose"):
        drafts = case.agent.after(step, drafts, **functions)
    return case.agent.decision(drafts[-1])


def test_the_cells_of_the_notebook_decide_as_the_release_did_bit_for_bit(space, decided, tmp_path):
    Steps.save(DECIDE, tmp_path / "steps.py")
    functions = Steps.load(tmp_path / "steps.py")
    assert functions.route.__code__.co_filename == str(tmp_path / "steps.py"), "not the standard one"
    assert any("of the same batch" in check.because for one in decided for check in one.decision.checks)
    for one in decided:
        case = opened(space, one.case.key)
        assert list(replay.differences(one.decision, again(case, **vars(functions)))) == []
        assert case.decided.case == one.case and case.files[-1].name.startswith(one.case.sha256)


def test_an_edited_step_changes_what_follows_it_and_nothing_before(space, decided):
    case = opened(space, decided[0].case.key)
    changed = list(replay.differences(decided[0].decision, again(case, route=lambda draft, mission: Route.ACT)))
    assert changed[0].step == "route" and {one.step for one in changed} <= {"route", "propose"}
    kept = case.agent.after("score", case.agent.after("recall", case.agent.read(case.files)))
    before = [(draft.states, draft.checks) for draft in kept]
    case.agent.after("check", kept, check=lambda subject, kind, rules: ())
    assert [(draft.states, draft.checks) for draft in kept] == before, "a cell changes nothing that another cell made"
    compared = what_if(space.home, {one.case.key for one in decided}, Change(steps=Steps(route=lambda *_: Route.ACT)))
    assert {one.after.decision.route for one in compared if one.after} == {Route.ACT}


NOTEBOOK = """import marimo
app = marimo.App()
with app.setup:
    import math
    import matplotlib.pyplot as plt
    from proveout.agent import steps
    LIMIT = math.inf
@app.cell(hide_code=True)
def _():
    plt.plot([1])
    return
@app.function
def small(draft):
    return len(draft.states) < LIMIT
@app.function(hide_code=True)
def drawn(draft):
    plt.plot([2])
"""


def notebook(folder: Path, **bodies: str) -> Path:
    functions = (f"@app.function\ndef {name}(*a):\n    {bodies.get(name, f'return steps.{name}(*a)')}\n" for name in STEPS)
    (folder / "decide.py").write_text(NOTEBOOK + "".join(functions))
    return folder / "decide.py"


def test_a_release_pins_the_functions_with_what_they_use_and_nothing_that_is_displayed(tmp_path):
    Steps.save(notebook(tmp_path, route="return small(a[0])"), tmp_path / "steps.py")
    text = (tmp_path / "steps.py").read_text()
    assert "def small" in text and "LIMIT = math.inf" in text and "import math" in text
    assert "plt" not in text and "marimo" not in text and "drawn" not in text
    assert Steps.load(tmp_path / "steps.py").route(SimpleNamespace(states={})) is True
    assert not (tmp_path / "__pycache__").exists()


def test_a_step_that_does_not_stand_by_itself_is_refused_with_what_to_do(tmp_path):
    file = notebook(tmp_path)
    file.write_text(file.read_text().replace("@app.function\ndef route(*a)", "@app.cell\ndef _(small):\n  def route(*a)"))
    with pytest.raises(BadSpec, match="expected a top-level function `route`; a function stands by itself if"):
        Steps.save(file, tmp_path / "steps.py")
    (tmp_path / "bad.py").write_text("import no_such_module\n")
    with pytest.raises(BadModel, match="the functions of the steps cannot be loaded: ModuleNotFoundError"):
        Steps.load(tmp_path / "bad.py")


def test_a_regression_case_holds_or_fails_and_says_why(space, decided):
    one, mission = decided[0], space.mission
    right = Regression(one.case.id, one.case.sha256, {"total": labels(1)["total"]}, "", one.decision.route, "ada", "was paid")
    with Journal(space.home / "journal.db") as journal:
        regression.add(journal, one.case, right, mission)
        agent, listed = opened(space, one.case.key).agent, regression.write_list(space.home)
        assert [str(each) for each in regression.results(agent, listed)] == [f"regression case {one.case.id[:12]}: holds"]
        before = listed.read_text()
        assert labels(1)["total"] not in before, "the list says nothing of what it holds"
        wrong = Route.ACT if one.decision.route is Route.REVIEW else Route.REVIEW
        regression.add(journal, one.case, replace(right, route=wrong), mission)
        (failed,) = regression.results(agent, regression.write_list(space.home))
        assert failed.wrong == (f"its route is {one.decision.route.value}, right is {wrong}",)
        assert listed.read_text() != before, "a build notices"
        regression.remove(journal, one.case, "ada")
        assert regression.results(agent, regression.write_list(space.home)) == []
        for other, why in (
            ({"fields": {"totl": "1"}}, "has no field 'totl'"),
            ({"route": "later"}, "no route 'later'"),
            ({"document_class": "poem"}, "no class 'poem'"),
            ({"fields": {}, "route": ""}, "nothing is right or wrong yet"),
        ):
            with pytest.raises(BadInput, match=why):
                regression.add(journal, one.case, replace(right, **other), mission)
        lines = [event.payload.get("because") for event in journal.events(one.case.id) if event.kind == "regression case"]
        assert lines == ["was paid", "was paid", None]


def test_an_automated_value_that_is_wrong_fails_and_one_for_a_person_does_not(space, decided):
    one, mission = next(each for each in decided if "total" in each.decision.fields), space.mission
    right = Regression(one.case.id, one.case.sha256, {"total": "$0.01"})
    automated = replace(one.decision, automated=frozenset({"total"}))
    assert list(regression._wrong(right, replace(one.decision, automated=frozenset()), mission)) == []
    assert list(regression._wrong(right, automated, mission)) == ["total is wrong"]
    same = replace(right, fields={"total": one.decision.fields["total"].text})
    assert list(regression._wrong(same, automated, mission)) == []
    assert list(regression._wrong(right, None, mission)) == ["its file is not kept, or is another by now"]


@pytest.mark.parametrize(("case", "why"), [("zz", "zz: no decided cases"), ("", "no decided cases")])
def test_only_a_decided_case_can_be_opened(space, case, why):
    with pytest.raises(BadInput, match=why):
        designing.open_case(space, case)


def test_a_cell_is_edited_in_the_browser_the_route_changes_and_the_next_build_holds_the_case(space, decided, chromium, capsys):
    """Edited, tried on the case, made a regression case, saved, built: the release decides it as the cell did."""
    one, root = decided[0], space.root
    assert one.decision.route is Route.REVIEW
    with page_of(chromium, ["open", one.case.id[:12], "--mission", "bills", "--no-token"], space.home, 2400, root) as page:
        rest(page)
        assert page.evaluate(WRONG) == []
        verdict = page.locator(".output-area:has-text('Release'):has-text('decided on')").first
        assert "the same, bit for bit" in verdict.inner_text()
        cell = page.locator(".marimo-cell:has-text('def route(draft')").locator(".cm-content").first
        cell.click()
        page.keyboard.press("Control+A")
        page.keyboard.insert_text(ACT)
        page.keyboard.press("Control+Enter")
        page.locator(
            ".output-area:has-text('step route: route was'):has-text('With the cells of this notebook: act')"
        ).wait_for()
        rest(page)
        assert page.evaluate(WRONG) == []
        page.locator("marimo-dropdown").last.locator("select").select_option(label="act")
        rest(page)
        page.get_by_role("button", name="make it a regression case").click()
        page.locator(".output-area:has-text('is a regression case')").wait_for()
        page.keyboard.press("Control+S")
        page.wait_for_timeout(1000)
        page.get_by_role("button", name="what would a build run?").click()
        page.locator(".output-area:has-text('cell route changed'):has-text('evaluate')").wait_for()
    assert "return Route.ACT" in (root / "notebooks" / "invoices" / "decide.py").read_text()
    assert "cell `route` changed" in proveout(root, "why", "decide", "--mission", "bills")
    proveout(root, "build", "--mission", "bills")
    release = Releases(space.releases).open("latest")
    assert "return Route.ACT" in release.path("steps").read_text()
    metrics = json.loads(release.path("evidence/metrics").read_text())
    assert metrics["regressions"] == {"cases": 1, "failed": []} and not any("regression" in line for line in faults(release))


def test_a_release_with_a_fault_is_not_promoted_without_asking(space, decided, capsys):
    proveout(space.root, "build", "--mission", "bills")
    release = Releases(space.releases).open("latest")
    path = release.path("evidence/metrics")
    metrics, before = json.loads(path.read_text()), Releases(space.releases).current()
    metrics["regressions"] = {
        "cases": 1,
        "failed": [f"regression case {decided[0].case.id[:12]}: its route is review, right is act"],
    }
    metrics["removals"] = {"decided": 40, "replaced": ["gross_amount of case 0123456789ab"] * 3}
    failing = Releases(space.releases).freeze(
        {name: release.path(name) for name in release.manifest["content"]["parts"] if name != "code"}
        | {"policy": _other(release.path("policy"))},
        {"metrics": _written(space.home / "metrics.json", metrics)},
    )
    with pytest.raises(BadInput, match="there is no terminal to ask on"):
        releasing.promote(space, failing)
    out = capsys.readouterr().out
    assert "fails regression case" in out and "acts on 3 of 40 documents from which a required value was removed" in out
    assert Releases(space.releases).current() == before
    assert releasing.promote(space, failing, yes=True)


def _other(policy: Path) -> Path:
    other = policy.parent.parent.parent / "policy.cedar"
    other.write_text(policy.read_text() + "\n// another release\n")
    return other


def _written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path

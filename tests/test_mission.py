"""A mission file is checked whole before anything runs, and each fault is named with what would be right."""

from pathlib import Path

import pytest
import yaml

from proveout import mission
from proveout.errors import BadInput, BadMission
from proveout.workspace import Workspace, project_root

ROOT = Path(__file__).parent.parent
INVOICES = yaml.safe_load((ROOT / "pipelines" / "invoices" / "mission.yaml").read_text())


REMOVED = object()


def written(folder: Path, **changes: object) -> Path:
    path = folder / "mission.yaml"
    whole = {name: value for name, value in {**INVOICES, **changes}.items() if value is not REMOVED}
    path.write_text(yaml.safe_dump(whole))
    return path


def action(**specs: object) -> dict:
    return {"actions": specs}


def test_the_missions_that_ship_are_valid():
    loaded = mission.load(ROOT / "pipelines" / "invoices" / "mission.yaml")
    assert loaded.kinds["gross_amount"] == "amount"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"bugdet": {}}, "unknown key `bugdet`; did you mean `budget`?"),
        ({"slo": {**INVOICES["slo"], "precison": 0.9}}, "unknown key `slo.precison`; did you mean `precision`?"),
        ({"fields": {"total": {"kind": "money"}}}, "`fields.total.kind`"),
        ({"slo": {**INVOICES["slo"], "precision": 98}}, "found 98"),
        ({"checks": {"adds_up": ["gros_amount"]}}, "checks.adds_up: unknown field `gros_amount`; did you mean `gross_amount`?"),
        (
            {"fields": {"rush": {"kind": "flag"}}, "actions": {}, "checks": {"adds_up": ["rush"]}},
            "expected a field of kind amount; rush is of kind flag",
        ),
        ({"zzz": 1}, "expected one of: mission, purpose"),
        ({"tiers": ["rankr", "person"]}, "tiers: unknown tier `rankr`; did you mean `ranker`?"),
        ({"tiers": ["ranker"]}, "the last one `person`; found ['ranker']"),
        ({"case": "documnt"}, "unknown kind of case `documnt`; did you mean `document`?"),
        ({"checks": {"add_up": ["gross_amount"]}}, "checks.add_up: unknown check `add_up`; did you mean `adds_up`?"),
        ({"checks": {"date_order": [["flight_from"]]}}, "checks.date_order: "),
        ({"never_act_on": ["othr"]}, "never_act_on: unknown class `othr`; did you mean `other`?"),
        ({"never_act_on": REMOVED}, "`never_act_on` is missing; list the classes whose cases always go to a person"),
        (action(file_documnt={}), "actions.file_documnt: unknown connector `file_documnt`; did you mean `file_document`?"),
        (action(file_document={"settings": {"foldr": "x"}}), "settings: unknown setting `foldr`; did you mean `folder`?"),
        (
            action(pay_invoice={}),
            "actions.pay_invoice.arguments: `amount` is missing; name a field, such as amount: gross_amount",
        ),
        (
            action(pay_invoice={"arguments": {"amount": "flight_to"}}),
            "expected a field of kind amount; flight_to is of kind date",
        ),
        (action(pay_invoice={"arguments": {"amount": "total"}}), "arguments.amount: unknown field `total`"),
        (action(file_document={"for_classes": ["bill"]}), "actions.file_document.for_classes: unknown class `bill`"),
        ({"fields": {}, "checks": {}}, "no field is required"),
        ({"fields": {"total": {"kind": "amount", "required": False}}, "checks": {}}, "acted on without any evidence"),
    ],
)
def test_a_fault_is_named_with_what_would_be_right(tmp_path, changes, said):
    with pytest.raises(BadMission) as refused:
        mission.load(written(tmp_path, **changes))
    assert said in str(refused.value)
    assert str(tmp_path / "mission.yaml") in str(refused.value)


@pytest.mark.parametrize("text", ["", "- a list", "mission: [", "just words"])
def test_what_is_no_mission_is_refused(tmp_path, text):
    (tmp_path / "mission.yaml").write_text(text)
    with pytest.raises(BadMission, match=r"mission\.yaml"):
        mission.load(tmp_path / "mission.yaml")


def test_a_mission_that_is_not_there_names_the_place():
    with pytest.raises(BadMission, match=r"pipelines/<name>/mission\.yaml"):
        mission.load("nowhere/mission.yaml")


def test_an_unknown_mission_is_answered_with_the_nearest():
    with pytest.raises(BadInput, match="did you mean `invoices`"):
        Workspace.find("invoice", start=ROOT)


def test_outside_a_project_the_command_says_where_it_stands(tmp_path):
    with pytest.raises(BadInput, match="not inside a Proveout project"):
        project_root(tmp_path)

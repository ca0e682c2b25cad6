"""The search for phrases proposes what the pages show, scores it fairly, and keeps every score."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from proveout import mission as missions
from proveout.agent.prompt_search import Change, Trial, search
from proveout.documents import columns, plain_text
from proveout.models import Settings
from proveout.prompts import ClassPrompt, FieldPrompt, Prompts
from proveout.records import Document

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
MISSION = missions.load(DESIGN / "mission.yaml").model_copy(
    update={"fields": {"total": missions.FieldSpec(kind="amount")}, "checks": {}, "actions": {}}
)
PROMPTS = Prompts(
    {"total": FieldPrompt("what is to be paid", ("Total",), ("Nothing Like It",))},
    {"note": ClassPrompt("a note")},
    "{{ document }}",
)
QUICK = Settings(rounds=20)


def note(n: int) -> Document:
    """Six layouts. The total is beside a phrase that the prompts do not have, another amount beside one that is never right."""
    fill = "\n" * (n % 6)
    text = f"Note {n}\nLayout {'ABCDEF'[n % 6] * 9}\n{fill}Shipping Value $3{n}.00\n{fill}Amount Payable $7{n}.50\n"
    text += f"Total Weight $1{n}.25\n"
    return columns.document(f"{n:064x}", list(plain_text.pages(text.encode())))


NOTES = [note(n) for n in range(48)]
LABELS = {one.id: {"total": f"$7{n}.50"} for n, one in enumerate(NOTES)}
LAYOUTS = {one.id: "ABCDEF"[n % 6] for n, one in enumerate(NOTES)}


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Trial], Path]:
    file = tmp_path_factory.mktemp("search") / "home" / "trials.jsonl"
    return search(NOTES, LABELS, LAYOUTS, MISSION, PROMPTS, 4, file, QUICK), file


def test_the_phrase_beside_right_values_is_proposed_first(trials):
    base, first, *_ = trials[0]
    assert base.changes == [] and base.version == PROMPTS.version and (base.turned_right, base.turned_wrong) == (0, 0)
    assert first.changes == ["total: + labels “Amount Payable”"]


def test_a_trial_says_what_it_turned(trials):
    base, first, *_ = trials[0]
    values = len(NOTES)
    gained = (first.turned_right - first.turned_wrong) / values
    assert first.f1 - base.f1 == pytest.approx(gained, abs=0.05)
    assert set(first.certified) == set(first.precise) == {"total"} and first.precise["total"] >= first.certified["total"]


def test_no_more_trials_than_asked_and_every_one_is_kept(trials):
    results, file = trials
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert 2 <= len(results) <= 5  # and at most one of all that helped
    assert [line["version"] for line in lines] == [trial.version for trial in results]


def test_a_trial_is_not_made_twice_unless_the_labels_changed(trials):
    results, file = trials
    again = search(NOTES, LABELS, LAYOUTS, MISSION, PROMPTS, 4, file, QUICK)
    assert [trial.seconds for trial in again[1:]] == [trial.seconds for trial in results[1:]]
    other = {id: dict(labels) for id, labels in LABELS.items()} | {NOTES[0].id: {"total": "$30.00"}}
    fresh = search(NOTES, other, LAYOUTS, MISSION, PROMPTS, 2, file, QUICK)
    assert fresh[1].seconds != results[1].seconds
    first = Change("total", "labels", "Amount Payable").of(PROMPTS)
    from_others = search(NOTES, LABELS, LAYOUTS, MISSION, first, 4, file, QUICK)  # a trial compares with what it began with
    assert not {trial.seconds for trial in results} & {trial.seconds for trial in from_others}


@pytest.mark.parametrize(
    ("change", "labels", "not_labels"),
    [
        (Change("total", "labels", "Due"), ("Total", "Due"), ("Nothing Like It",)),
        (Change("total", "labels", "Total", remove=True), (), ("Nothing Like It",)),
        (Change("total", "not_labels", "Weight"), ("Total",), ("Nothing Like It", "Weight")),
    ],
)
def test_a_change_is_one_phrase(change: Change, labels: tuple[str, ...], not_labels: tuple[str, ...]):
    field = change.of(PROMPTS).fields["total"]
    assert (field.labels, field.not_labels) == (labels, not_labels)
    assert PROMPTS.fields["total"].labels == ("Total",)


def test_documents_without_labels_and_of_one_layout_are_no_fault(tmp_path: Path):
    one_layout = dict.fromkeys(LAYOUTS, "A")
    (base,) = search(NOTES, LABELS, one_layout, MISSION, PROMPTS, 1, tmp_path / "a.jsonl", QUICK)
    assert base.f1 == 0.0  # nothing is left to learn from
    few = search(
        [*NOTES[:6], replace(NOTES[0], sha256="f" * 64)], LABELS, LAYOUTS, MISSION, PROMPTS, 2, tmp_path / "b.jsonl", QUICK
    )
    assert few[0].changes == []

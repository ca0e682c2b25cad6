"""The label audit: what is asked, how answers are kept, and that a certificate made afterwards holds, by simulation."""

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from program import page_of
from proveout import mission as missions
from proveout.agent.label_audit import Judged, evidence, judged, options, questions, worth
from proveout.calibration.thresholds import fewest_blind, learn_then_test
from proveout.cli.designing import audit
from proveout.corpus import Dataset, build_dataset, read_labels, synthetic
from proveout.corpus.audit import CANNOT_TELL, Reading, blind_sample, corrected, read_audit, record
from proveout.errors import BadInput, BadLabels
from proveout.mission import SLO
from proveout.models.tiers import Extraction, ScoredValue
from proveout.prompts import Prompts
from proveout.records import BlindSample
from proveout.values import value_of
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent
DESIGN = ROOT / "pipelines" / "invoices"
MISSION = missions.load(DESIGN / "mission.yaml")
PROMPTS = Prompts.load(DESIGN / "prompts", MISSION)
PROMISE = SLO(precision=0.98, confidence=0.95)
DRAWS = 300


@dataclass(frozen=True)
class Values:
    """Answers of a model, some of them wrong, with labels, some of them wrong as well: alike or otherwise."""

    score: np.ndarray
    model_wrong: np.ndarray
    agree: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int, alike: float, typos: float, errors: float) -> "Values":
        """`alike`: share on which label and model are wrong in the same way; `typos`: labels wrong by themselves."""
        score, kind = rng.random(count), rng.random(count)
        both, typo = kind < alike, (alike <= kind) & (kind < alike + typos)
        own = rng.random(count) < errors * 5 * (1 - score) ** 4  # of the model alone, rarer among high scores
        return cls(score, both | own, both | ~(typo | own))

    def pairs(self, right: np.ndarray) -> list[tuple[float, bool]]:
        return list(zip(self.score.tolist(), right.tolist(), strict=True))


def is_broken(seed: int, read: str, alike: float, typos: float = 0.03, errors: float = 0.02) -> bool | None:
    """Whether the values above the certified threshold are less precise than promised; None without a threshold."""
    rng = np.random.default_rng(seed)
    fields = [Values.draw(rng, 400, alike, typos, errors) for _ in range(5)]
    one, blind = fields[0], None
    right = one.agree  # the labels as they are
    if read != "none":
        right = one.agree | ~one.model_wrong  # every disagreement is read
    if read == "both sides":
        wrong = np.concatenate([values.model_wrong[values.agree] for values in fields])
        drawn = rng.choice(wrong, size=200, replace=False)
        blind = BlindSample(200, int(drawn.sum()))
    certified = learn_then_test(one.pairs(right), len(right), PROMISE.precision, PROMISE.confidence, blind=blind)
    if certified is None:
        return None
    new = Values.draw(rng, 20_000, alike, typos, errors)
    return bool(new.model_wrong[new.score >= certified.threshold].mean() > 1 - PROMISE.precision)


def shares(read: str, alike: float, **how: float) -> tuple[float, float]:
    """The share of draws whose promise is broken, and the share in which something was certified."""
    results = [is_broken(seed, read, alike, **how) for seed in range(DRAWS)]
    return results.count(True) / DRAWS, 1 - results.count(None) / DRAWS


@pytest.mark.parametrize("alike", [0.0, 0.006, 0.018, 0.022, 0.05])
def test_after_an_audit_of_both_sides_the_promise_is_broken_no_more_often_than_stated(alike: float) -> None:
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / DRAWS)
    assert shares("both sides", alike)[0] <= allowed
    assert shares("both sides", alike, typos=0.0, errors=0.0)[0] <= allowed


def test_after_a_one_sided_audit_it_is_broken_far_more_often() -> None:
    assert shares("one-sided", alike=0.03)[0] > 0.8


def test_an_audit_of_both_sides_certifies_what_wrong_labels_had_prevented() -> None:
    assert shares("none", alike=0.0)[1] < 0.05
    assert shares("both sides", alike=0.0)[1] > 0.85


class Oracle:
    """A tier that knows the truth and errs where it is told to."""

    def __init__(self, truth: Mapping[str, Mapping[str, str]], errors: Mapping[tuple[str, str], str]) -> None:
        self.truth, self.errors = truth, errors

    def extract(self, contents, configs=None) -> list[Extraction]:
        return [Extraction(content.id, "invoice", 1.0, self._fields(content.id)) for content in contents]

    def _fields(self, case: str) -> dict[str, ScoredValue]:
        texts = {name: self.errors.get((case, name), text) for name, text in self.truth[case].items()}
        return {name: ScoredValue(text, value_of(MISSION.kinds[name], text), 0.9) for name, text in texts.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "data"
    synthetic.generate(folder, documents=24, seed=11)
    return folder


@pytest.fixture
def data(folder: Path, tmp_path: Path) -> Path:
    """A data folder whose first calibration document has a wrong amount as its label."""
    copy = tmp_path / "data"
    copy.mkdir()
    (copy / "pdf").symlink_to(folder / "pdf")
    with (folder / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    dataset = build_dataset(folder, MISSION, tmp_path / "truth", cache=folder.parent / "cache")
    mistaken = Path(dataset.chosen("calibration")[0].case.path).stem
    for row in rows:
        if row["file_id"] == mistaken:
            row["gross_amount"] = "1.00"
    with (copy / "labels.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, rows[0])
        table.writeheader()
        table.writerows(rows)
    return copy


@pytest.fixture
def truth(folder: Path, data: Path, tmp_path: Path) -> dict[str, dict[str, str]]:
    return Dataset.load(tmp_path / "truth").labels()


def built(data: Path, folder: Path) -> Dataset:
    return build_dataset(data, MISSION, data.parent / "dataset", cache=folder.parent / "cache")


def all_judged(dataset: Dataset, truth: Mapping[str, Mapping[str, str]]) -> list[Judged]:
    return judged({"oracle": Oracle(truth, {})}, dataset, dataset.folds(0), MISSION)


def test_a_wrong_label_is_asked_and_its_correction_is_the_label_of_the_next_build(data, folder, truth):
    dataset = built(data, folder)
    labels = all_judged(dataset, truth)
    doubtful = [each for each in labels if not each.agree]
    assert [(each.field, each.label) for each in doubtful] == [("gross_amount", "1.00")]

    asked = questions(labels, MISSION, [], MISSION.slo)
    question = next(question for question in asked if not question.drawn)
    correct = truth[question.judged.case]["gross_amount"]
    choices = options(question.judged, dataset.document(question.judged.case), MISSION, PROMPTS)
    assert {"1.00", correct} <= {option.text for option in choices} and len(choices) > 2
    assert next(option for option in choices if option.text == correct).place is not None

    record(data, MISSION, [question.reading(correct, "ada", date(2026, 1, 2), "the total at the bottom")])
    entry = built(data, folder).entry(question.judged.case)
    assert entry.labels["gross_amount"] == correct and entry.before_audit == {"gross_amount": "1.00"}
    assert read_labels(data / "labels.csv", MISSION).rows[question.judged.file_id].fields["gross_amount"] == "1.00"
    assert built(data, folder).notes["audit"] == {"label wrong": 1}


def test_questions_of_both_kinds_look_alike(data, folder, truth):
    dataset = built(data, folder)
    asked = questions(all_judged(dataset, truth), MISSION, [], MISSION.slo)
    drawn = [question for question in asked if question.drawn]
    assert 0 < len(drawn) == len(asked) - 1
    choices = [
        [option.text for option in options(question.judged, dataset.document(question.judged.case), MISSION, PROMPTS)]
        for question in drawn
    ]
    for question, texts in zip(drawn, choices, strict=True):
        assert question.judged.value.text in texts and len(set(texts)) == len(texts)
    places = [texts.index(question.judged.value.text) for question, texts in zip(drawn, choices, strict=True)]
    assert all(places.count(at) > len(drawn) / 6 for at in range(3)), "the place of an answer in the list says nothing"
    assert any(len(texts) == 3 for texts in choices)


def test_what_was_answered_is_not_asked_again_and_one_error_asks_for_more(data, folder, truth):
    dataset = built(data, folder)
    labels = all_judged(dataset, truth)
    first, *rest = questions(labels, MISSION, [], MISSION.slo)
    answered = [first.reading(first.judged.value.text, "ada", date(2026, 1, 2))]
    assert questions(labels, MISSION, answered, MISSION.slo) == rest
    assert fewest_blind(0.98, 0.95, wrong=1) > fewest_blind(0.98, 0.95)


def test_certificates_rest_on_the_old_labels_until_enough_values_were_read_blind(data, folder, truth):
    dataset = built(data, folder)
    labels = all_judged(dataset, truth)
    wrong = next(each for each in labels if not each.agree)
    mended = Reading(wrong.file_id, wrong.field, "1.00", "", truth[wrong.case][wrong.field], False, "ada", date(2026, 1, 2))
    record(data, MISSION, [mended])
    dataset = built(data, folder)
    before, blind = evidence(dataset, PROMISE)
    assert blind is None and before[wrong.case]["gross_amount"] == "1.00"

    lower = SLO(precision=0.9, confidence=0.8)
    agreeing = [each for each in labels if each.agree][: fewest_blind(lower.precision, lower.confidence)]
    record(data, MISSION, [replace(mended, **_as_drawn(each)) for each in agreeing])
    corrected_labels, blind = evidence(built(data, folder), lower)
    assert blind == BlindSample(len(agreeing), 0)
    assert corrected_labels[wrong.case]["gross_amount"] == truth[wrong.case]["gross_amount"]


def _as_drawn(each: Judged) -> dict[str, object]:
    texts = dict.fromkeys(("label", "model", "answer"), each.label)
    return {"file_id": each.file_id, "field": each.field, "drawn": True, **texts}


@pytest.mark.parametrize(
    "label, model, answer, verdict",
    [
        ("$5.00", "5", "5.00", "both right"),
        ("$6.00", "5", "5.00", "label wrong"),
        ("$5.00", "6", "5.00", "model wrong"),
        ("$5.00", "5", "6.00", "both wrong"),
        ("$5.00", "5", "", "both wrong"),
        ("", "5", "", "model wrong"),
        ("$5.00", "5", CANNOT_TELL, "cannot tell"),
    ],
)
def test_the_verdict_follows_from_what_was_read(label, model, answer, verdict):
    reading = Reading("a", "gross_amount", label, model, answer, True, "ada", date(2026, 1, 2))
    assert reading.verdict(MISSION) == verdict
    assert blind_sample([reading], MISSION) == BlindSample(1, int(verdict != "both right"))


def test_an_answer_about_a_label_that_has_changed_since_is_ignored(data):
    rows = read_labels(data / "labels.csv", MISSION).rows
    name, row = next((name, row) for name, row in rows.items() if row.fields.get("gross_amount") == "1.00")
    about = Reading(name, "gross_amount", "2.00", "7.00", "7.00", False, "ada", date(2026, 1, 2))
    assert corrected(rows, [about], MISSION)[name] == row
    now = replace(about, label="1.00")
    assert corrected(rows, [now], MISSION)[name].fields["gross_amount"] == "7.00"
    later = replace(now, answer="8.00")
    assert corrected(rows, [now, later], MISSION)[name].fields["gross_amount"] == "8.00"
    assert "gross_amount" not in corrected(rows, [replace(now, answer="")], MISSION)[name].fields


@pytest.mark.parametrize(
    "content, message",
    [
        ("file,field\n", "line 1: the columns are file, field; expected file_id, field, label"),
        ("{}\na,total,1,1,1,no,ada,2026-01-02,\n", "line 2: no field 'total'; expected one of contract_num"),
        ("{}\na,gross_amount,1,1,1,maybe,ada,2026-01-02,\n", "line 2: drawn is 'maybe'; expected yes or no"),
        ("{}\na,gross_amount,1,1,1,no,ada,today,\n", "line 2: on is 'today'; expected YYYY-MM-DD"),
        ("{}\na,gross_amount,1,000.00,1,1,no,ada,2026-01-02,\n", "line 2: 10 values, expected 9; quote values"),
    ],
)
def test_a_malformed_audit_is_refused_with_its_line(tmp_path, content, message):
    (tmp_path / "audit.csv").write_text(content.format("file_id,field,label,model,answer,drawn,by,on,reason"))
    with pytest.raises(BadLabels) as error:
        read_audit(tmp_path, MISSION)
    assert message in str(error.value)


def test_the_worth_is_the_fewest_labels_that_change_what_is_automated():
    value = ScoredValue("1", "1", 0.0)
    sure = [Judged(str(n), "", "f", "1", replace(value, score=0.9 - n / 1000), n != 40) for n in range(240)]
    (one,) = worth(sure, PROMISE)
    assert (one.labels, one.now) == (1, 0.0) and one.then > 0.9
    (none,) = worth([each for each in sure if each.agree], PROMISE)
    assert none.labels == 0 and none.now == none.then > 0.9


def test_answers_by_one_key_on_the_page_are_kept(small_home, chromium, tmp_path):
    source = Path((small_home / "data").read_text().strip())
    data = tmp_path / "data"
    data.mkdir()
    (data / "pdf").symlink_to(source / "pdf")
    (data / "labels.csv").write_bytes((source / "labels.csv").read_bytes())
    (small_home / "data").write_text(f"{data}\n")
    with page_of(chromium, ["audit"], small_home, height=1000) as page:
        page.get_by_text("0 · the document has none").wait_for()
        assert page.locator(".marked-page b").count() >= 1, "the texts are marked on the page"
        for answers, key in enumerate(("1", "9"), 1):
            page.keyboard.press(key)
            page.get_by_text(f"{answers} answered").wait_for()
    first, second = read_audit(data, MISSION)
    assert first.answer not in ("", CANNOT_TELL) and second.answer == CANNOT_TELL
    assert (first.file_id, first.field) != (second.file_id, second.field)


def test_an_audit_before_the_first_build_says_what_to_do(tmp_path):
    with pytest.raises(BadInput, match=r"was never built.*proveout build"):
        audit(Workspace.find("invoices", tmp_path / "home", ROOT))

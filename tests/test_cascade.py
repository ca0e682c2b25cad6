"""The cascade: which tier is asked, what a field holds after several spoke, and what their scores are worth."""

import math
import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from proveout import mission as missions
from proveout.agent import Agent
from proveout.agent.cascade import FieldState, calibrate, merge
from proveout.calibration import Calibration, Calibrations
from proveout.mission import Mission
from proveout.models.tiers import Extraction, ScoredValue
from proveout.records import Box, Document, Output, Page, Route, Source, Word
from proveout.retrieval import Memory

ONE_FIELD = Mission.model_validate(
    {
        "mission": "notes",
        "purpose": "Read one word of a note.",
        "classes": ["note"],
        "never_act_on": [],
        "fields": {"word": {"kind": "name"}},
        "slo": {"precision": 0.9, "confidence": 0.9, "lowest_confidence": 0.0},
        "tiers": ["ranker", "language_model", "person"],
        "actions": {"file_document": {}},
    }
)


def held(value: str, confidence: float, automated: bool, tier: str) -> FieldState:
    return FieldState(Output(value, value, confidence, tier=tier), automated)


@pytest.mark.parametrize(
    ("before", "new", "value", "tier", "automated", "because"),
    [
        pytest.param(
            None, held("a", 0.9, True, "ranker"), "a", "ranker", True, (), id="the first word stands"
        ),
        pytest.param(
            held("a", 0.6, False, "ranker"), held("a", 0.7, False, "language_model"), "a", "ranker", False,
            ("the language model reads the same",), id="agreement is evidence, and certifies nothing by itself",
        ),
        pytest.param(
            held("a", 0.6, False, "ranker"), held("a", 0.95, True, "language_model"), "a", "language_model", True,
            ("the ranker reads the same",), id="the later tier may answer alone",
        ),
        pytest.param(
            held("a", 0.95, True, "ranker"), held("b", 0.6, False, "language_model"), "a", "ranker", True,
            ("the language model reads 'b'",), id="what is automated stays against a doubt",
        ),
        pytest.param(
            held("a", 0.6, False, "ranker"), held("b", 0.95, True, "language_model"), "b", "language_model", True,
            ("the ranker reads 'a'",), id="what is automated replaces a doubt",
        ),
        pytest.param(
            held("a", 0.95, True, "ranker"), held("b", 0.97, True, "language_model"), "b", "language_model", False,
            ("the ranker reads 'a'",), id="two that contradict each other are for a person",
        ),
        pytest.param(
            held("a", 0.3, False, "ranker"), held("b", math.nan, False, "language_model"), "a", "ranker", False,
            ("the language model reads 'b'",), id="a word that nothing calibrated never replaces one that something did",
        ),
        pytest.param(
            held("a", 0.3, False, "ranker"), held("b", 0.5, False, "language_model"), "b", "language_model", False,
            ("the ranker reads 'a'",), id="of two doubts the more confident",
        ),
    ],
)  # fmt: skip
def test_what_a_field_holds_after_one_more_tier(before, new, value, tier, automated, because) -> None:
    after = merge(before, new)
    assert (after.output.value, after.output.tier, after.automated) == (value, tier, automated)
    assert (*after.output.speaks_for, *after.output.speaks_against) == because


def note(number: int) -> Document:
    word = Word(f"w{number}", Box(0, 0, 10, 10), 0, 0, f"{number:064x}", Source.PLAIN_TEXT)
    return Document(f"{number:064x}", (Page(0, 100, 100, (word,)),))


@dataclass
class Reader:
    """A tier whose values are wrong with probability (1 - score) ** power."""

    seed: int
    power: int
    scores: dict[str, float] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def extract(self, contents, configs=None) -> list[Extraction]:
        self.asked += [content.id for content in contents]
        return [self.read(content) for content in contents]

    def read(self, content: Document) -> Extraction:
        chance = random.Random(f"{self.seed} {content.id}")
        score = chance.random()
        right = chance.random() < 1 - (1 - score) ** self.power
        text = content.text if right else f"not {content.text}"
        return Extraction(content.id, "note", 0.9, {"word": ScoredValue(text, text, score)}, dollars=0.01)


def labelled(notes: list[Document]) -> dict[str, dict[str, str]]:
    return {one.id: {"word": one.text} for one in notes}


def test_a_later_tier_is_asked_about_open_cases_alone_and_pays_for_those_alone(tmp_path: Path) -> None:
    cheap, dear = Reader(1, power=2), Reader(2, power=12)
    learned = [note(n) for n in range(400)]
    calibrations = calibrate({"ranker": cheap, "language_model": dear}, learned, labelled(learned), ONE_FIELD)
    assert calibrations.certified("word")
    cheap.asked.clear(), dear.asked.clear()
    live = [note(n) for n in range(1000, 1200)]
    agent = Agent(ONE_FIELD, {"ranker": cheap, "language_model": dear}, calibrations, Memory.open(tmp_path, store=""))
    decisions = agent.batch(live)
    by_ranker = {one.case for one in decisions if one.fields["word"].tier == "ranker" and one.automated}
    assert len(cheap.asked) == 200 and set(dear.asked) == {one.id for one in live} - by_ranker
    assert {one.dollars for one in decisions if one.case in by_ranker} == {0.01}
    assert {one.dollars for one in decisions if one.case not in by_ranker} == {0.02}
    assert any(one.route is Route.ACT and one.fields["word"].tier == "language_model" for one in decisions)


def test_a_tier_is_calibrated_on_the_cases_that_reach_it() -> None:
    cheap, dear = Reader(1, power=2), Reader(2, power=12)
    notes = [note(n) for n in range(400)]
    calibrations = calibrate({"ranker": cheap, "language_model": dear}, notes, labelled(notes), ONE_FIELD)
    first, second = calibrations.by_tier["ranker"], calibrations.by_tier["language_model"]
    automated = sum(first.automates("word", score) for score, _ in first.evidence["word"])
    assert 0 < automated < 400
    assert len(first.evidence["word"]) == 400 and len(second.evidence["word"]) == 400 - automated
    assert second.certificates["word"].confidence > first.certificates["word"].confidence > 0.9


@pytest.mark.parametrize("draws", [50, pytest.param(100, marks=pytest.mark.slow)])
def test_the_promise_of_a_cascade_is_broken_in_at_most_ten_percent_of_the_draws(draws: int) -> None:
    """Draws of a calibration split, each judged by what each tier automates among 20,000 other notes."""
    broken = 0
    chance = np.random.default_rng(7)
    truth = {tier: chance.random((2, 20_000)) for tier in ("ranker", "language_model")}
    for draw in range(draws):
        notes = [note(n) for n in range(1_000_000 + 300 * draw, 1_000_000 + 300 * (draw + 1))]
        tiers = {"ranker": Reader(3, power=2), "language_model": Reader(4, power=6)}
        calibrations = calibrate(tiers, notes, labelled(notes), ONE_FIELD)
        open_, kept = np.ones(20_000, dtype=bool), True
        for tier, reader in tiers.items():
            score, luck = truth[tier]
            threshold = calibrations.by_tier[tier].threshold("word")
            taken = open_ & (score >= threshold) if threshold is not None else np.zeros_like(open_)
            right = luck < 1 - (1 - score) ** reader.power
            kept &= not taken.any() or right[taken].mean() >= 0.9 - 0.005  # of sampling in the 20,000
            open_ &= ~taken
        broken += not kept
    noise = 3 * math.sqrt(0.1 * 0.9 / draws)
    assert broken / draws <= 0.1 + noise


def test_a_mission_without_a_calibrated_tier_sends_everything_to_a_person(tmp_path: Path) -> None:
    agent = Agent(ONE_FIELD, {"ranker": Reader(1, power=2)}, Calibrations({}), Memory.open(tmp_path, store=""))
    decisions = agent.batch([note(n) for n in range(20)])
    assert {one.route for one in decisions} == {Route.REVIEW}
    assert all(math.isnan(one.fields["word"].confidence) for one in decisions)


def test_a_class_that_the_mission_never_acts_on_goes_to_a_person(tmp_path: Path) -> None:
    mission = ONE_FIELD.model_copy(update={"never_act_on": ("note",)})
    sure = Calibrations({"ranker": Calibration.fit({"word": [(n / 400, True) for n in range(400)]}, mission.slo)})
    notes = [note(n) for n in range(20)]
    acting = Agent(ONE_FIELD, {"ranker": Reader(1, power=2)}, sure, Memory.open(tmp_path / "a", store="")).batch(notes)
    never = Agent(mission, {"ranker": Reader(1, power=2)}, sure, Memory.open(tmp_path / "b", store="")).batch(notes)
    assert {one.route for one in acting} == {Route.ACT} and {one.route for one in never} == {Route.REVIEW}
    assert "cases of class note are never acted on" in never[0].because[0]


def test_the_missions_that_ship_load_with_their_tiers() -> None:
    loaded = missions.load(Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml")
    assert loaded.tiers == ("ranker", "person") and loaded.never_act_on == ("other",)

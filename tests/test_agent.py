"""The agent over real parts: synthetic documents, a small extractor trained here, its calibration and a memory."""

import asyncio
import csv
import json
import math
import random
import shutil
from copy import copy
from dataclasses import replace
from pathlib import Path
from uuid import UUID

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.runnables import Runnable, RunnableLambda

from proveout import mission as missions
from proveout.agent import Agent, scenarios
from proveout.agent.cascade import NOT_CALIBRATED, calibrate
from proveout.calibration import Calibrations
from proveout.corpus import Dataset, build_dataset, synthetic
from proveout.evaluation import verdicts
from proveout.models import Extractor, Settings
from proveout.models.extractor import RankerTier
from proveout.models.language_model import LanguageModelTier, chat_model
from proveout.models.scripted_endpoint import ScriptedEndpoint
from proveout.models.tiers import Extraction, ScoredValue
from proveout.prompts import ModelSettings, Prompts
from proveout.records import Anomaly, AnomalyKind, Decision, Route
from proveout.retrieval import Memory, MemoryRecord

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    folder = tmp_path_factory.mktemp("agent")
    off = {"new_suppliers": None, "amount_shift": None, "worse_segment": None, "new_layouts": None}
    synthetic.generate(folder / "data", documents=150, seed=11, **off)
    return build_dataset(folder / "data", missions.load(DESIGN / "mission.yaml"), folder / "dataset")


@pytest.fixture(scope="module")
def agent(dataset, tmp_path_factory) -> Agent:
    """With a promise that 60 cases can certify: 90 % at 90 %."""
    mission = missions.load(DESIGN / "mission.yaml")
    mission = mission.model_copy(update={"slo": mission.slo.model_copy(update={"precision": 0.9, "confidence": 0.9})})
    prompts, settings = Prompts.load(DESIGN / "prompts"), Settings(rounds=30)
    train = dataset.documents("train")
    extractor = Extractor.train(train, dataset.labels("train"), mission, prompts, settings, dataset.classes("train"))
    tiers = {"ranker": RankerTier(extractor)}
    calibrations = calibrate(tiers, dataset.documents("calibration"), dataset.labels("calibration"), mission)
    memory = Memory.open(tmp_path_factory.mktemp("memory"), store="")
    return Agent(mission, tiers, calibrations, memory, release="r1")


class Credulous(Calibrations):
    """Calibrations by which every value needs no person."""

    def automates(self, tier, field, score):
        return True


class ScriptedTier:
    """A tier that says the same of every case."""

    def __init__(self, fields: dict[str, ScoredValue]) -> None:
        self.fields, self.asked = fields, []

    def extract(self, contents, configs=None) -> list[Extraction]:
        self.asked += [content.id for content in contents]
        return [Extraction(content.id, "invoice", 0.9, self.fields) for content in contents]


@pytest.fixture(scope="module")
def decisions(agent, dataset) -> list[Decision]:
    return agent.batch(dataset.documents("test"))


def test_most_fields_are_right(decisions, dataset, agent):
    right = [ok for one in decisions for ok in verdicts(dataset.entry(one.case).labels, one, agent.mission.kinds).values()]
    assert len(right) > 80
    assert sum(right) / len(right) > 0.85


def test_title_day_layout_and_file_name_are_no_inputs(dataset, agent, tmp_path):
    """Shuffled over all documents, they change neither what is learned of the fields nor one decision."""
    mission, chance = agent.mission, random.Random(5)
    entries = [entry for entry in dataset.entries if not entry.refused]
    rows = [
        {"title": f"Contract {at}", "received": str(entry.case.day), "layout": entry.layout} for at, entry in enumerate(entries)
    ]
    chance.shuffle(rows)
    names = chance.sample(range(10_000), len(entries))
    for entry, row, name in zip(entries, rows, names, strict=True):
        row |= {"file_id": f"{name}", "class": entry.document_class, "split": entry.split, **entry.labels}
        shutil.copy(dataset.path_of(entry.case.id), (tmp_path / row["file_id"]).with_suffix(".pdf"))
    with (tmp_path / "labels.csv").open("w", newline="") as table:
        writer = csv.DictWriter(table, list(rows[0] | dict.fromkeys(mission.fields)))
        writer.writeheader()
        writer.writerows(rows)
    other = build_dataset(tmp_path, mission, tmp_path / "dataset")
    told = [(one.split, one.case.path, one.layout, one.case.day) for data in (dataset, other) for one in data.entries]
    assert len(set(told)) > 1.9 * len(entries), "they were shuffled"
    learned = Extractor.train(
        other.documents("train"),
        other.labels("train"),
        mission,
        Prompts.load(DESIGN / "prompts"),
        agent.tiers["ranker"].extractor.settings,
        other.classes("train"),
    )
    test = sorted(dataset.documents("test"), key=lambda document: document.sha256)
    same_test = sorted(other.documents("test"), key=lambda document: document.sha256)
    assert [document.sha256 for document in test] == [document.sha256 for document in same_test]
    assert learned.extract(same_test) == agent.tiers["ranker"].extractor.extract(test)
    assert agent.batch(same_test) == agent.batch(test)


def test_every_value_names_its_place_and_what_spoke_for_it(decisions, dataset):
    documents = {document.sha256: document for document in dataset.documents("test")}
    for decision in decisions:
        for value in decision.fields.values():
            page = documents[decision.case].pages[value.place.page]
            assert 0 <= value.place.box.x0 < value.place.box.x1 <= page.width + 1
            assert 0 <= value.place.box.y0 < value.place.box.y1 <= page.height + 1
            assert 0 < value.confidence < 1
            assert value.speaks_for or value.speaks_against
        assert all(decision.because)


def test_only_cases_whose_every_required_field_is_automated_may_act(decisions, agent):
    acting = [one for one in decisions if one.route is Route.ACT]
    assert acting, "at 90 % some case is sure enough"
    for one in acting:
        assert set(agent.mission.fields) <= one.automated
        assert not any(check.passed is False for check in one.checks)
        assert one.document_class != "other"
    assert all(not one.actions for one in decisions if one.route is not Route.ACT)


def test_what_was_read_otherwise_than_seen_goes_to_a_person_who_is_told_what(decisions, agent, dataset):
    certain = next(one for one in decisions if one.route is Route.ACT)
    because = "'$9.00' on page 1 is white on white"
    document = replace(dataset.document(certain.case), anomalies=(Anomaly(AnomalyKind.HIDDEN, because, "$9.00"),))
    decision = agent.invoke(document)
    assert (decision.route, decision.actions, decision.descriptors["anomalies"]) == (Route.REVIEW, (), 1)
    assert because in " ".join(decision.because)


def test_invoices_alone_are_proposed_for_payment(decisions):
    for one in decisions:
        names = {action.name for action in one.actions}
        assert ("pay_invoice" in names) == (one.route is Route.ACT and one.document_class == "invoice")
        assert all(action.key.endswith(one.case) for action in one.actions)


def test_what_a_file_is_called_and_where_it_lies_changes_nothing(agent, dataset, tmp_path):
    cases = [entry.case for entry in dataset.chosen("test")][:6]
    originals = [dataset.path_of(case.id) for case in cases]
    shuffled = [tmp_path / f"INVOICE 99 TOTAL 5.00 {at}.dat" for at in range(len(originals))]
    for source, target in zip(originals, shuffled, strict=True):
        shutil.copyfile(source, target)
    assert agent.batch(originals) == agent.batch(shuffled)


def test_a_batch_decides_as_one_by_one(agent, dataset, decisions):
    documents = dataset.documents("test")[:4]
    assert [agent.invoke(document) for document in documents] == decisions[:4]


def test_a_trace_shows_every_step_and_ends_with_the_decision(agent, dataset, decisions):
    steps = list(agent.trace(dataset.documents("test")[0]))
    assert [name for name, _ in steps] == ["read", "recall", "ranker", "check", "route", "propose", "decision"]
    assert steps[-1][1] == decisions[0]


def test_it_composes_with_other_runnables_in_one_piece_in_a_stream_and_in_a_batch(agent, dataset, decisions):
    assert isinstance(agent, Runnable)
    routes = RunnableLambda(lambda at: dataset.documents("test")[at]) | agent | RunnableLambda(lambda decision: decision.route)
    assert routes.invoke(0) is decisions[0].route
    assert list(routes.stream(0)) == [decisions[0].route]
    assert routes.batch([0, 1]) == [decisions[0].route, decisions[1].route]
    assert asyncio.run(routes.abatch([0, 1])) == [decisions[0].route, decisions[1].route]


class Watching(BaseCallbackHandler):
    """Notes the runs that it is told of, each with the run above it."""

    def __init__(self) -> None:
        self.runs: dict[UUID, tuple[str, UUID | None]] = {}
        self.tags: set[str] = set()
        self.ended: list[UUID] = []
        self.models = 0

    def on_chain_start(self, serialized, inputs, *, run_id, parent_run_id=None, tags=None, name=None, **kwargs):
        self.runs[run_id] = (name or (serialized or {}).get("name", ""), parent_run_id)
        self.tags |= set(tags or ())

    def on_chain_end(self, outputs, *, run_id, **kwargs):
        self.ended.append(run_id)

    def on_chat_model_start(self, serialized, messages, *, run_id, **kwargs):
        self.models += 1

    def below(self, name: str) -> list[str]:
        """The names of the runs right below those of this name."""
        return [own for own, parent in self.runs.values() if parent in self.runs and self.runs[parent][0] == name]


@pytest.mark.parametrize("way", ["invoke", "stream", "batch"])
def test_callbacks_see_each_step_of_each_case(agent, dataset, way):
    watching, documents = Watching(), dataset.documents("test")[:2]
    config = {"callbacks": [watching], "tags": ["audit"], "run_name": "decide"}
    if way == "batch":
        agent.batch(documents, config)
    else:
        list(agent.stream(documents[0], config)) if way == "stream" else agent.invoke(documents[0], config)
    cases = 2 if way == "batch" else 1
    assert watching.below("decide") == [step for step in agent.steps for _ in range(cases)]
    assert sorted(watching.ended) == sorted(watching.runs)
    assert "audit" in watching.tags


def test_each_case_of_a_batch_has_its_own_config(agent, dataset):
    first, second = Watching(), Watching()
    agent.batch(dataset.documents("test")[:2], [{"callbacks": [first]}, {"callbacks": [second]}])
    assert len(first.runs) == len(second.runs) == 1 + len(agent.steps)
    assert not first.runs.keys() & second.runs.keys()


def test_a_broken_file_is_refused_and_the_batch_goes_on(agent, dataset, tmp_path):
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7\nnothing more")
    (tmp_path / "empty.pdf").write_bytes(b"")
    good = dataset.path_of(dataset.chosen("test")[0].case.id)
    broken, fine, empty = agent.batch([tmp_path / "broken.pdf", good, tmp_path / "empty.pdf"])
    assert (broken.route, empty.route) == (Route.REFUSE, Route.REFUSE)
    assert "empty" in empty.because[0]
    assert fine.fields and not broken.fields and not broken.actions


def test_two_copies_handed_in_together_are_not_both_acted_on(agent, dataset, decisions):
    at = next(at for at, one in enumerate(decisions) if one.route is Route.ACT)
    document = dataset.documents("test")[at]
    first, second = agent.batch([document, replace(document, sha256="0" * 64)])
    assert first.route is Route.ACT
    assert second.route is Route.REVIEW
    assert document.sha256[:12] in second.because[0]


def test_what_was_decided_before_is_a_duplicate(agent, dataset, decisions, tmp_path):
    at = next(at for at, one in enumerate(decisions) if one.route is Route.ACT)
    document, before = dataset.documents("test")[at], decisions[at]
    memory = Memory.open(tmp_path, store="")
    fields = {name: str(value.value) for name, value in before.fields.items()}
    memory.add([MemoryRecord("f" * 64, document.text, fields, before.document_class, document="f" * 64)])
    remembering = Agent(agent.mission, agent.tiers, agent.calibrations, memory)
    after = remembering.invoke(document)
    assert after.route is Route.REVIEW
    assert after.memory_position == 1
    assert not next(check for check in after.checks if check.name == "not a duplicate").passed


def test_no_scenario_acts_where_a_person_would_not(agent, dataset, decisions):
    at = next(at for at, one in enumerate(decisions) if one.route is Route.ACT)
    table = scenarios.scenarios(list(agent.mission.fields))
    changed = [scenario.change(dataset.documents("test")[at], decisions[at].fields) for scenario in table]
    answers = dict(zip([scenario.name for scenario in table], agent.batch(changed), strict=True))
    assert answers["unchanged"].route is Route.ACT
    assert answers["nothing to read"].route is Route.REFUSE
    assert answers["gross_amount missing"].route is not Route.ACT
    assert answers["contract_num missing"].route is not Route.ACT


def test_no_other_number_takes_the_place_of_a_removed_one(agent, dataset, decisions):
    tried = scenarios.removals(agent, dataset.documents("test"), decisions, at_most=5)
    assert {each.field for each in tried} == set(agent.mission.required)
    assert not [str(each) for each in tried if each.replaced and each.field in ("contract_num", "gross_amount")]


def test_a_value_that_takes_the_place_of_a_removed_one_is_named(agent, dataset, decisions):
    """By an agent that is sure of whatever it reads."""
    credulous = copy(agent)
    credulous.calibrations = Credulous(agent.calibrations.by_tier)
    tried = scenarios.removals(credulous, dataset.documents("test"), decisions, at_most=5)
    assert {each.field for each in tried if each.replaced} >= {"contract_num"}


def test_an_instruction_in_the_text_is_data(agent, dataset, decisions):
    at = next(at for at, one in enumerate(decisions) if one.route is not Route.REFUSE)
    document = dataset.documents("test")[at]
    told = agent.invoke(scenarios.injected(document, decisions[at].fields))
    assert told.route in (decisions[at].route, Route.REVIEW)
    assert {name: value.text for name, value in told.fields.items()} == {
        name: value.text for name, value in decisions[at].fields.items()
    }


def test_a_language_model_without_calibration_is_a_witness_and_automates_nothing(agent, dataset, decisions):
    """Over the real client and a real HTTP endpoint, whose answers are scripted."""
    at = next(at for at, one in enumerate(decisions) if one.route is Route.REVIEW and len(one.fields) > 2)
    document, before = dataset.documents("test")[at], decisions[at]
    said = {"document_class": before.document_class, "fields": {name: value.text for name, value in before.fields.items()}}
    name = next(iter(said["fields"]))
    said["fields"][name] = document.words[0].text  # one answer is another word of the page
    watching = Watching()
    with ScriptedEndpoint(rules=lambda text: json.dumps(said)) as endpoint:
        settings = ModelSettings(endpoint=endpoint.url, model="scripted", price_in=1.0, price_out=2.0)
        tier = LanguageModelTier(chat_model(settings), Prompts.load(DESIGN / "prompts"), agent.mission, settings)
        tiers = {**agent.tiers, "language_model": tier}
        consulted = Agent(agent.mission, tiers, agent.calibrations, agent.memory).invoke(document, {"callbacks": [watching]})
    assert consulted.automated == before.automated
    assert consulted.route is Route.REVIEW
    assert consulted.dollars > 0
    heard = [phrase for value in consulted.fields.values() for phrase in (*value.speaks_for, *value.speaks_against)]
    assert "the language model reads the same" in heard
    assert watching.models == 1 and "language_model" in watching.below("Agent")


def test_a_missing_field_is_filled_by_a_tier_that_nothing_calibrated_and_says_so(agent, dataset, decisions):
    at = next(at for at, one in enumerate(decisions) if one.route is Route.REVIEW)
    document = dataset.documents("test")[at]
    word = document.words[0].text
    said = ScriptedTier({"contract_num": ScoredValue(word, word, 0.99)})
    decision = Agent(agent.mission, {"language_model": said}, agent.calibrations, agent.memory).invoke(document)
    value = decision.fields["contract_num"]
    assert math.isnan(value.confidence) and value.tier == "language_model" and value.place is None
    assert NOT_CALIBRATED in value.speaks_against
    assert "not calibrated" in decision.because[1]
    assert decision.automated == frozenset()

"""A local model learns from labelled documents, is merged, and is not judged by what it learned from."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch
import yaml

from program import project, proveout
from proveout import mission as missions
from proveout.agent.cascade import calibrate
from proveout.documents import columns, plain_text
from proveout.errors import BadModel, NoDocuments
from proveout.models import fine_tuning
from proveout.models.fine_tuning import TuningExample, TuningSettings, examples_of, merge, tune
from proveout.models.language_model import LanguageModelTier
from proveout.models.local_chat import ABOUT, LocalChatModel, learned_from
from proveout.models.tiers import Extraction, Parts, ScoredValue
from proveout.prompts import FieldPrompt, ModelSettings, Prompts
from proveout.records import Document

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
MISSION = missions.load(DESIGN / "mission.yaml")
PROMPTS = Prompts.load(DESIGN / "prompts", MISSION)
LABELS = {"contract_num": "880412-2", "gross_amount": "3200.00", "flight_from": "03/02/2020", "flight_to": "2020-04-27"}
TEXT = "INVOICE\nInvoice # 880412-2\nFlight Dates 03/02/20 - 03/27/20\nGross Total $3,200.00\n"

LESSONS = [TuningExample(f"{n:064x}", [("user", f"Say {n}.")], '{"word":"yes"}') for n in range(24)]
SHORT = TuningSettings(epochs=4, learning_rate=2e-2)


def document(text: str, id: str = "a" * 64) -> Document:
    return columns.document(id, list(plain_text.pages(text.encode())))


def example(prompts: Prompts = PROMPTS, document_class: str = "invoice") -> TuningExample:
    content = document(TEXT)
    (one,) = examples_of([content], {content.id: LABELS}, {content.id: document_class}, MISSION, prompts)
    return one


def test_an_answer_has_the_values_as_printed_and_null_where_nothing_is():
    assert json.loads(example().answer) == {
        "document_class": "invoice",
        "fields": {
            "contract_num": "880412-2", "advertiser": None, "gross_amount": "$3,200.00", "flight_from": "03/02/20",
            "flight_to": None,  # the label is not printed
        },
    }  # fmt: skip


def test_what_the_model_does_not_see_it_is_not_to_answer():
    few = example(replace(PROMPTS, model=ModelSettings(local="x", characters=30)))
    values = json.loads(few.answer)["fields"]
    assert values["contract_num"] == "880412-2" and values["gross_amount"] is None


def test_an_unknown_class_teaches_nothing():
    one = example(document_class="")
    assert one.answer[one.counts_from :].startswith('"fields"') and example().counts_from == 0


@pytest.mark.parametrize(("label", "answer"), [("Yes", "yes"), ("false", "no"), ("", None)])
def test_a_flag_is_answered_as_the_schema_has_it(label: str, answer: str | None):
    mission = MISSION.model_copy(update={"fields": {"rush": missions.FieldSpec(kind="flag")}})
    prompts = replace(PROMPTS, fields={"rush": FieldPrompt("whether it is urgent")})
    content = document(TEXT)
    (one,) = examples_of([content], {content.id: {"rush": label, "other": "x"}}, {}, mission, prompts)
    assert json.loads(one.answer)["fields"] == {"rush": answer}


def test_a_damaged_list_of_what_was_learned_from_is_named(tmp_path: Path):
    (tmp_path / ABOUT).write_text('{"tuned": "elsewhere"}')
    with pytest.raises(BadModel, match="it does not list what the model learned from"):
        learned_from(tmp_path)


def test_a_document_without_labels_is_no_example():
    assert examples_of([document(TEXT)], {}, {}, MISSION, PROMPTS) == []


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tuned") / "adapter"
    tune(tiny_model, LESSONS, folder, SHORT, copies=["c" * 64])
    return folder


def test_it_learns_and_says_from_what(adapter: Path, tiny_model: Path):
    about = json.loads((adapter / ABOUT).read_text())
    assert about["held_back_losses"][-1] < about["held_back_losses"][0]
    assert about["base_sha256"] == LocalChatModel.load(tiny_model).weights
    assert set(about["learned_from"]) == {"c" * 64, *(one.document for one in LESSONS)}


def test_the_same_lessons_give_the_same_adapter(adapter: Path, tiny_model: Path, tmp_path: Path):
    tune(tiny_model, LESSONS, tmp_path, SHORT)
    assert (tmp_path / "adapter_model.safetensors").read_bytes() == (adapter / "adapter_model.safetensors").read_bytes()


def test_only_the_answer_counts_and_of_an_unknown_class_only_what_follows(tiny_model: Path):
    model = LocalChatModel.load(tiny_model)
    lesson = TuningExample("d", [("user", "Read.")], '{"class":"x","fields":1}', counts_from=12)
    ids, targets = fine_tuning._encoded(model, lesson)
    counted = [id for id, target in zip(ids, targets, strict=True) if target != fine_tuning.IGNORED]
    assert model.tokenizer.decode(counted[:-1]) == ',"fields":1}' and counted[-1] == model.tokenizer.eos_token_id


def test_training_stops_when_held_back_examples_get_worse(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    losses = iter([1.0, 0.5, 0.9, 0.1])
    monkeypatch.setattr(fine_tuning, "_mean_loss", lambda *_: next(losses))
    assert tune(tiny_model, LESSONS, tmp_path, replace(SHORT, epochs=9)).held_back_losses == [1.0, 0.5, 0.9]


def test_a_merged_model_answers_as_with_its_adapter(adapter: Path, tiny_model: Path, tmp_path: Path):
    merge(adapter, tmp_path / "merged")
    merged, base = LocalChatModel.load(tmp_path / "merged"), LocalChatModel.load(tiny_model)
    adapted = peft.PeftModel.from_pretrained(LocalChatModel.load(tiny_model).network, adapter).eval()
    lessons = [fine_tuning._encoded(base, lesson) for lesson in LESSONS]
    networks, batches = (merged.network, adapted, base.network), fine_tuning._Batches(1)
    loss, with_adapter, before = (fine_tuning._mean_loss(network, lessons, batches) for network in networks)
    assert loss == pytest.approx(with_adapter, rel=0.02) and loss < before - 0.2
    about = json.loads((tmp_path / "merged" / ABOUT).read_text())
    assert about["base_sha256"] == base.weights and len(about["adapter_sha256"]) == 64
    assert learned_from(tmp_path / "merged") == {"c" * 64, *(one.document for one in LESSONS)}
    settings = ModelSettings(local=str(tmp_path / "merged"))
    tier = LanguageModelTier.load(Parts(MISSION, replace(PROMPTS, model=settings), tmp_path))
    assert "c" * 64 in tier.learned_from and learned_from(tiny_model) == frozenset()


def test_another_base_model_and_a_damaged_adapter_are_refused(adapter: Path, tiny_model: Path, tmp_path: Path):
    other = shutil.copytree(adapter, tmp_path / "other")
    about = json.loads((other / ABOUT).read_text())
    (other / ABOUT).write_text(json.dumps(about | {"base_sha256": "0" * 64}))
    with pytest.raises(BadModel, match="put the pinned model back"):
        merge(other, tmp_path / "merged")
    damaged = shutil.copytree(adapter, tmp_path / "damaged")
    (damaged / "adapter_model.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadModel, match="its weights do not fit"):
        merge(damaged, tmp_path / "merged")
    with pytest.raises(BadModel, match="not an adapter of a fine-tuning"):
        merge(tiny_model, tmp_path / "merged")


def test_what_the_base_model_had_learned_from_is_not_forgotten(adapter: Path, tiny_model: Path, tmp_path: Path):
    merge(adapter, tmp_path / "merged")
    tune(
        tmp_path / "merged", [replace(one, document="e" * 64) for one in LESSONS], tmp_path / "again", replace(SHORT, epochs=1)
    )
    learned = set(json.loads((tmp_path / "again" / ABOUT).read_text())["learned_from"])
    assert learned == {"c" * 64, "e" * 64, *(one.document for one in LESSONS)}


def test_a_loss_that_is_no_number_is_named(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fine_tuning, "_mean_loss", lambda *_: math.nan)
    with pytest.raises(BadModel, match="the loss is not a number after the first epoch"):
        tune(tiny_model, LESSONS, tmp_path, SHORT)


def test_too_few_and_too_long_examples_are_named(tiny_model: Path, tmp_path: Path):
    with pytest.raises(NoDocuments, match="0 of 24 examples have at most 5 tokens"):
        tune(tiny_model, LESSONS, tmp_path, replace(SHORT, tokens=5))


def test_a_gpu_without_enough_memory_gets_fewer_examples_at_once():
    batches = fine_tuning._Batches(4)
    with pytest.warns(UserWarning, match="from now on 2 examples at once"):
        batches.halve(torch.OutOfMemoryError())
    encoded = [([1] * length, [2] * length) for length in (5, 3, 4)]
    assert [ids.shape for ids, *_ in batches.of(encoded)] == [(2, 4), (1, 5)]
    with pytest.raises(BadModel, match="not enough for one example at a time"):
        fine_tuning._Batches(1).halve(torch.OutOfMemoryError())


def test_padding_changes_no_loss(tiny_model: Path):
    model = LocalChatModel.load(tiny_model)
    lessons = [replace(LESSONS[0], messages=[("user", "Say " + "very " * n)]) for n in (1, 9)]
    encoded = [fine_tuning._encoded(model, lesson) for lesson in lessons]
    alone, together = (fine_tuning._mean_loss(model.network, encoded, fine_tuning._Batches(n)) for n in (1, 2))
    assert together == pytest.approx(alone, abs=1e-4)


def test_a_tier_is_not_judged_by_documents_that_it_learned_from():
    class Tuned:
        learned_from = frozenset({f"{n:064x}" for n in range(100)})

        def extract(self, contents, configs=None):
            assert not {content.id for content in contents} & self.learned_from
            return [Extraction(one.id, "invoice", 0.9, {"contract_num": ScoredValue("7", "7", 0.9)}) for one in contents]

    contents = [document(TEXT, f"{n:064x}") for n in range(150)]
    labels = {content.id: {"contract_num": "7"} for content in contents}
    fitted = calibrate({"language_model": Tuned()}, contents, labels, MISSION).by_tier["language_model"]  # type: ignore[dict-item]
    assert len(fitted.evidence["contract_num"]) == 50


@pytest.mark.long
def test_the_command_makes_a_model_that_the_next_build_can_use(tmp_path: Path, tiny_model: Path):
    folder = project(tmp_path)
    proveout(folder, "new", "bills")
    mission = folder / "pipelines" / "bills" / "mission.yaml"
    plain = yaml.safe_load(mission.read_text())
    mission.write_text(yaml.safe_dump(plain | {"tiers": ["ranker", "language_model", "person"]}, sort_keys=False))
    (mission.parent / "prompts" / "model.yaml").write_text(f"local: {tiny_model}\ncharacters: 100\n")
    proveout(folder, "build", "--mission", "bills", "--only", "curate")
    assert "2 of 2 steps ran" in proveout(folder, "fine-tune", "--mission", "bills")
    assert "0 of 2 steps ran" in proveout(folder, "fine-tune", "--mission", "bills")
    merged = folder / "work" / "bills" / "tuned" / "merge" / "model"
    assert LocalChatModel.load(merged).weights != LocalChatModel.load(tiny_model).weights
    assert learned_from(merged)

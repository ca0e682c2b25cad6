"""The rankers learn from documents without labels, as an expensive tier reads them; they are judged by people's labels."""

import math
from pathlib import Path

import pytest

from proveout import mission as missions
from proveout.corpus import Dataset, build_dataset
from proveout.errors import BadMission
from proveout.mission import Distil
from proveout.models import Extractor, distillation
from proveout.models.distillation import distilled, readings, teacher_of
from proveout.models.extractor import RankerTier
from test_models import MISSION, PROMPTS, QUICK, beside, cases, f1, under

TAUGHT = MISSION.model_copy(update={"distil": Distil(teacher="layout_encoder", least_score=0.5)})
LABELLED, LABELS = cases(beside, range(0, 10))
UNLABELLED, HIDDEN = cases(under, range(100, 120))


@pytest.fixture(scope="module")
def model() -> Extractor:
    return Extractor.train(LABELLED, LABELS, TAUGHT, PROMPTS, QUICK)


@pytest.fixture(scope="module")
def student(model: Extractor) -> Extractor:
    return distilled(model, LABELLED, LABELS, UNLABELLED, TAUGHT, PROMPTS)


def test_a_layout_encoder_is_trained_only_to_teach(model: Extractor, student: Extractor):
    assert MISSION.tiers == ("ranker", "person") and model.encoder and student.encoder
    assert student.trained_on["teacher"] == "layout_encoder" and 0 < student.trained_on["unlabelled"] <= len(UNLABELLED)


def test_the_rankers_know_a_form_that_nobody_labelled(model: Extractor, student: Extractor):
    others, labels = cases(under, range(200, 215))

    def familiar(one: Extractor) -> float:
        return min(read.descriptors["familiar"] for read in one.extract(others))

    assert familiar(student) > familiar(model)
    assert f1(student.without_encoder(), others, labels) >= f1(model.without_encoder(), others, labels)


def test_only_readings_with_a_high_score_are_learned_from(model: Extractor):
    teacher = RankerTier(model)
    scores = {(read.document, name): value for read in teacher.extract(UNLABELLED) for name, value in read.fields.items()}
    for least in (0.0, 0.5, 1.01):
        read = readings(teacher, UNLABELLED, least)
        kept = {(id, name): text for id, fields in read.items() for name, text in fields.items()}
        assert kept == {key: value.text for key, value in scores.items() if value.score >= least} and all(read.values())


def test_the_labels_of_a_fold_reach_none_of_the_models_that_are_judged_by_it(model: Extractor):
    wrong = LABELS | {document.id: dict.fromkeys(LABELS[document.id], "999") for document in LABELLED[:3]}
    first, second = (distilled(model, LABELLED[3:], labels, UNLABELLED, TAUGHT, PROMPTS) for labels in (LABELS, wrong))
    assert first.id == second.id


def test_a_teacher_that_learned_from_what_judges_the_rankers_is_refused(model: Extractor, monkeypatch: pytest.MonkeyPatch):
    class FineTuned(RankerTier):
        learned_from = frozenset({LABELLED[0].id})

    monkeypatch.setattr(distillation, "teacher_of", lambda *_: FineTuned(model))
    with pytest.raises(BadMission, match="`layout_encoder` has learned from documents by which the ranker is judged"):
        distilled(model, LABELLED[1:], LABELS, UNLABELLED, TAUGHT, PROMPTS)
    assert distilled(model, LABELLED, LABELS, UNLABELLED, TAUGHT, PROMPTS)


def test_a_tier_of_a_plugin_can_teach(model: Extractor):
    mission = MISSION.model_copy(update={"distil": Distil(teacher="ranker")})
    assert isinstance(teacher_of(model, mission, PROMPTS), RankerTier)


def test_without_distil_nothing_changes(model: Extractor):
    assert distilled(model, LABELLED, LABELS, UNLABELLED, MISSION, PROMPTS) is model


def test_an_unknown_teacher_is_named():
    raw = MISSION.model_dump(mode="json", exclude_none=True) | {"distil": {"teacher": "layout_encodr"}}
    with pytest.raises(ValueError, match=r"distil\.teacher: unknown tier `layout_encodr`; did you mean `layout_encoder`"):
        missions.Mission.model_validate(raw)


@pytest.mark.parametrize("beside", ["unlabelled", "auxiliary"])
def test_copies_of_judged_documents_are_not_learned_from(beside: str, tmp_path: Path):
    splits = {"a": "train", "b": "train", "c": "calibration", "d": "test", "e": beside, "copy": beside}
    dataset = data_set(tmp_path, splits, {"copy": "c"})
    assert [dataset.entry(document.id).case.path for document in dataset.beside(beside)] == ["e.txt"]
    assert len(dataset.labels("train", "calibration", "test")) == 4
    assert {dataset.entry(group[0]).split for fold in dataset.folds(math.inf) for group in fold} == {"train", "calibration"}


def test_other_documents_are_still_split_where_only_these_are_named(tmp_path: Path):
    dataset = data_set(tmp_path, dict.fromkeys("abcdefgh", "") | {"x": "auxiliary", "y": "unlabelled"})
    splits = {entry.case.path: entry.split for entry in dataset.entries}
    assert {splits.pop("x.txt"), splits.pop("y.txt")} == {"auxiliary", "unlabelled"}
    assert set(splits.values()) == {"train", "calibration", "test"}


def data_set(folder: Path, splits: dict[str, str], copies: dict[str, str] | None = None) -> Dataset:
    texts = {name: " ".join(f"{name}{n}" for n in range(200)) for name in splits}
    texts |= {name: f"{texts[of]} once more" for name, of in (copies or {}).items()}
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(f"Invoice # 1234\n{text}\n")
    rows = [f"{name},{split},1234" for name, split in splits.items()]
    (folder / "labels.csv").write_text("\n".join(["file_id,split,contract_num", *rows]) + "\n")
    return build_dataset(folder, MISSION, folder / "out")

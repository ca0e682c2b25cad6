"""Distillation: the rankers also learn from documents without labels, as an expensive tier reads them (arXiv:1503.02531).

Entry point: `distilled`, for missions with `distil` in mission.yaml. What the teacher reads with a high score becomes a label
for training, and never evidence: certificates rest on labels of people. Cross-fitting stays what it is, because the teacher of
a fold has learned from none of its documents either.
Not covered: soft labels. The rankers learn the value that the teacher chose, not the probabilities of the others.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from proveout import plugins, progress
from proveout.errors import BadMission
from proveout.mission import Mission
from proveout.models.extractor import Extractor
from proveout.models.tiers import Parts, Tier
from proveout.prompts import Prompts
from proveout.records import Document


def distilled(
    model: Extractor,
    documents: Sequence[Document],
    labels: Mapping[str, Mapping[str, str]],
    unlabelled: Sequence[Document],
    mission: Mission,
    prompts: Prompts,
    classes: Mapping[str, str] | None = None,
    cache: Path | None = None,
) -> Extractor:
    """The extractor with rankers that also learned from unlabelled documents; its layout encoder stays as it is.

    `model`: trained on `documents`. `labels`: also of documents that it was not trained on. `cache`: as in `Parts`.
    Returns `model` itself where the mission distils nothing. Raises BadMission for a teacher that has learned from documents
    by which the rankers are judged.
    """
    if mission.distil is None:
        return model
    teacher = teacher_of(model, mission, prompts, cache)
    judged = labels.keys() - {document.id for document in documents}
    if judged & getattr(teacher, "learned_from", frozenset()):
        raise BadMission(
            f"distil: the teacher `{mission.distil.teacher}` has learned from documents by which the ranker is judged; label "
            "a larger calibration split and set `evidence: held_out` under `slo`, or take another teacher"
        )
    read = readings(teacher, unlabelled, mission.distil.least_score)
    alone = mission.model_copy(update={"tiers": ("ranker", plugins.PERSON), "distil": None})
    both = [*documents, *unlabelled]
    student = Extractor.train(both, {**labels, **read}, alone, prompts, model.settings, classes)
    about = {**model.trained_on, "teacher": mission.distil.teacher, "unlabelled": len(read)}
    return student.with_parts_of(model, about)


def teacher_of(model: Extractor, mission: Mission, prompts: Prompts, cache: Path | None = None) -> Tier:
    """The tier that teaches, built from a trained extractor like any other tier. The mission has `distil`."""
    assert mission.distil
    with tempfile.TemporaryDirectory() as folder:
        model.save(folder)
        parts = Parts(mission, prompts, Path(folder), cache=cache)
        return cast(Tier, plugins.find("tiers", mission.distil.teacher).load(parts))


def readings(teacher: Tier, documents: Sequence[Document], least_score: float) -> dict[str, dict[str, str]]:
    """Document id to field to the value that the teacher read, for scores of at least `least_score`, 0..1."""
    labels = {}
    with progress.bar("reading documents without labels", len(documents)) as advance:
        for document in documents:
            (read,) = teacher.extract([document])
            labels[document.id] = {name: value.text for name, value in read.fields.items() if value.score >= least_score}
            advance()
    return {id: fields for id, fields in labels.items() if fields}

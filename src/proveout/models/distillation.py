"""Distillation: a cheap tier also learns from documents without labels, as an expensive tier reads them (arXiv:1503.02531).

Entry point: `readings`. What the expensive tier reads with a high score becomes a label for training, and never evidence: a
certificate rests on labels of people alone.
Not covered: soft labels. The cheap tier learns the value, not the probabilities of the others.
"""

from collections.abc import Sequence

from proveout.models.tiers import Tier
from proveout.records import Content


def readings(teacher: Tier, contents: Sequence[Content], least_score: float) -> dict[str, dict[str, str]]:
    """Content id to field to the value that the teacher read, for scores of at least `least_score`, 0..1."""
    read = {one.document: one.fields for one in teacher.extract(contents)}
    labels = {
        id: {name: value.text for name, value in fields.items() if value.score >= least_score} for id, fields in read.items()
    }
    return {id: fields for id, fields in labels.items() if fields}

"""The log of decisions on labelled cases: monitoring's reference, and what parity compares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from proveout.cases import LabelledCases
from proveout.evaluation.scores import verdicts
from proveout.journal.log import write_log
from proveout.mission import Mission
from proveout.records import Decided, Decision


def write_labelled_log(decisions: Sequence[Decision], dataset: LabelledCases, path: Path, mission: Mission) -> dict[str, Any]:
    """Write a Parquet log (`journal.log`). Returns for each case its labels and which of the decision's values are right."""
    entries = [dataset.entry(decision.case) for decision in decisions]
    verified = {
        entry.case.id: {"labels": dict(entry.labels), "right": verdicts(entry.labels, decision, mission.kinds)}
        for entry, decision in zip(entries, decisions, strict=True)
    }
    decided = [Decided(entry.case, decision) for entry, decision in zip(entries, decisions, strict=True)]
    write_log(decided, path, mission, verified)
    return verified

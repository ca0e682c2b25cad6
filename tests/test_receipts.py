"""Receipts of another trade, read with a mission and prompts alone."""

from pathlib import Path

import pytest
from tests.benchmarks import receipts

pytestmark = pytest.mark.long


def test_a_mission_and_prompts_read_receipts_of_another_trade(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third of the receipts, whose companies and addresses run over several lines."""
    monkeypatch.setattr(receipts, "DATA", shared_data / "sroie")
    monkeypatch.setattr(receipts, "FOLDS", 2)
    outcomes = list(receipts.outcomes(most=200))
    right = {name: [right for other, right in outcomes if other == name] for name in ("company", "date", "address", "total")}
    shares = {name: sum(map(bool, of_field)) / len(of_field) for name, of_field in right.items()}
    assert shares["date"] > 0.95 and shares["total"] > 0.9 and shares["company"] > 0.8 and shares["address"] > 0.75, shares

"""Compare the evaluations of two releases before one replaces the other. Entry point: `compare`.

Covered, on each test split: the share of cases handled automatically; for each field, how many values are automated and how
many of those are right.
Not covered: whether a difference is chance, and whether the documents of a split are the same as before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from proveout.errors import BadModel

if TYPE_CHECKING:
    from proveout.release import Release


@dataclass(frozen=True)
class Change:
    """One share that differs between two releases."""

    split: str
    what: str
    before: float  # a share, 0..1
    after: float

    @property
    def is_loss(self) -> bool:
        return self.after < self.before

    def __str__(self) -> str:
        """
        >>> str(Change("test", "total automated", 0.9, 0.85))
        'test             total automated                 90.0 %   85.0 %  worse'
        """
        line = f"{self.split:16} {self.what:28} {self.before:9.1%} {self.after:8.1%}".replace("%", " %")
        return f"{line}  worse" if self.is_loss else line


def compare(before: Release, after: Release) -> list[Change] | None:
    """The differences between two evaluations, rounded to the tenths of a percent that are printed.

    None if there is nothing to compare: one release was never evaluated, or the two share no split.
    """
    old, new = _metrics(before), _metrics(after)
    splits = [split for split in old if split in new]
    return [change for split in splits for change in _changes(split, old[split], new[split])] if splits else None


def _changes(split: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    shares = dict(_shares(new))
    for what, before in _shares(old):
        after = shares.get(what, None if what.endswith(RIGHT) else 0.0)
        if before is not None and after is not None and round(before, 3) != round(after, 3):
            yield Change(split, what, before, after)


RIGHT = "right when automated"  # undefined if nothing is automated, which the line before shows


def _shares(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    yield "handled automatically", metrics.get("no_person_touches")
    for name, rates in metrics.get("automated", {}).get("fields", {}).items():
        if name != "micro":
            yield f"{name} automated", rates.get("coverage")
            yield f"{name} {RIGHT}", rates.get("precision")


def _metrics(release: Release) -> dict[str, Mapping[str, Any]]:
    """The metrics of each split; empty if the release was never evaluated."""
    try:
        splits = json.loads(release.path("evidence/metrics").read_text(encoding="utf-8"))
    except (BadModel, ValueError):
        return {}
    return {name: metrics for name, metrics in splits.items() if isinstance(metrics, dict)} if isinstance(splits, dict) else {}

"""Compare two releases before one replaces the other: their evaluations, their texts, and what each decided of the same cases.

Entry points: `compare`, `text_changes`, `flips`.
Covered, on each test split: the share of cases handled automatically; for each field, how many values are automated and how
many of those are right.
Not covered: whether a difference is chance, and whether the documents of a split are the same as before.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proveout.errors import BadInput, BadModel
from proveout.mission import exact_percent
from proveout.release import Release, few


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


def faults(release: Release) -> list[str]:
    """What a release does that it must not, as its evaluation says, a line each: it fails a regression case, or acts on too
    many documents from which a required value was removed."""
    metrics = _metrics(release)
    failed = [f"fails {line}" for line in metrics.get("regressions", {}).get("failed", [])]
    removals, most = metrics.get("removals", {"decided": 0, "replaced": []}), release.mission.slo.replaced_values
    replaced = removals["replaced"]
    if len(replaced) > most * removals["decided"]:
        share = f"{len(replaced)} of {removals['decided']} documents from which a required value was removed"
        failed.append(f"acts on {share}, with another value ({exact_percent(most)} may be: `replaced_values`): {few(replaced)}")
    return failed


def _metrics(release: Release) -> dict[str, Mapping[str, Any]]:
    """The metrics of each split; empty if the release was never evaluated."""
    try:
        splits = json.loads(release.path("evidence/metrics").read_text(encoding="utf-8"))
    except (BadModel, ValueError):
        return {}
    return {name: metrics for name, metrics in splits.items() if isinstance(metrics, dict)} if isinstance(splits, dict) else {}


def require_mission(candidate: Release, mission: str) -> None:
    """Raise BadInput unless a release is for this mission."""
    if (frozen_for := candidate.manifest["content"]["mission"]) != mission:
        raise BadInput(
            f"release {candidate.id[:12]} is for mission `{frozen_for}`, not for `{mission}`; "
            f"choose a release of `{mission}`: proveout release list"
        )


def text_changes(before: Release, after: Release) -> dict[str, list[str]]:
    """What differs in the mission, the policy, the steps and the prompts: file name to the lines of a unified diff."""
    old, new = _texts(before), _texts(after)
    names = sorted({*old, *new})
    changes = {
        name: list(difflib.unified_diff(_lines(old.get(name)), _lines(new.get(name)), lineterm="", n=1)) for name in names
    }
    return {name: lines[2:] for name, lines in changes.items() if lines}


def _texts(release: Release) -> dict[str, Path]:
    single = [release.path(name) for name in ("mission", "policy", "steps") if release.has(name)]
    prompts = release.path("prompts").rglob("*") if release.has("prompts") else ()
    parts = [*single, *sorted(prompts)]
    return {str(path.relative_to(release.folder)): path for path in parts if path.is_file()}


def _lines(path: Path | None) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines() if path else []


@dataclass(frozen=True)
class Flip:
    """A case of the calibration set of which two releases decided otherwise."""

    case: str
    day: str
    what: str  # route, or the field
    before: str
    after: str


def flips(before: Release, after: Release) -> list[Flip]:
    """What the later release decides otherwise of the calibration cases that both decided, routes first.

    Empty if they share no case, or one of them kept no decisions.
    """
    import pandas as pd  # type: ignore[import-untyped]

    try:
        tables = [pd.read_parquet(release.path("evidence/reference")).set_index("case") for release in (before, after)]
    except BadModel:
        return []
    old, new = tables
    columns = ["route", *(name for name in new.columns if f"{name}.automated" in new.columns and name in old.columns)]
    then, now = old.to_dict("index"), new.to_dict("index")
    return [
        Flip(str(case), str(row["day"] or ""), what, first, second)
        for what in columns
        for case, row in now.items()
        if case in then and (first := _decided(then[case], what)) != (second := _decided(row, what))
    ]


def _decided(row: Mapping[str, Any], what: str) -> str:
    """The route, or the value with whether it is automated; "" for no value."""
    if not isinstance(row[what], str):
        return ""
    text: str = row[what]
    return text if what == "route" else f"{text}, {'automated' if row[f'{what}.automated'] else 'to review'}"

"""The cascade: the mission's tiers run in order, each on the cases that the earlier ones left open.

A case is open while a required field is not automated. `merge` combines what two tiers read for a field;
`calibrate` calibrates each tier on the cases that reach it.
Not covered: cases that stay open; those go to a person.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from proveout.calibration import Calibration, Calibrations
from proveout.calibration.thresholds import Pair
from proveout.mission import Mission
from proveout.models.tiers import Extraction, PastCases, ScoredValue, Tier
from proveout.records import BlindSample, Content, Output
from proveout.values import Conventions, conventions, has_value, is_cut_off, same_as_read

if TYPE_CHECKING:
    from langchain_core.runnables import RunnableConfig

Past = Callable[[Sequence[Content], int], PastCases]  # for each content, so many answered past cases
NOT_CALIBRATED = "this tier is not calibrated for this field"
ENDS_EARLY = "its end is cut off on the page"


@dataclass(frozen=True)
class FieldState:
    """The output of a field at one point of the cascade, and whether it needs no person."""

    output: Output
    automated: bool


def field_state(tier: str, field: str, value: ScoredValue, calibrations: Calibrations) -> FieldState:
    """The value that a tier read for a field, with its calibrated confidence."""
    confidence = calibrations.confidence(tier, field, value.score)
    ends_early = is_cut_off(value.text)
    doubts = [ENDS_EARLY] * ends_early + [NOT_CALIBRATED] * math.isnan(confidence)
    output = Output(value.text, value.value, confidence, value.place, tier, value.speaks_for, (*doubts, *value.speaks_against))
    return FieldState(output, calibrations.automates(tier, field, value.score) and not ends_early)


def merge(before: FieldState | None, new: FieldState) -> FieldState:
    """The state of a field after one more tier.

    The same value again is evidence for it; it is automated if either tier automates it. Of two different values, the
    automated one is kept, else the more confident; the other is evidence against it. If both are automated, neither is
    any longer: a person decides.
    """
    if before is None:
        return new
    if before.output.value == new.output.value:
        first = before if before.automated or not new.automated else new
        other = new if first is before else before
        agrees = f"the {_words(other.output.tier)} reads the same"
        return replace(first, output=replace(first.output, speaks_for=(*first.output.speaks_for, agrees)))
    kept = new if (new.automated, _rank(new)) > (before.automated, _rank(before)) else before
    rival = before if kept is new else new
    against = f"the {_words(rival.output.tier)} reads {rival.output.text!r}"
    output = replace(kept.output, speaks_against=(against, *kept.output.speaks_against))
    return FieldState(output, kept.automated and not rival.automated)


def consult(
    tier: Tier, contents: Sequence[Content], past: Past, configs: "Sequence[RunnableConfig] | None" = None
) -> list[Extraction]:
    """One tier's result per case, with the past cases that it wants."""
    if not contents:
        return []
    wanted = getattr(tier, "past_cases", 0)
    return tier.extract(contents, configs, *([past(contents, wanted)] if wanted else []))


def no_past(contents: Sequence[Content], k: int) -> PastCases:
    return [()] * len(contents)


def calibrate(
    tiers: Mapping[str, Tier],
    contents: Sequence[Content],
    labels: Mapping[str, Mapping[str, str]],
    mission: Mission,
    blind: BlindSample | None = None,
    past: Past = no_past,
) -> Calibrations:
    """Calibrate each tier separately, on the labelled values that reach it: those that no earlier tier automates.

    `labels`: id of the content to field to text; `blind`: given if some were corrected in an audit; `past`: finds answered
    cases for a tier that reads with their help, and must find none with the labels that the tier is judged by. The tiers
    share the SLO's error budget equally. A later tier's share is divided by the number of thresholds that the earlier tiers
    could have had, because those decide which cases reach it; so the promise holds for all tiers jointly. A single tier gets
    the whole budget.
    """
    share = (1 - mission.slo.confidence) / max(1, len(tiers))
    printed = [conventions(content, mission.dates) for content in contents]
    reached = {field: list(range(len(contents))) for field in mission.fields}
    budgets = dict.fromkeys(mission.fields, share)
    fitted: dict[str, Calibration] = {}
    for name, tier in tiers.items():
        learned: frozenset[str] = getattr(tier, "learned_from", frozenset())
        open_cases = sorted({at for field in mission.required for at in reached[field] if contents[at].id not in learned})
        extractions = dict(zip(open_cases, consult(tier, [contents[at] for at in open_cases], past), strict=True))
        pairs = {
            field: [
                scored_pair(extractions[at], field, label, mission, printed[at])
                for at in reached[field]
                if at in extractions
                and has_value(mission.kinds[field], label := labels.get(contents[at].id, {}).get(field, ""))
            ]
            for field in mission.fields
        }
        first = [] if fitted else open_cases  # a later tier answers only what is left of a document
        whole = [_whole(extractions[at], labels.get(contents[at].id, {}), mission, printed[at]) for at in first]
        fitted[name] = Calibration.fit(pairs, mission.slo, budgets, blind, list(filter(None, whole)))
        for field in mission.fields:
            reached[field] = [
                at for at in reached[field] if at in extractions and not _automated(fitted[name], extractions[at], field)
            ]
            budgets[field] /= fitted[name].thresholds_tried(field)
    return Calibrations(fitted)


def scored_pair(extraction: Extraction, field: str, label: str, mission: Mission, printed: Conventions) -> Pair:
    """The score of a value and whether it is right; without a value, or with one that is cut off on the page, no score."""
    value = extraction.fields.get(field)
    if value is None or is_cut_off(value.text):
        return None, False
    return value.score, same_as_read(mission.kinds[field], label, value.text, value.value, printed)


def _whole(extraction: Extraction, labels: Mapping[str, str], mission: Mission, printed: Conventions) -> Pair | None:
    """The least score of the required fields, and whether all of them are right; None if one of them has no label."""
    if not all(has_value(mission.kinds[field], labels.get(field, "")) for field in mission.required):
        return None
    pairs = [scored_pair(extraction, field, labels[field], mission, printed) for field in mission.required]
    scores = [score for score, _ in pairs if score is not None]
    return (min(scores), all(right for _, right in pairs)) if len(scores) == len(pairs) else (None, False)


def _automated(calibration: Calibration, extraction: Extraction, field: str) -> bool:
    value = extraction.fields.get(field)
    return value is not None and not is_cut_off(value.text) and calibration.automates(field, value.score)


def _rank(state: FieldState) -> float:
    return state.output.confidence if state.output.calibrated else -1.0


def _words(tier: str) -> str:
    return tier.replace("_", " ")

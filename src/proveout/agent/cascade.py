"""The cascade: the mission's tiers, asked in order, each about the cases that the ones before it left open.

A case is open while a required field is not automated. `merge` says what a field holds after two tiers spoke of it.
`calibrate` learns what each tier's scores are worth, from the cases that reach it.
Not covered: what happens to a case that stays open. It goes to a person.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from proveout.calibration import Calibration, Calibrations, Pair
from proveout.mission import Mission
from proveout.models.tiers import Extraction, ScoredValue, Tier
from proveout.records import Content, Output
from proveout.values import same, has_value

NOT_CALIBRATED = "nothing calibrated this tier's word"


@dataclass(frozen=True)
class FieldState:
    """What a field holds at one point of the cascade."""

    output: Output
    automated: bool


def field_state(tier: str, field: str, value: ScoredValue, calibrations: Calibrations) -> FieldState:
    """What a tier says of a field, with what its score is worth."""
    confidence = calibrations.confidence(tier, field, value.score)
    doubts = (NOT_CALIBRATED,) if math.isnan(confidence) else ()
    output = Output(value.text, value.value, confidence, value.place, tier, value.speaks_for, (*doubts, *value.speaks_against))
    return FieldState(output, calibrations.automates(tier, field, value.score))


def merge(before: FieldState | None, new: FieldState) -> FieldState:
    """What a field holds after one more tier.

    The same value again is evidence for it, and it is automated if either tier may answer alone. Of two values, the one that
    is automated stays, else the more confident; the other speaks against it. Two automated values that contradict each other
    are a reason for a person to look: neither is automated any more.
    """
    if before is None:
        return new
    if before.output.value == new.output.value:
        first = before if before.automated or not new.automated else new
        other = new if first is before else before
        agrees = f"the {_words(other.output.tier)} reads the same"
        return replace(first, output=replace(first.output, speaks_for=(*first.output.speaks_for, agrees)))
    stays = new if (new.automated, _rank(new)) > (before.automated, _rank(before)) else before
    goes = before if stays is new else new
    rival = f"the {_words(goes.output.tier)} reads {goes.output.text!r}"
    output = replace(stays.output, speaks_against=(rival, *stays.output.speaks_against))
    return FieldState(output, stays.automated and not goes.automated)


def calibrate(
    tiers: Mapping[str, Tier], contents: Sequence[Content], labels: Mapping[str, Mapping[str, str]], mission: Mission
) -> Calibrations:
    """Calibrate each tier by itself, on the labelled cases that reach it: those whose field no tier before it automates.

    `labels`: id of the content to field to text. The SLO's error budget is shared equally by the tiers, and a later tier's
    share by the thresholds that the ones before it could have had, because those decide which cases reach it; so the promise
    holds for every tier at once. With one tier, that tier has all of it.
    """
    share = (1 - mission.slo.confidence) / max(1, len(tiers))
    reached = {field: list(range(len(contents))) for field in mission.fields}
    budgets = dict.fromkeys(mission.fields, share)
    fitted: dict[str, Calibration] = {}
    for name, tier in tiers.items():
        asked = sorted({at for field in mission.required for at in reached[field]})
        extractions = dict(zip(asked, tier.extract([contents[at] for at in asked]), strict=True))
        pairs = {
            field: [
                _pair(extractions[at], field, labels.get(contents[at].id, {}).get(field, ""), mission)
                for at in reached[field]
                if at in extractions and has_value(mission.kinds[field], labels.get(contents[at].id, {}).get(field, ""))
            ]
            for field in mission.fields
        }
        fitted[name] = Calibration.fit(pairs, mission.slo, budgets)
        for field in mission.fields:
            reached[field] = [
                at for at in reached[field] if at in extractions and not _automated(fitted[name], extractions[at], field)
            ]
            budgets[field] /= fitted[name].thresholds_tried(field)
    return Calibrations(fitted)


def _pair(extraction: Extraction, field: str, label: str, mission: Mission) -> Pair:
    value = extraction.fields.get(field)
    return (value.score, same(mission.kinds[field], label, value.text)) if value else (None, False)


def _automated(calibration: Calibration, extraction: Extraction, field: str) -> bool:
    value = extraction.fields.get(field)
    return value is not None and calibration.automates(field, value.score)


def _rank(held: FieldState) -> float:
    return held.output.confidence if held.output.calibrated else -1.0


def _words(tier: str) -> str:
    return tier.replace("_", " ")

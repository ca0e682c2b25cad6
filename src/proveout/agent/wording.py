"""A decision in two sentences: where the case goes and why, and which value is the weakest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout.mission import Mission, measured_percent
from proveout.records import Check, Output, Route

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proveout.calibration import Calibrations


def refusal(reason: str) -> tuple[str, str]:
    """The two sentences for a case that cannot be read."""
    return f"Refused: {reason}.", "Nothing was extracted and no action is proposed; a person has to look at the file."


def sentences(
    route: Route,
    document_class: str,
    fields: Mapping[str, Output],
    automated: frozenset[str],
    checks: tuple[Check, ...],
    mission: Mission,
    calibrations: Calibrations,
) -> tuple[str, str]:
    """The route with its reason, then the weakest value with the evidence against it."""
    if route is Route.ACT:
        certified = f"is certified at {mission.slo.precision_text} precision"
        first = f"Every required field of this {document_class} {certified} and no check failed: the agent may act."
    else:
        noun = document_class if document_class not in ("", *mission.never_act_on) else "case"
        first = f"This {noun} goes to a person: {_obstacle(document_class, fields, automated, checks, mission, calibrations)}."
    return first, _weakest(fields)


def _obstacle(
    document_class: str,
    fields: Mapping[str, Output],
    automated: frozenset[str],
    checks: tuple[Check, ...],
    mission: Mission,
    calibrations: Calibrations,
) -> str:
    """The first obstacle to acting, in the order in which a person would fix them."""
    required = [name for name, spec in mission.fields.items() if spec.required]
    uncertifiable = [name for name in required if not calibrations.certified(name)]
    missing = [name for name in required if name not in fields]
    unsure = [name for name in required if name in fields and name not in automated and name not in uncertifiable]
    failed = [check for check in checks if check.passed is False]
    if failed:
        return f"the check “{failed[0].name}” failed ({failed[0].because})"
    if missing:
        return f"no plausible value for {and_(missing)}"
    if unsure:
        values = (f"{name} ({sureness(fields[name], calibrations.floor(fields[name].tier, name))})" for name in unsure)
        return f"below the certified threshold: {and_(list(values))}"
    if uncertifiable:
        return f"{mission.slo.precision_text} precision is not certifiable for {and_(uncertifiable)}"
    return f"cases of class {document_class or 'unknown'} are never acted on"


def _weakest(fields: Mapping[str, Output]) -> str:
    if not fields:
        return "No field has a value."
    name, value = min(fields.items(), key=lambda item: item[1].confidence if item[1].calibrated else -1.0)
    against = f"; {value.speaks_against[0]}" if value.speaks_against else ""
    place = f" on page {value.place.page + 1}" if value.place else ""
    return f"The weakest value is {name}, {value.text!r}{place}, {sureness(value)}{against}."


def sureness(value: Output, needed: float | None = None) -> str:
    """The confidence of a value in words, and the one that automating it needs.

    >>> from proveout.records import Output
    >>> sureness(Output("$5", "5", 0.8649)), sureness(Output("$5", "5", 0.9696), 0.9703)
    ('86% sure', '96.96% sure, 97.03% needed')
    >>> sureness(Output("$5", "5", 0.9972), 0.86)
    '99.7% sure, 86% needed'
    """
    if not value.calibrated:
        return "not calibrated"
    if needed is None:
        return f"{measured_percent(value.confidence)} sure"
    if f"{value.confidence:.0%}" != f"{needed:.0%}":
        return f"{measured_percent(value.confidence)} sure, {measured_percent(needed)} needed"
    return f"{value.confidence:.2%} sure, {needed:.2%} needed"


def and_(names: list[str]) -> str:
    """
    >>> and_(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else ""

"""Decisions as canonical JSON and back, without loss, including decimals, dates, nan and the infinities.

Canonical: keys sorted, no spaces, UTF-8, so that equal decisions have equal bytes and one hash.
"""

import json
import math
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import Any

import orjson

from proveout.records import Action, Box, Check, Decision, Output, Place, Route, SimilarCase, Value


def canonical(payload: Any) -> str:
    """Canonical JSON of plain data.

    >>> canonical({"b": 1, "a": "é"})
    '{"a":"é","b":1}'
    """
    try:
        return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS).decode()
    except TypeError:  # an unpaired surrogate, found in broken PDFs, is escaped: UTF-8 cannot encode it
        return json.dumps(payload, sort_keys=True, separators=(",", ":"), allow_nan=False)


def parse(text: str) -> Any:
    """The inverse of `canonical`."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return json.loads(text)


def decision_to_json(decision: Decision) -> dict[str, Any]:
    """Plain data for `canonical`."""
    return {
        "case": decision.case,
        "release": decision.release,
        "document_class": decision.document_class,
        "class_confidence": _out(decision.class_confidence),
        "fields": {name: _field_out(field) for name, field in decision.fields.items()},
        "automated": sorted(decision.automated),
        "checks": [[check.name, check.passed, check.because] for check in decision.checks],
        "similar": [[similar.case, _out(similar.similarity), dict(similar.fields)] for similar in decision.similar],
        "route": decision.route.value,
        "because": list(decision.because),
        "actions": [action_to_json(action) for action in decision.actions],
        "memory_position": decision.memory_position,
        "descriptors": {name: _out(number) for name, number in decision.descriptors.items()},
        "dollars": _out(decision.dollars),
        "turn": decision.turn,
    }


def decision_from_json(data: Mapping[str, Any]) -> Decision:
    """The inverse of `decision_to_json`: equal in every value. Also reads what earlier versions wrote."""
    first, second = data["because"]
    return Decision(
        case=data["case"],
        release=data["release"],
        document_class=data["document_class"],
        class_confidence=_in(data["class_confidence"]),
        fields={name: _field_in(field) for name, field in data["fields"].items()},
        automated=frozenset(data["automated"]),
        checks=tuple(Check(*check) for check in data["checks"]),
        similar=tuple(SimilarCase(case, _in(similarity), fields) for case, similarity, fields in data["similar"]),
        route=Route(data["route"]),
        because=(first, second),
        actions=tuple(action_from_json(action) for action in data["actions"]),
        memory_position=data["memory_position"],
        descriptors={name: _in(number) for name, number in data["descriptors"].items()},
        dollars=_in(data.get("dollars", 0.0)),
        turn=data.get("turn", 0),
    )


def action_to_json(action: Action) -> dict[str, Any]:
    return {
        "name": action.name,
        "arguments": dict(action.arguments),
        "key": action.key,
        "compensation": action.compensation,
    }


def action_from_json(data: Mapping[str, Any]) -> Action:
    return Action(data["name"], data["arguments"], data["key"], data["compensation"])


def _field_out(field: Output) -> dict[str, Any]:
    place = field.place
    return {
        "text": field.text,
        "value": _value_out(field.value),
        "confidence": _out(field.confidence),
        "page": place.page if place else None,
        "box": [_out(place.box.x0), _out(place.box.y0), _out(place.box.x1), _out(place.box.y1)] if place else None,
        "tier": field.tier,
        "for": list(field.speaks_for),
        "against": list(field.speaks_against),
    }


def _field_in(data: Mapping[str, Any]) -> Output:
    return Output(
        text=data["text"],
        value=_value_in(data["value"]),
        confidence=_in(data["confidence"]),
        place=Place(data["page"], Box(*(_in(number) for number in data["box"]))) if data["box"] else None,
        tier=data.get("tier", "ranker"),  # earlier versions had one tier and did not record it
        speaks_for=tuple(data["for"]),
        speaks_against=tuple(data["against"]),
    )


def _value_out(value: Value) -> Any:
    match value:
        case Decimal():
            return {"decimal": str(value)}
        case date():
            return {"day": value.isoformat()}
    return value


def _value_in(data: Any) -> Value:
    match data:
        case {"decimal": text}:
            return Decimal(text)
        case {"day": text}:
            return date.fromisoformat(text)
    return str(data)


def _out(number: float) -> float | str:
    """A JSON number, or text for `nan` and the infinities. NumPy floats become plain ones."""
    if isinstance(number, int):
        return number
    return float(number) if math.isfinite(number) else repr(float(number))


def _in(number: float | str) -> float:
    return float(number) if isinstance(number, str) else number

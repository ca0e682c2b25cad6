"""A mission: what comes in, which fields go out, and what was promised. One door: `load`.

Covered: unknown keys (the nearest known one is named), values out of range, a field of an unknown kind, a check of another.
Not covered: the policy and the prompts beside it. `policy` and `prompts` read those.
"""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proveout.errors import BadMission
from proveout.records import Kind


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldSpec(_Strict):
    kind: Kind
    required: bool = True  # a case acts only if every required field is automated


class SLO(_Strict):
    precision: float = Field(gt=0.5, lt=1)  # among automated fields, each field by itself
    confidence: float = Field(gt=0.5, lt=1)  # of that statement
    automation_rate: float = Field(default=0.65, ge=0, le=1)
    latency_p99_seconds: float = Field(default=10, gt=0)
    cost_per_case: float = Field(default=0.01, ge=0)  # dollars


class ActionSpec(_Strict):
    for_classes: tuple[str, ...] = ()  # classes for which it is proposed; empty: every class that is acted on
    undone_by: str | None = None


class Checks(_Strict):
    """What has to hold before a case may act; each entry names fields of the mission."""

    date_order: tuple[tuple[str, str], ...] = ()  # pairs (first, last)
    adds_up: tuple[str, ...] = ()  # amounts that other amounts of the document add up to
    duplicate_on: tuple[str, ...] = ()  # a past case that agrees on all of them is the same business twice
    same_party_on: tuple[str, str] | None = None  # (key, party): past cases with this key name the same party


class Budget(_Strict):
    effects_per_run: int = Field(default=10_000, ge=0)
    amount_per_run: int = Field(default=1_000_000, ge=0)  # dollars


class Mission(_Strict):
    mission: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    purpose: str
    classes: tuple[str, ...]
    fields: dict[str, FieldSpec]
    slo: SLO
    tiers: tuple[str, ...] = ("rules", "ranker", "person")
    actions: dict[str, ActionSpec] = Field(default_factory=dict)
    checks: Checks = Checks()
    budget: Budget = Budget()
    segment: str = "segment"
    largest_document: int = Field(default=20_000_000, gt=0)  # bytes that the server takes; 100 scanned pages have 15 MB

    @model_validator(mode="after")
    def _checks_name_fields(self) -> "Mission":
        pairs = [*self.checks.date_order, self.checks.same_party_on or ()]
        named = {name for pair in pairs for name in pair} | {*self.checks.adds_up, *self.checks.duplicate_on}
        if unknown := sorted(named - set(self.fields)):
            raise ValueError(f"checks name {', '.join(unknown)}; the fields are {', '.join(self.fields)}")
        wanted = [(name, "date") for pair in self.checks.date_order for name in pair]
        for name, kind in [*wanted, *((name, "amount") for name in self.checks.adds_up)]:
            if self.kinds[name] != kind:
                raise ValueError(f"checks expect {'a date' if kind == 'date' else 'an amount'}; {name} is a {self.kinds[name]}")
        return self

    @model_validator(mode="after")
    def _something_is_required(self) -> "Mission":
        if not any(spec.required for spec in self.fields.values()):
            raise ValueError("no field is required, so a case would be acted on without any evidence; require one at least")
        return self

    @property
    def kinds(self) -> dict[str, Kind]:
        """Field name to kind, in the mission's order."""
        return {name: spec.kind for name, spec in self.fields.items()}


def load(path: Path | str) -> Mission:
    """Read a `mission.yaml`.

    Raises BadMission with the file, the key, and what would have been accepted.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        expected = "a mission lives in pipelines/<name>/mission.yaml"
        raise BadMission(f"{path}: cannot be read ({error.strerror}); {expected}") from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadMission(f"{path}: not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise BadMission(f"{path}: expected keys and values such as `mission: invoices`, found {type(raw).__name__}")
    try:
        return Mission.model_validate(raw)
    except ValidationError as error:
        raise BadMission("\n".join(f"{path}: {_explain(fault, raw)}" for fault in error.errors())) from error


def _explain(fault: Any, raw: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"`{place}`: {fault['msg'].lower()}; found {fault['input']!r}"
    *parents, key = fault["loc"]
    known = _keys_at(parents)
    near = difflib.get_close_matches(str(key), known, n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known)}"
    return f"unknown key `{place}`; {hint}"


def _keys_at(parents: list[Any]) -> list[str]:
    models: dict[str, type[_Strict]] = {
        "fields": FieldSpec,
        "slo": SLO,
        "actions": ActionSpec,
        "checks": Checks,
        "budget": Budget,
    }
    return list((models[str(parents[0])] if parents else Mission).model_fields)

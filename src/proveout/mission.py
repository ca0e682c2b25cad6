"""A mission: what comes in, which fields go out, which actions are allowed, and the SLOs. Entry point: `load`.

What a mission file holds depends on its kind of case: `read` takes the model of another kind, which has the keys of `Common`.
Covered: unknown keys, tiers, checks, connectors and settings (the error suggests the nearest one), values out of range,
unknown kinds of field, checks and arguments that name a field of the wrong kind.
Not covered: the policy and the prompts beside it; `policy` and `prompts` read those.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from proveout import plugins
from proveout.errors import BadInput, BadMission, hint
from proveout.records import E_INVOICE_TERMS, DateOrder, Kind


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FieldSpec(_Strict):
    kind: Kind
    required: bool = True  # a case acts only if every required field is automated
    lines: int = Field(default=2, ge=1, le=9)  # that a name or an address may run over
    deductions: tuple[float, ...] = ()  # shares of this amount printed beside it as deductions, such as a commission
    e_invoice: str = ""  # the term of an e-invoice that has this value, such as total; see records.E_INVOICE_TERMS


# held_out: the calibration split, from which nothing learns. cross_fitted: train and calibration, each document scored by a
# model that did not learn from it. auto: held_out if that split is large enough by itself, else cross_fitted.
Evidence = Literal["auto", "held_out", "cross_fitted"]


def exact_percent(share: float) -> str:
    """A promised share with all of its digits.

    >>> exact_percent(0.98), exact_percent(0.995)
    ('98%', '99.5%')
    """
    return f"{100 * share:.10g}%"


def measured_percent(share: float) -> str:
    """A probability below 1 without decimals, unless it would read 100%.

    >>> measured_percent(0.8649), measured_percent(0.9972), measured_percent(0.99999), measured_percent(1)
    ('86%', '99.7%', 'over 99.99%', '100%')
    """
    texts = (f"{share:.{digits}%}" for digits in range(3))
    return next((text for text in texts if share >= 1 or not text.startswith("100")), "over 99.99%")


class SLO(_Strict):
    """What the mission promises, under `slo`."""

    precision: float = Field(gt=0.5, lt=1)  # of the automated values, for each field separately
    confidence: float = Field(gt=0.5, lt=1)  # in that precision
    lowest_confidence: float = Field(default=0.8, ge=0, lt=1)  # of any automated value, so that a good average hides none
    replaced_values: float = Field(default=0.05, ge=0, le=1)  # share of documents without a required value that may be acted on
    automation_rate: float = Field(default=0.65, ge=0, le=1)
    latency_p99_seconds: float = Field(default=10, gt=0)
    cost_per_case: float = Field(default=0.01, ge=0)  # dollars
    evidence: Evidence = "auto"  # what the guarantee rests on

    @property
    def precision_text(self) -> str:
        return exact_percent(self.precision)

    @property
    def confidence_text(self) -> str:
        return exact_percent(self.confidence)


class ActionSpec(_Strict):
    """An action that the agent may propose, under `actions`."""

    connector: str = ""  # that performs it; "": the connector with the action's own name
    settings: dict[str, Any] = Field(default_factory=dict)  # of that connector
    arguments: dict[str, str] = Field(default_factory=dict)  # argument to a field of the mission, or `class` or `case`
    for_classes: tuple[str, ...] = ()  # classes for which it is proposed; empty: every class outside `never_act_on`
    needs: tuple[str, ...] = ()  # fields without whose values it is not proposed
    undone_by: str | None = None  # name of the compensating action in policy and journal


class Distil(_Strict):
    """What the ranker learns from documents without labels, under `distil`: those of the split `unlabelled`."""

    teacher: str  # the tier that reads them
    least_score: float = Field(default=0.9, ge=0, le=1)  # of a reading that the ranker learns from


class Budget(_Strict):
    effects_per_run: int = Field(default=10_000, ge=0)
    amount_per_run: int = Field(default=1_000_000, ge=0)  # dollars


class Common(_Strict):
    """What every mission file holds, whatever its kind of case."""

    mission: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    purpose: str
    case: str = "document"  # the kind of case
    slo: SLO


class Mission(Common):
    """A mission whose decisions are fields with values: documents, conversations."""

    classes: tuple[str, ...]
    never_act_on: tuple[str, ...]  # classes whose cases always go to a person
    refuse: tuple[str, ...] = ()  # classes whose cases are refused where all that is required is certain
    fields: dict[str, FieldSpec]
    dates: DateOrder = "inferred"  # of days in numbers, such as 3/4/26; inferred: from each document
    tiers: tuple[str, ...] = ("ranker", plugins.PERSON)  # the cascade, from cheap to expensive
    distil: Distil | None = None
    actions: dict[str, ActionSpec] = Field(default_factory=dict)
    checks: dict[str, Any] = Field(default_factory=dict)  # that must hold before the agent acts: check to its settings
    budget: Budget = Budget()
    segment: str = "segment"
    second_readings: float = Field(default=0.05, ge=0, le=1)  # share of answered cases that another person reads again, blind
    review_minutes: int = Field(default=30, ge=1, le=24 * 60)  # that a case is kept for the person who opened it
    assigned_hours: int = Field(default=24, ge=1, le=24 * 90)  # that a case is kept for the person to whom it was assigned
    largest_document: int = Field(default=20_000_000, gt=0)  # bytes that the server accepts; 100 scanned pages have 15 MB

    @model_validator(mode="after")
    def _something_is_required(self) -> "Mission":
        if not any(spec.required for spec in self.fields.values()):
            raise ValueError("no field is required, so cases would be acted on without any evidence; require at least one")
        return self

    @model_validator(mode="after")
    def _names_are_known(self) -> "Mission":
        """Reports all unknown or wrong names at once."""
        problems = [*self._class_problems(), *self._term_problems(), *self._plugin_problems(), *self._action_problems()]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _class_problems(self) -> Iterator[str]:
        named = {"never_act_on": self.never_act_on, "refuse": self.refuse}
        named |= {f"actions.{name}.for_classes": spec.for_classes for name, spec in self.actions.items()}
        for path, classes in named.items():
            yield from (
                f"{path}: unknown class `{name}`; {hint(name, self.classes)}" for name in classes if name not in self.classes
            )

    def _term_problems(self) -> Iterator[str]:
        for name, term in self.e_invoice_terms.items():
            path, kind = f"fields.{name}.e_invoice", self.fields[name].kind
            if term not in E_INVOICE_TERMS:
                yield f"{path}: unknown term `{term}`; {hint(term, E_INVOICE_TERMS)}"
            elif kind != E_INVOICE_TERMS[term]:
                yield f"{path}: the term `{term}` is of kind {E_INVOICE_TERMS[term]}, the field of kind {kind}"
        if "e_invoice" in self.tiers and not self.e_invoice_terms:
            yield "tiers: `e_invoice` has no field to read; name the term of a field, such as `e_invoice: total`"

    def _plugin_problems(self) -> Iterator[str]:
        if self.tiers[-1:] != (plugins.PERSON,) or len(set(self.tiers)) != len(self.tiers) or len(self.tiers) < 2:
            expected = f"two or more distinct tiers from cheap to expensive, the last one `{plugins.PERSON}`"
            yield f"tiers: expected {expected}; found {list(self.tiers)}"
        for name in set(self.tiers) - {plugins.PERSON, *plugins.names("tiers")}:
            yield f"tiers: unknown tier `{name}`; {hint(name, (*plugins.names('tiers'), plugins.PERSON))}"
        if self.distil and self.distil.teacher not in plugins.names("tiers"):
            yield f"distil.teacher: unknown tier `{self.distil.teacher}`; {hint(self.distil.teacher, plugins.names('tiers'))}"
        if self.case not in plugins.names("cases"):
            yield f"case: unknown kind of case `{self.case}`; {hint(self.case, plugins.names('cases'))}"
        for name, settings in self.checks.items():
            try:
                plugins.find("checks", name)(settings, self.kinds)
            except (BadInput, ValueError) as error:
                yield f"checks.{name}: {_first(error)}"

    def _action_problems(self) -> Iterator[str]:
        names = Counter([*self.actions, *(spec.undone_by for spec in self.actions.values() if spec.undone_by)])
        for name, spec in self.actions.items():
            if spec.undone_by and names[spec.undone_by] > 1:
                yield f"actions.{name}.undone_by: the name `{spec.undone_by}` is used more than once; choose a unique one"
            try:
                connector = plugins.find("connectors", spec.connector or name)
            except BadInput as error:
                yield f"actions.{name}: {error}"
                continue
            yield from (
                f"actions.{name}.needs: unknown field `{field}`; {hint(field, self.fields)}"
                for field in spec.needs
                if field not in self.fields
            )
            faults = list(_faults(connector.Settings, spec.settings))
            yield from (f"actions.{name}.settings: {fault}" for fault in faults)
            if spec.undone_by and not faults and not connector.reversible(connector.Settings.model_validate(spec.settings)):
                yield f"actions.{name}.undone_by: the connector `{spec.connector or name}` cannot take back what it did"
            yield from self._argument_problems(name, connector.takes, connector.may_take)

    def _argument_problems(self, action: str, takes: Mapping[str, str], may_take: Mapping[str, str]) -> Iterator[str]:
        path, arguments, sources = f"actions.{action}.arguments", self.arguments(action), [*self.fields, "class", "case"]
        for argument, expected in {**may_take, **takes}.items():
            source = arguments.get(argument)
            if source is None and argument in takes:
                fields = [name for name, kind in self.kinds.items() if kind == expected] or list(self.fields)
                yield f"{path}: `{argument}` is missing; name a field, such as {argument}: {fields[0]}"
            elif source in self.kinds and expected not in ("text", self.kinds[source]):
                yield f"{path}.{argument}: expected a field of kind {expected}; {source} is of kind {self.kinds[source]}"
        for argument, source in arguments.items():
            if source not in sources:
                yield f"{path}.{argument}: unknown field `{source}`; {hint(source, sources)}"

    def arguments(self, action: str) -> dict[str, str]:
        """Argument of an action to its source: as the mission says, else the connector's default."""
        spec = self.actions[action]
        return {**plugins.find("connectors", spec.connector or action).defaults, **spec.arguments}

    @property
    def plugin_names(self) -> list[tuple[plugins.Group, str]]:
        """Every plugin that the mission names, with its group."""
        return [
            ("cases", self.case),
            *(("tiers", name) for name in self.tiers if name != plugins.PERSON),
            *(("checks", name) for name in self.checks),
            *(("connectors", spec.connector or name) for name, spec in self.actions.items()),
        ]

    @property
    def kinds(self) -> dict[str, Kind]:
        """Field name to kind, in the mission's order."""
        return {name: spec.kind for name, spec in self.fields.items()}

    @property
    def lines(self) -> int:
        """The most lines that a name may run over."""
        return max((spec.lines for spec in self.fields.values() if spec.kind == "name"), default=1)

    @property
    def e_invoice_terms(self) -> dict[str, str]:
        """Field name to the term of an e-invoice that has its value, for the fields that name one."""
        return {name: spec.e_invoice for name, spec in self.fields.items() if spec.e_invoice}

    @property
    def required(self) -> frozenset[str]:
        """The fields that must be automated before a case is acted on."""
        return frozenset(name for name, spec in self.fields.items() if spec.required)

    @property
    def date_ranges(self) -> tuple[tuple[str, str], ...]:
        """Pairs of date fields: the first and the last day of a period."""
        return tuple((first, last) for first, last in self.checks.get("date_order", ()))


M = TypeVar("M", bound=Common)


def load(path: Path | str, tiers: Sequence[str] = ()) -> Mission:
    """Read a `mission.yaml`. Raises BadMission with the file, the key and what is expected there.

    `tiers`: instead of its own, without the person at the end.
    """
    case = case_of(path)
    if case in plugins.names("designs") and case not in plugins.names("cases"):
        raise BadMission(
            f"{path}: cases of the kind `{case}` can be designed and built, but this command decides cases or works with "
            f"decisions, which that kind does not have; available: proveout build, why, edit"
        )
    return read(path, Mission, {"tiers": [*tiers, plugins.PERSON]} if tiers else {})


def case_of(path: Path | str) -> str:
    """The kind of case that a mission file names. Raises BadMission if it holds no keys and values."""
    return str(_raw(Path(path)).get("case", Common.model_fields["case"].default))


def read(path: Path | str, model: type[M], changed: Mapping[str, Any] = MappingProxyType({})) -> M:
    """A mission file as a model of its kind of case. `changed`: keys with other values. Raises BadMission as `load` does."""
    try:
        return model.model_validate({**_raw(Path(path)), **changed})
    except ValidationError as error:
        raise BadMission("\n".join(f"{path}: {_explain(fault, model)}" for fault in error.errors())) from error


def _raw(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        expected = "expected a file such as pipelines/<name>/mission.yaml"
        raise BadMission(f"{path}: cannot be read ({error.strerror}); {expected}") from error
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadMission(f"{path}: not valid YAML: {error}") from error
    if not isinstance(raw, dict):
        raise BadMission(f"{path}: expected keys and values such as `mission: invoices`, found {type(raw).__name__}")
    return raw


MISSING = {"never_act_on": "list the classes whose cases always go to a person, such as [other], or [] for none"}


def _explain(fault: Any, model: type[Common]) -> str:
    path = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        *parents, key = fault["loc"]
        return f"unknown key `{path}`; {hint(str(key), _keys_at(parents, model))}"
    if fault["type"] == "missing":
        return f"`{path}` is missing; {MISSING.get(path, 'add it')}"
    if not path:
        return str(fault["msg"].removeprefix("Value error, "))
    return f"`{path}`: {fault['msg'].lower()}; found {fault['input']!r}"


def _keys_at(parents: list[Any], model: type[Common]) -> list[str]:
    models: Mapping[str, type[_Strict]] = {"fields": FieldSpec, "slo": SLO, "actions": ActionSpec, "budget": Budget}
    return list((models[str(parents[0])] if parents else model).model_fields)


def _faults(model: type[BaseModel], settings: Mapping[str, Any]) -> Iterator[str]:
    """Problems of a connector's settings."""
    try:
        model.model_validate(settings)
    except ValidationError as error:
        for fault in error.errors():
            name = ".".join(map(str, fault["loc"]))
            if fault["type"] == "extra_forbidden":
                yield f"unknown setting `{name}`; {hint(name, model.model_fields)}"
            elif fault["type"] == "missing":
                yield f"`{name}` is missing"
            elif fault["type"] == "value_error":  # its message must not repeat the input, which may be a secret
                yield f"`{name}`: {fault['ctx']['error']}" if name else str(fault["ctx"]["error"])
            else:
                yield f"`{name}`: {fault['msg'].lower()}; found {fault['input']!r}"


def _first(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{fault['msg'].lower()}; found {fault['input']!r}"
    return str(error)

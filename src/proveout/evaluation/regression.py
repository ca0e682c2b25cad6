"""Regression cases: decided cases whose right answer every later release has to give. Entry points: `add`, `results`.

A person says what is right of a case, its values, its class and its route; the journal keeps it. A build decides each case with
the release in the making; one that fails is named in its evaluation, and promoting it asks first. A value that goes to a person
fails nothing: a case fails by an automated value that is wrong, a class that is wrong on a case that is acted on, or its route.
Covered: a case that is changed or taken out later (the last word counts); a file that is no longer kept (the case fails).
Not covered: whether the cases are typical. They were chosen, so they are no measure of how often a release is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.documents import Originals
from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.journal import REGRESSION, Event, Journal
from proveout.mission import Mission
from proveout.records import Case, Decision, Route
from proveout.values import same
from proveout.values.conventions import conventions_of

if TYPE_CHECKING:
    from proveout.agent import Agent

LIST = "regression.json"  # in a workspace: which events count, without what they say


@dataclass(frozen=True)
class Regression:
    """The right answer to a case."""

    case: str  # id
    content: str  # SHA-256 of the file
    fields: Mapping[str, str] = field(default_factory=dict)  # "": the document has no such value
    document_class: str = ""  # "": any
    route: str = ""  # "": any
    by: str = ""
    because: str = ""  # what went wrong, for whom reads it later


@dataclass(frozen=True)
class Result:
    """A regression case under a release in the making."""

    regression: Regression
    wrong: tuple[str, ...]  # in words without a value, because a release keeps them; empty if it holds

    def __str__(self) -> str:
        return f"regression case {self.regression.case[:12]}: {'; '.join(self.wrong) or 'holds'}"


def add(journal: Journal, case: Case, regression: Regression, mission: Mission) -> None:
    """Keep the right answer to a case. Raises BadInput for unknown fields, classes and routes, and if it says nothing."""
    if unknown := [name for name in regression.fields if name not in mission.fields]:
        raise BadInput(f"{mission.mission} has no field {unknown[0]!r}; expected some of {', '.join(mission.fields)}")
    if regression.document_class not in ("", *mission.classes):
        raise BadInput(f"no class {regression.document_class!r}; expected one of {', '.join(mission.classes)}")
    if regression.route not in ("", *Route):
        raise BadInput(f"no route {regression.route!r}; expected one of {', '.join(Route)}, or nothing for any")
    if not (regression.fields or regression.document_class or regression.route):
        raise BadInput("nothing is right or wrong yet: give a value, the class or the route")
    journal.append([Event(case.id, REGRESSION, asdict(regression), turn=case.turn)])


def remove(journal: Journal, case: Case, by: str) -> None:
    """Take a case out of the regression cases. The journal keeps that it was one."""
    journal.append([Event(case.id, REGRESSION, {"removed": True, "by": by}, turn=case.turn)])


def cases(journal: Journal) -> dict[str, Event]:
    """The event that counts of each case, by the case's id; none of a case that was erased."""
    last, erased = {event.case: event for event in journal.of_kind(REGRESSION)}, journal.erased()
    return {case: event for case, event in last.items() if case not in erased and not event.payload.get("removed")}


def write_list(home: Path) -> Path:
    """Bring `regression.json` up to date, by which a build notices new cases; returns its path."""
    rows: list[list[str]] = []
    if (home / "journal.db").exists():
        with Journal(home / "journal.db") as journal:
            rows = sorted([case, event.hash] for case, event in cases(journal).items())
    text = json.dumps(rows, indent=0) + "\n"
    if not (home / LIST).exists() or (home / LIST).read_text(encoding="utf-8") != text:
        write_whole(home / LIST, text)
    return home / LIST


def results(agent: Agent, regression_list: Path) -> list[Result]:
    """Decide every regression case with an agent. `regression_list`: what `write_list` wrote in the workspace."""
    home = regression_list.parent
    if not json.loads(regression_list.read_text(encoding="utf-8")):
        return []
    with Journal(home / "journal.db") as journal:
        wanted = [Regression(**_payload(event)) for event in cases(journal).values()]
    originals = Originals(home / "originals")
    kept = [one.content for one in wanted if originals.whole(one.content)]
    decisions = dict(zip(kept, agent.batch([originals.path(content) for content in kept]), strict=True))
    return [Result(one, tuple(_wrong(one, decisions.get(one.content), agent.mission))) for one in wanted]


def _payload(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.payload.items() if name in Regression.__dataclass_fields__}


def _wrong(regression: Regression, decision: Decision | None, mission: Mission) -> Iterator[str]:
    if decision is None:
        yield "its file is not kept, or is another by now"
        return
    for name, text in regression.fields.items():
        if name not in decision.automated or name not in mission.kinds:
            continue
        value = decision.fields[name].text
        if not same(mission.kinds[name], text, value, conventions_of([text, value]).declaring(mission.dates)):
            yield f"{name} is wrong"
    is_acted_on = decision.route is Route.ACT
    if is_acted_on and regression.document_class and decision.document_class != regression.document_class:
        yield f"its class is {decision.document_class}, right is {regression.document_class}"
    if regression.route and decision.route != regression.route:
        yield f"its route is {decision.route.value}, right is {regression.route}"

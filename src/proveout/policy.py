"""Whether an action may happen, by the mission's Cedar policies. Silence means no, and so does every error.

One door: `Policy.load(...).judge`. The schema comes from the mission: a policy that misspells a field does not load.
Every fact carries its origin in its name. `resource.seen` is what a model read in a document, which anybody may have written;
`resource.known` is what the release worked out about it (which fields are certified, which checks passed);
`context.cents` is what the action would spend, as the connector that would spend it says. What was seen is data, never
authority: a permit that asks for nothing known does not load, unless it is for people alone.
A person asks with a role, `principal.role`. A no that a higher role would not get names that role: `Verdict.escalate_to`.
Not covered: budgets, thresholds and the stop switch. `control` asks those.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from proveout.errors import BadInput
from proveout.mission import Mission
from proveout.records import Action, Decision, Kind, Output, Person, Role, Verdict

LONG = 2**63 - 1  # Cedar's only number is a signed 64-bit integer
EPOCH = date(1970, 1, 1)
ANYBODY = ""  # no account's name: a policy that names a person is not meant
SEEN_AS: dict[Kind, str] = {"amount": "Amount", "date": "Day", "number": "Text", "name": "Text", "flag": "Flag"}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One action that somebody wants, with the decision that it follows from."""

    decision: Decision
    action: Action
    cents: int = 0  # what it would spend
    person: Person | None = None  # who asks; None when the release itself does


class Policy:
    """The policies of one mission, parsed once."""

    def __init__(self, text: str, mission: Mission, source: str = "policy.cedar") -> None:
        """Raises BadInput for text that is not Cedar, names that the schema lacks, and a permit that rests on what was seen."""
        import cedarpy

        self.mission, self.text, self.schema = mission, text, schema(mission)
        self._schema = cedarpy.Schema.from_str(self.schema)
        try:
            self._policies = cedarpy.PolicySet.from_str(text)
            static = json.loads(cedarpy.policies_to_json_str(text))["staticPolicies"]
        except ValueError as error:
            raise BadInput(f"{source}: not Cedar: {error}{_place(text, str(error))}") from error
        checked = cedarpy.validate_policies(text, self._schema)
        if not checked.validation_passed:
            faults = "\n".join(f"{source}: {fault}" for fault in checked.errors)
            raise BadInput(f"{faults}\nknown here:\n{self.schema}")
        self._notes = {key: policy.get("annotations") or {} for key, policy in static.items()}
        for key, policy in static.items():
            principal = policy["principal"]  # `is Person`, or `== Person::"ada"`
            by_person = "Person" in (principal.get("entity_type"), principal.get("entity", {}).get("type"))
            if policy["effect"] == "permit" and not by_person and not _asks(policy["conditions"], "known"):
                raise BadInput(
                    f"{source}: the permit {self._name(key)} asks for nothing in `resource.known`; what a document says gives "
                    "no authority. Require for example `resource.known.automated.containsAll(resource.known.required)`"
                )

    @classmethod
    def load(cls, path: Path | str, mission: Mission) -> "Policy":
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            expected = "a mission's policies live beside it in policy.cedar"
            raise BadInput(f"{path}: cannot be read ({error}); {expected}, and without them nothing is allowed") from error
        return cls(text, mission, str(path))

    def judge(self, proposals: Sequence[Proposal]) -> list[Verdict]:
        """One verdict for each proposal, in their order."""
        verdicts = self._verdicts(proposals)
        refused = [place for place, verdict in enumerate(verdicts) if not verdict.allowed]
        for role in (Role.REVIEWER, Role.OPERATOR):  # the lowest that may, of those above whoever asked
            above = [place for place in refused if _is_below(role, proposals[place].person)]
            asked = [replace(proposals[place], person=Person(ANYBODY, role)) for place in above]
            for place, verdict in zip(above, self._verdicts(asked), strict=True):
                if verdict.allowed:
                    verdicts[place] = replace(verdicts[place], escalate_to=role.value)
                    refused.remove(place)
        return verdicts

    def _verdicts(self, proposals: Sequence[Proposal]) -> list[Verdict]:
        import cedarpy

        if not proposals:
            return []
        decisions = {id(proposal.decision): proposal.decision for proposal in proposals}
        numbers = {key: number for number, key in enumerate(decisions)}
        requests = [self._request(numbers[id(proposal.decision)], proposal) for proposal in proposals]
        people = {proposal.person for proposal in proposals if proposal.person}
        entities = json.dumps(
            [self._entity(numbers[key], decision) for key, decision in decisions.items()] + [*map(_person, people)]
        )
        try:
            known = cedarpy.Entities.from_json_str(entities, self._schema)
            answers = cedarpy.is_authorized_batch(requests, self._policies, known, self._schema)
        except ValueError as error:
            if len(proposals) == 1:
                return [Verdict(False, f"the policy could not be asked about {proposals[0].action.name}: {_short(str(error))}")]
            one_by_one = [self._verdicts([proposal]) for proposal in proposals]  # one bad fact denies only its own
            return [verdict for verdicts in one_by_one for verdict in verdicts]
        return [self._verdict(proposal, answer) for proposal, answer in zip(proposals, answers, strict=True)]

    def _verdict(self, proposal: Proposal, answer: Any) -> Verdict:
        name, diagnostics = proposal.action.name, answer.diagnostics
        if diagnostics.errors:  # Cedar skips a policy that fails, a forbid too: an error is therefore a no
            return Verdict(False, f"the policy could not be asked about {name}: {_short(diagnostics.errors[0])}")
        reasons = " and ".join(self._reason(key) for key in sorted(diagnostics.reasons))
        if answer.allowed:
            return Verdict(True, f"{name} is permitted by {reasons}")
        if reasons:
            return Verdict(False, f"{name} is forbidden by {reasons}")
        what = proposal.decision.document_class or "document that could not be read"
        whom = f" to a person who is {proposal.person.role}" if proposal.person else ""
        return Verdict(False, f"no policy permits {name} for this {what}{whom}")

    def _reason(self, key: str) -> str:
        because = self._notes[key].get("because")
        return f"{self._name(key)}: {because}" if because else self._name(key)

    def _name(self, key: str) -> str:
        return f"`{self._notes[key].get('id') or key}`"

    def _request(self, number: int, proposal: Proposal) -> dict[str, Any]:
        release = {"type": "Release", "id": proposal.decision.release}
        return {
            "principal": _person(proposal.person)["uid"] if proposal.person else release,
            "action": {"type": "Action", "id": proposal.action.name},
            "resource": {"type": "Case", "id": str(number)},
            "context": {"cents": proposal.cents},
        }

    def _entity(self, number: int, decision: Decision) -> dict[str, Any]:
        seen: dict[str, Any] = {
            "document_class": decision.document_class,
            "class_confidence": _permyriad(decision.class_confidence),
        }
        for name, kind in self.mission.kinds.items():
            fact = _seen(kind, decision.fields[name]) if name in decision.fields else None
            if fact is not None:
                seen[name] = fact
        known = {
            "id": decision.case,
            "route": decision.route.value,
            "required": [name for name, spec in self.mission.fields.items() if spec.required],
            "automated": sorted(decision.automated),
            "passed": [check.name for check in decision.checks if check.passed is True],
            "failed": [check.name for check in decision.checks if check.passed is False],
        }
        return {"uid": {"type": "Case", "id": str(number)}, "attrs": {"seen": seen, "known": known}, "parents": []}


def schema(mission: Mission) -> str:
    """What a policy of this mission may ask, as a Cedar schema. Money is in cents, confidence in 1/10,000, a day since 1970."""
    fields = "".join(f"  {json.dumps(name)}?: {SEEN_AS[kind]},\n" for name, kind in mission.kinds.items())
    undone = {spec.undone_by: None for spec in mission.actions.values() if spec.undone_by}
    actions = "".join(
        f"action {json.dumps(name)} appliesTo {{ principal: [Release, Person], resource: Case, context: {{ cents: Long }} }};\n"
        for name in {**dict.fromkeys(mission.actions), **undone}
    )
    return (
        "entity Release;\nentity Person = { role: String };\n"
        "type Amount = { cents: Long, confidence: Long };\n"
        "type Day = { day: Long, confidence: Long };\n"
        "type Text = { text: String, confidence: Long };\n"
        "type Flag = { yes: Bool, confidence: Long };\n"
        f"type Seen = {{\n  document_class: String,\n  class_confidence: Long,\n{fields}}};\n"
        "type Known = {\n  id: String,\n  route: String,\n  required: Set<String>,\n  automated: Set<String>,\n"
        "  passed: Set<String>,\n  failed: Set<String>,\n};\n"
        f"entity Case {{ seen: Seen, known: Known }};\n{actions}"
    )


def _is_below(role: Role, person: Person | None) -> bool:
    """Whether who asks, a release or a person, may less than that role."""
    return person is None or not person.role.includes(role)


def _person(person: Person) -> dict[str, Any]:
    uid = {"type": "Person", "id": person.name}
    return {"uid": uid, "attrs": {"role": person.role.value}, "parents": []}


def _seen(kind: Kind, field: Output) -> dict[str, Any] | None:
    """A field as Cedar data; None, so that it is missing there, where the value is not of its kind or beyond a Long."""
    confidence = _permyriad(field.confidence)
    match kind, field.value:
        case "amount", Decimal() as amount if amount.is_finite() and abs(amount) * 100 <= LONG and amount * 100 % 1 == 0:
            return {"cents": int(amount * 100), "confidence": confidence}
        case "date", date() as day:
            return {"day": (day - EPOCH).days, "confidence": confidence}
        case (("number" | "name"), str() as text):
            return {"text": text, "confidence": confidence}
        case "flag", ("yes" | "no") as answer:
            return {"yes": answer == "yes", "confidence": confidence}
    return None


def _permyriad(confidence: float) -> int:
    return math.floor(confidence * 10_000) if 0 <= confidence <= 1 else 0


def _asks(node: Any, attribute: str) -> bool:
    """Whether a policy's conditions read `resource.<attribute>` anywhere."""
    if isinstance(node, dict):
        access = node.get(".")
        if isinstance(access, dict) and access.get("attr") == attribute and access.get("left") == {"Var": "resource"}:
            return True
        return any(_asks(child, attribute) for child in node.values())
    return isinstance(node, list) and any(_asks(child, attribute) for child in node)


def _place(text: str, message: str) -> str:
    """The line of the token that Cedar's message quotes, when it occurs once."""
    token = re.search(r"`([^`]+)`", message)
    return f" (line {text[: text.index(token[1])].count(chr(10)) + 1})" if token and text.count(token[1]) == 1 else ""


def _short(message: str) -> str:
    last = message.strip().splitlines()[-1]
    return last if len(last) <= 300 else "..." + last[-300:]

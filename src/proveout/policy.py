"""Whether an action may happen, by the mission's Cedar policies. Silence means no, and so does every error.

Entry point: `Policy.load(...).judge`. The schema comes from the mission: a policy that misspells a field does not load.
The name of a fact tells its origin. `resource.seen` is what a model read in a document, which anybody may have written;
`resource.known` is what the release computed about it (which fields are automated, which checks passed);
`context.cents` is what the action would spend, according to its connector. What was seen is data, never authority: a permit
that uses nothing from `resource.known` does not load, unless it is only for people.
A person's role is `principal.role`. A denial names the lowest role that would be allowed: `Verdict.escalate_to`.
Not covered: budgets, thresholds and the stop switch; see `control`.
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
ANYBODY = ""  # not an account's name, so that no policy for a named person applies
SEEN_AS: dict[Kind, str] = {
    "amount": "Amount",
    "date": "Day",
    "number": "Text",
    "name": "Text",
    "flag": "Flag",
    "ranking": "Text",
}


@dataclass(frozen=True, slots=True)
class Proposal:
    """One proposed action, with the decision that it follows from."""

    decision: Decision
    action: Action
    cents: int = 0  # what it would spend
    person: Person | None = None  # who proposes it; None: the release


class Policy:
    """The policies of one mission, parsed once."""

    def __init__(self, text: str, mission: Mission, source: str = "policy.cedar") -> None:
        """Raises BadInput for text that is not Cedar, unknown names, and a permit that rests only on what was seen."""
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
            raise BadInput(f"{faults}\nThe mission's schema:\n{self.schema}")
        self._notes = {key: policy.get("annotations") or {} for key, policy in static.items()}
        for key, policy in static.items():
            principal = policy["principal"]  # `is Person`, or `== Person::"ada"`
            by_person = "Person" in (principal.get("entity_type"), principal.get("entity", {}).get("type"))
            if policy["effect"] == "permit" and not by_person and not _reads(policy["conditions"], "known"):
                raise BadInput(
                    f"{source}: the permit {self._name(key)} uses nothing from `resource.known`; a document's content gives no "
                    "authority. Require, for example, `resource.known.automated.containsAll(resource.known.required)`"
                )

    @classmethod
    def load(cls, path: Path | str, mission: Mission) -> "Policy":
        """Read a policy file. Raises BadInput for one that is missing or not valid."""
        path = Path(path)
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            expected = "expected the mission's policies in policy.cedar beside mission.yaml"
            raise BadInput(f"{path}: cannot be read ({error}); {expected}; without them nothing is allowed") from error
        return cls(text, mission, str(path))

    def judge(self, proposals: Sequence[Proposal]) -> list[Verdict]:
        """One verdict for each proposal, in the same order."""
        verdicts = self._verdicts(proposals)
        denied = [index for index, verdict in enumerate(verdicts) if not verdict.allowed]
        for role in (Role.REVIEWER, Role.OPERATOR):  # ascending, so that the lowest role that may is named
            above = [index for index in denied if _is_below(role, proposals[index].person)]
            raised = [replace(proposals[index], person=Person(ANYBODY, role)) for index in above]
            for index, verdict in zip(above, self._verdicts(raised), strict=True):
                if verdict.allowed:
                    verdicts[index] = replace(verdicts[index], escalate_to=role.value)
                    denied.remove(index)
        return verdicts

    def _verdicts(self, proposals: Sequence[Proposal]) -> list[Verdict]:
        import cedarpy

        if not proposals:
            return []
        decisions = {id(proposal.decision): proposal.decision for proposal in proposals}
        numbers = {key: number for number, key in enumerate(decisions)}
        requests = [self._request(numbers[id(proposal.decision)], proposal) for proposal in proposals]
        people = {proposal.person for proposal in proposals if proposal.person}
        facts = [self._entity(numbers[key], decision) for key, decision in decisions.items()] + [*map(_person, people)]
        try:
            entities = cedarpy.Entities.from_json_str(json.dumps(facts), self._schema)
            answers = cedarpy.is_authorized_batch(requests, self._policies, entities, self._schema)
        except ValueError as error:
            if len(proposals) == 1:
                return [_failed(proposals[0], str(error))]
            one_by_one = (self._verdicts([proposal]) for proposal in proposals)  # one bad fact denies only its own
            return [verdict for (verdict,) in one_by_one]
        return [self._verdict(proposal, answer) for proposal, answer in zip(proposals, answers, strict=True)]

    def _verdict(self, proposal: Proposal, answer: Any) -> Verdict:
        name, diagnostics = proposal.action.name, answer.diagnostics
        if diagnostics.errors:  # Cedar skips a policy that fails, even a forbid: an error is therefore a no
            return _failed(proposal, diagnostics.errors[0])
        reasons = " and ".join(self._reason(key) for key in sorted(diagnostics.reasons))
        if answer.allowed:
            return Verdict(True, f"{name} is permitted by {reasons}")
        if reasons:
            return Verdict(False, f"{name} is forbidden by {reasons}")
        what = proposal.decision.document_class or "document that could not be read"
        whom = f" to a person with the role {proposal.person.role}" if proposal.person else ""
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
        computed = {
            "id": decision.case,
            "route": decision.route.value,
            "required": [name for name, spec in self.mission.fields.items() if spec.required],
            "automated": sorted(decision.automated),
            "passed": [check.name for check in decision.checks if check.passed is True],
            "failed": [check.name for check in decision.checks if check.passed is False],
        }
        return {"uid": {"type": "Case", "id": str(number)}, "attrs": {"seen": seen, "known": computed}, "parents": []}


def schema(mission: Mission) -> str:
    """The Cedar schema for this mission's policies. Money is in cents, confidence in 1/10,000, a date in days since 1970."""
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
    """Whether a release (None) or a person has fewer rights than `role`."""
    return person is None or not person.role.includes(role)


def _failed(proposal: Proposal, error: str) -> Verdict:
    """A no, because the policy cannot be evaluated; with the end of Cedar's last line."""
    line = error.strip().splitlines()[-1]
    reason = line if len(line) <= 300 else "..." + line[-300:]
    return Verdict(False, f"the policy cannot be evaluated for {proposal.action.name}: {reason}")


def _person(person: Person) -> dict[str, Any]:
    uid = {"type": "Person", "id": person.name}
    return {"uid": uid, "attrs": {"role": person.role.value}, "parents": []}


def _seen(kind: Kind, field: Output) -> dict[str, Any] | None:
    """A field as Cedar data; None, so that Cedar sees no field, for a value of another kind or too large for a Long."""
    confidence = _permyriad(field.confidence)
    match kind, field.value:
        case "amount", Decimal() as amount if amount.is_finite() and abs(amount) * 100 <= LONG and amount * 100 % 1 == 0:
            return {"cents": int(amount * 100), "confidence": confidence}
        case "date", date() as day:
            return {"day": (day - EPOCH).days, "confidence": confidence}
        case (("number" | "name" | "ranking"), str() as text):
            return {"text": text, "confidence": confidence}
        case "flag", ("yes" | "no") as answer:
            return {"yes": answer == "yes", "confidence": confidence}
    return None


def _permyriad(confidence: float) -> int:
    return math.floor(confidence * 10_000) if 0 <= confidence <= 1 else 0


def _reads(node: Any, attribute: str) -> bool:
    """Whether a policy's conditions read `resource.<attribute>` anywhere."""
    if isinstance(node, dict):
        access = node.get(".")
        if isinstance(access, dict) and access.get("attr") == attribute and access.get("left") == {"Var": "resource"}:
            return True
        return any(_reads(child, attribute) for child in node.values())
    return isinstance(node, list) and any(_reads(child, attribute) for child in node)


def _place(text: str, message: str) -> str:
    """The line number of the token that Cedar's message quotes, if the token occurs once."""
    token = re.search(r"`([^`]+)`", message)
    return f" (line {text[: text.index(token[1])].count(chr(10)) + 1})" if token and text.count(token[1]) == 1 else ""

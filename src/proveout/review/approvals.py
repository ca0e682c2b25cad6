"""Approvals by people, and the actions that follow. Entry point for page, API and command line: `Approvals`.

An approval is a label and a proposal in one: it states the values and proposes the mission's actions for them. It carries a
digest of exactly what the person saw. If the case has changed since, nothing is written and the person gets an error. Policy
and budget judge the proposal as that person's. Label, verdicts and intentions are one transaction of the journal; the effects
follow. After a kill in between, the next run or page view performs them, once.
Covered: two people at one case, at duplicate cases, or at one budget; an action that needs another role, and so a second
person's approval; undoing effects, also twice or if there is nothing to undo.
Not covered: sign-in (`identity`), and the memory: the next run adds the label to it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property

from proveout.connectors import undo
from proveout.control import ControlPlane
from proveout.errors import BadInput, Busy, Changed
from proveout.journal import (
    APPROVAL,
    ATTEMPTED,
    INTENDED,
    LABEL,
    SECOND_READING,
    SETTLED,
    UNDOING,
    VISIBLE,
    Event,
    Journal,
    answered,
    label_events,
    proposal_events,
    rulings_of,
)
from proveout.journal.codec import action_from_json, canonical, decision_to_json
from proveout.journal.intentions import UNDO
from proveout.journal.prose import event_line, reasoned_line
from proveout.mission import Mission
from proveout.plugins import PERSON
from proveout.records import Action, Answer, Check, Decided, Decision, Output, Person, Ruling, Verdict, turn_key
from proveout.review import answer as answer_of
from proveout.review import escalations, rejection
from proveout.values import NONE, same, value_of

TRIES = 20  # per approval, while other cases are approved at the same time
RUN = "approvals of"  # and the date: all approvals of a day share one budget
NOT_A_DUPLICATE = "not a duplicate"  # name of the check of `checks.DuplicateOn`

# Returns the decision with a person's values and class, with new checks and the actions that follow, and the keys of the turns
# that are duplicates according to the memory as it is now. Raises BadInput if the case can no longer be read.
Recheck = Callable[[Decided, Mapping[str, Output], str], tuple[Decision, Iterable[str]]]


@dataclass(frozen=True, slots=True)
class Effect:
    """An action that was allowed, and its state."""

    action: Action
    state: str = "waiting"  # waiting, done or refused
    because: str = ""  # where to find it, or why it is not done
    taken_back: str = ""  # "" (no undo requested), waiting, done or refused
    taken_back_because: str = ""

    @property
    def stands(self) -> bool:
        """Whether it happened or still may, and no undo was requested."""
        return not self.over and not self.taken_back

    @property
    def over(self) -> bool:
        """Whether it was refused or undone, so that a new approval needs a new key."""
        return self.state not in ("waiting", "done") or self.taken_back == "done"

    def __str__(self) -> str:
        """
        >>> str(Effect(Action("pay_invoice", {}, "k"), "done", "orders/1.json", "done", "orders/1.recalled.json"))
        'pay_invoice taken back: orders/1.recalled.json'
        """
        name = self.action.name
        match self.taken_back:
            case "done":
                return f"{name} taken back: {self.taken_back_because}"
            case "waiting":
                return f"{name} will be taken back{': ' if self.taken_back_because else ''}{self.taken_back_because}"
        refusal = f"; it cannot be taken back: {self.taken_back_because}" if self.taken_back and self.state == "done" else ""
        return f"{name} {self.state}{': ' if self.because else ''}{self.because}{refusal}"


@dataclass(frozen=True)
class CaseView:
    """One turn of a case as a person sees it. The digest covers all of it."""

    decided: Decided
    fields: tuple[str, ...]  # of the mission
    events: tuple[Event, ...]  # of the case, as far as people see them
    position: int  # of the journal when they were read

    @property
    def answer(self) -> Answer | None:
        """The answer that counts now, if there is one."""
        return answered(self.events).get(self.decided.case.key)

    @cached_property
    def values(self) -> dict[str, str]:
        """For every field the last answer by a person, or else the agent's value; "" for none."""
        texts = {name: output.text for name, output in self.decided.decision.fields.items()}
        texts |= self.answer.fields if self.answer else {}
        return {name: texts.get(name, "") for name in self.fields}

    @property
    def document_class(self) -> str:
        """The last answer's class, or else the agent's."""
        return (self.answer and self.answer.document_class) or self.decided.decision.document_class

    @cached_property
    def digest(self) -> str:
        """SHA-256 over canonical JSON of the decision, the events, the class and the values."""
        decision = self.decided.decision
        content = {
            "decision": decision_to_json(decision),
            "position": self.decided.position,
            "events": [[event.position, event.hash] for event in self.events if event.kind in VISIBLE],
            "class": self.document_class,
            "values": self.values,
        }
        return hashlib.sha256(canonical(content).encode()).hexdigest()

    @property
    def effects(self) -> tuple[Effect, ...]:
        """The allowed actions in order, with their states."""
        effects: dict[str, Effect] = {}
        for event in self.events:
            undone = effects.get(event.key.removeprefix(UNDO)) if event.key.startswith(UNDO) else None
            if event.kind == INTENDED and event.turn == self.decided.case.turn:
                if undone:
                    effects[undone.action.key] = replace(undone, taken_back="waiting")
                else:
                    effects[event.key] = Effect(action_from_json(event.payload["action"]))
            elif event.kind == ATTEMPTED and (tried := effects.get(event.payload["key"])):
                because = f"{'no further attempts; ' if event.payload['dead'] else ''}{event.payload['because']}"
                effects[tried.action.key] = replace(tried, because=because)
            elif event.kind == SETTLED:
                state, because = event.payload["state"], event.payload["because"]
                if undone:
                    effects[undone.action.key] = replace(undone, taken_back=state, taken_back_because=because)
                elif event.key in effects:
                    effects[event.key] = replace(effects[event.key], state=state, because=because)
        return tuple(effects.values())

    @property
    def escalated(self) -> tuple[Ruling, ...]:
        """The rulings of the last proposal that wait for a person with another role."""
        return escalations(self._approvals[-1] if self._approvals else None, self.decided)

    def escalated_by(self, action: str) -> frozenset[str]:
        """The names of those whose approval of this action was not enough."""
        return frozenset(
            event.payload["by"]
            for event in self._approvals
            if any(ruling.verdict.escalate_to and ruling.action.name == action for ruling in rulings_of(event.payload))
        )

    def not_read_again_by(self, person: Person) -> str:
        """Why this person cannot give a blind second reading; "" if they can."""
        if not (self._approvals and self.answer):
            return "this case has no first answer yet"
        if any(event.payload["by"] == person.name for event in self._approvals):
            return "you answered this case; a second reading is another person's"
        if any(event.kind == SECOND_READING for event in self.events):
            return "this case was read again already"
        return ""

    @property
    def last(self) -> str:
        """The last approval, rejection or undo, or else the last label, or else the last other event; with its time."""
        events = [event for event in self.events if event.kind in (APPROVAL, UNDOING)]
        events = events or [event for event in self.events if event.kind == LABEL]
        events = events or [event for event in self.events if event.kind in VISIBLE]
        event = events[-1]
        what = f"{event.payload['name']} {event.payload['state']}" if event.kind == SETTLED else event_line(event)
        return f"{what}, at {event.at[11:16]} UTC"

    @property
    def _approvals(self) -> list[Event]:
        turn = self.decided.case.turn
        return [event for event in self.events if event.kind == APPROVAL and event.turn == turn]


@dataclass(frozen=True)
class Receipt:
    """The result of an approval, rejection or undo: the rulings on it, and the current effects of the case."""

    what: str  # approved, corrected, rejected or undone
    rulings: tuple[Ruling, ...]
    effects: tuple[Effect, ...]
    digest: str  # of the case as it is now

    @property
    def lines(self) -> list[str]:
        """For people: each effect, then each action that is not allowed, with the reason."""
        refused = [reasoned_line(ruling) for ruling in self.rulings if not ruling.verdict.allowed]
        return [*map(str, self.effects), *refused]


class Approvals:
    """Approvals, rejections and undos of decided cases. Safe for several threads and processes."""

    def __init__(self, journal: Journal, mission: Mission, recheck: Recheck, control: Callable[[str], ControlPlane]) -> None:
        """`control`: run name to its control plane."""
        self.journal, self.mission, self._recheck, self._control = journal, mission, recheck, control

    def show(self, case: str, turn: int | None = None) -> CaseView:
        """A decided case by the start of its id; its last turn unless `turn` is given. Raises BadInput unless one matches."""
        position = self.journal.position  # first: events that arrive while the rest is read count as unseen
        turns = [each for each in self.journal.decisions(case=case) if turn in (None, each.case.turn)] if case else []
        ids = {each.case.id for each in turns}
        if len(ids) != 1:
            what = f"{len(ids)} decided cases have ids that start" if ids else "no decided case has an id that starts"
            raise BadInput(f"{what} with {case[:64]!r}; give one id, or enough of it: `proveout show FILE` prints a document's")
        events = (
            event for event in self.journal.events(turns[-1].case.id) if event.kind in (*VISIBLE, ATTEMPTED, SECOND_READING)
        )
        seen = tuple(event for event in events if event.position <= position)
        return CaseView(turns[-1].in_order(self.mission.fields), tuple(self.mission.fields), seen, position)

    def expected(
        self, view: CaseView, person: Person, values: Mapping[str, str] | None = None, document_class: str = ""
    ) -> tuple[tuple[Ruling, ...], tuple[Check, ...]]:
        """The rulings and the checks if this person approved the case with these values. Writes nothing.

        Raises BadInput for invalid values.
        """
        return self._judge(view, person, self._answer(view, person, values or {}, document_class), self._plane())

    def approve(
        self,
        case: str,
        person: Person,
        digest: str,
        values: Mapping[str, str] | None = None,
        document_class: str = "",
        turn: int | None = None,
    ) -> Receipt:
        """Confirm or correct the values, then perform the mission's actions as far as policy allows.

        `digest`: of the `CaseView` that the person saw. Raises Changed if the case has another one by now, BadInput for invalid
        values, and Busy.
        """

        def propose(view: CaseView, plane: ControlPlane) -> Proposed:
            answer = self._answer(view, person, values or {}, document_class)
            rulings, _ = self._judge(view, person, answer, plane)
            return self._approval(view, person, answer, "corrected" if _changes(view, answer) else "approved", rulings, plane)

        return self._write(case, turn, digest, propose)

    def reject(self, case: str, person: Person, digest: str, turn: int | None = None) -> Receipt:
        """State that a case does not belong to this mission. No action follows. Raises Changed and Busy."""

        def propose(view: CaseView, plane: ControlPlane) -> Proposed:
            answer = rejection(view.decided, self.mission, person.name)
            return self._approval(view, person, answer, "rejected", (), plane)

        return self._write(case, turn, digest, propose)

    def undo(self, case: str, person: Person, digest: str | None = None, action: str = "", turn: int | None = None) -> Receipt:
        """Undo the effects of a case, all of them or one action's. What was undone before stays undone.

        `digest`: None if the person has not seen the case. Raises BadInput if nothing can be undone, Changed and Busy.
        """

        def propose(view: CaseView, plane: ControlPlane) -> Proposed:
            wanted = [effect for effect in view.effects if action in ("", effect.action.name)]
            stands = [effect for effect in wanted if effect.stands]
            undos = [undo(effect.action) for effect in stands if effect.action.compensation]
            if stands and not undos:
                undo(stands[0].action)  # raises BadInput with the reason
            if not undos and not any(effect.taken_back in ("waiting", "done") for effect in wanted):
                what = f"nothing to undo{f' of {action}' if action else ''} in case {view.decided.case.id[:12]}"
                raise BadInput(f"{what}: {'; '.join(map(str, wanted or view.effects)) or 'nothing was done'}")
            rulings = plane.judge_person(replace(view.decided.decision, actions=tuple(undos)), person)
            about = {"digest": view.digest}
            events = proposal_events(UNDOING, view.decided.case, person, rulings, plane.run, about) if undos else []
            return Proposed("undone", rulings, events)

        return self._write(case, turn, digest, propose)

    def read_again(self, case: str, person: Person, values: Mapping[str, str], document_class: str) -> Mapping[str, bool]:
        """Record what a second person reads who did not see the first answer: whether each field, and the class, agree.

        Nothing else follows. Raises BadInput for invalid values, and for a case that cannot be read again by this person.
        """
        view = self.show(case)
        if (refusal := view.not_read_again_by(person)) or view.answer is None:
            raise BadInput(refusal)
        reading, first = answer_of(view.decided, self.mission, values, person.name, document_class), view.answer.fields
        kinds, declared = self.mission.kinds, NONE.declaring(self.mission.dates)
        agrees = {
            name: same(kinds[name], first[name], text, declared) if first[name] and text else first[name] == text
            for name, text in reading.fields.items()
            if name in first
        }
        agrees["class"] = reading.document_class == view.document_class
        payload = {"by": person.name, "role": person.role.value, "values": dict(reading.fields), "agrees": agrees}
        payload |= {"class": reading.document_class, "first": view.answer.by}
        key = f"second {view.decided.case.key}"
        if not self.journal.append([Event(view.decided.case.id, SECOND_READING, payload, key, view.decided.case.turn)]):
            raise BadInput("another person has read this case again meanwhile; nothing was saved")
        return agrees

    def finish(self) -> None:
        """Carry out approved actions that a killed process left pending."""
        plane = self._plane()
        keys = {intention.action.key for intention in self.journal.pending() if intention.run.startswith(RUN)}
        if keys:
            plane.carry_out(keys=keys)

    def _plane(self) -> ControlPlane:
        return self._control(f"{RUN} {datetime.now(UTC):%Y-%m-%d}")

    def _write(self, case: str, turn: int | None, digest: str | None, propose: "Propose") -> Receipt:
        """Write the whole proposal in one transaction if the case has not changed; then perform its effects."""
        for _ in range(TRIES):
            view, plane = self.show(case, turn), self._plane()
            if digest not in (None, view.digest):
                raise Changed(f"this case changed after you opened it: {view.last}. Nothing was saved; review it again")
            proposed = propose(view, plane)
            try:
                self.journal.append_after(view.position, view.decided.case.id, proposed.events)
            except Changed:
                continue
            return self._carried_out(view, plane, proposed)
        raise Busy("other approvals came in between each time; nothing was saved, try again")

    def _carried_out(self, view: CaseView, plane: ControlPlane, proposed: "Proposed") -> Receipt:
        """Perform the effects of the case that wait."""
        case = view.decided.case
        keys = {intention.action.key for intention in self.journal.unsettled() if intention.case == case.id}
        results = plane.carry_out(keys=keys) if keys else []
        reasons = {intention.action.key: outcome.because for intention, outcome in results}
        now = self.show(case.id, case.turn)
        effects = tuple(
            replace(
                effect,
                because=effect.because or reasons.get(effect.action.key, ""),
                taken_back_because=effect.taken_back_because or reasons.get(UNDO + effect.action.key, ""),
            )
            for effect in now.effects
        )
        return Receipt(proposed.what, proposed.rulings, effects, now.digest)

    def _answer(self, view: CaseView, person: Person, values: Mapping[str, str], document_class: str) -> Answer:
        values = {**view.values, **values}
        return answer_of(view.decided, self.mission, values, person.name, document_class or view.document_class)

    def _judge(
        self, view: CaseView, person: Person, answer: Answer, plane: ControlPlane
    ) -> tuple[tuple[Ruling, ...], tuple[Check, ...]]:
        """The ruling on every action that follows from the answer and has not happened yet, and the checks of the answer."""
        outputs = {name: self._output(view, name, text) for name, text in answer.fields.items() if text}
        decision, duplicates = self._recheck(view.decided, outputs, answer.document_class)
        if acted_on := self._acted_on(answer, duplicates):
            checks = [check for check in decision.checks if check.name != NOT_A_DUPLICATE]
            decision = replace(decision, checks=(*checks, Check(NOT_A_DUPLICATE, False, acted_on)))
        actions = tuple(action for proposed in decision.actions if (action := _not_done(proposed, view.effects)))
        rulings = plane.judge_person(replace(decision, actions=actions), person)
        return tuple(_by_a_second(ruling, view, person) for ruling in rulings), decision.checks

    def _output(self, view: CaseView, name: str, text: str) -> Output:
        """A value confirmed by a person; if the agent read the same, with its place."""
        output = view.decided.decision.fields.get(name)
        if output and " ".join(output.text.split()) == text:
            return replace(output, confidence=1.0, tier=PERSON)
        value = value_of(self.mission.kinds[name], text, NONE.declaring(self.mission.dates))
        return Output(text, value, 1.0, tier=PERSON)

    def _acted_on(self, answer: Answer, duplicates: Iterable[str]) -> str:
        """Why this is a duplicate of a case that was acted on, by the current values of both; "" if it is none."""
        on = self.mission.checks.get("duplicate_on", ())
        kinds, values = self.mission.kinds, {name: answer.fields.get(name, "") for name in on}
        declared = NONE.declaring(self.mission.dates)
        others = dict.fromkeys(duplicates)
        for event in self.journal.of_kind(APPROVAL) if values and all(values.values()) else ():
            approved = event.payload["values"]
            if all(same(kinds[name], text, approved.get(name, ""), declared) for name, text in values.items()):
                others[turn_key(event.case, event.turn)] = None
        for key in others:
            case, _, turn = key.partition("#")
            if key != answer.key and any(not effect.over for effect in self.show(case, int(turn or 0)).effects):
                shared = ", ".join(f"{name} {text}" for name, text in values.items())
                return f"case {case[:12]} was acted on and has the same {shared}"
        return ""

    def _approval(
        self, view: CaseView, person: Person, answer: Answer, what: str, rulings: tuple[Ruling, ...], plane: ControlPlane
    ) -> "Proposed":
        about = {"what": what, "digest": view.digest, "values": dict(answer.fields), "class": answer.document_class}
        about |= {"changed": _changes(view, answer)}
        proposal = proposal_events(APPROVAL, view.decided.case, person, rulings, plane.run, about)
        return Proposed(what, rulings, [*label_events(answer, view.answer), *proposal])


@dataclass(frozen=True, slots=True)
class Proposed:
    """A person's proposal: its name, the rulings, and the events to write."""

    what: str
    rulings: tuple[Ruling, ...]
    events: Sequence[Event]


Propose = Callable[[CaseView, ControlPlane], Proposed]


def _changes(view: CaseView, answer: Answer) -> dict[str, str]:
    """The fields and class in the answer that differ from the view."""
    changed = {name: text for name, text in answer.fields.items() if text != " ".join(view.values[name].split())}
    return changed | ({"class": answer.document_class} if answer.document_class != view.document_class else {})


def _not_done(action: Action, effects: Iterable[Effect]) -> Action | None:
    """The action, unless it happened or is about to. If its last effect was refused or undone, it gets a new key."""
    before = [effect for effect in effects if effect.action.name == action.name]
    if any(not effect.over for effect in before):
        return None
    return replace(action, key=f"{action.key}:{len(before) + 1}") if before else action


def _by_a_second(ruling: Ruling, view: CaseView, person: Person) -> Ruling:
    """Deny an action that this person escalated before, even if the person has the needed role by now."""
    if not ruling.verdict.allowed or person.name not in view.escalated_by(ruling.action.name):
        return ruling
    because = f"{person.name} approved {ruling.action.name} before; a second person has to approve it"
    return replace(ruling, verdict=Verdict(False, because, person.role.value))

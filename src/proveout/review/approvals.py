"""What a person approves, happens. One door for page, API and command line: `Approvals`.

An approval is a label and a proposal in one: what the values are, and that the mission's actions follow from them. It rests on
a digest of exactly what was shown; where somebody answered or something happened meanwhile, nothing is written and the second
person is told. Policy and budget judge the proposal as that person's. Label, verdicts and intentions are one transaction of the
journal, and the effects follow it: a kill in between is made good by the next run or the next page, once.
Covered: two people at one case, at two cases of one business, or at one budget; an action that needs another role, which a
second person has to approve; taking effects back, and again, and when there is nothing to take back.
Not covered: who may come in (`identity`), and what an approval does to the memory; the next run takes the label in.
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
    SETTLED,
    TOLD,
    UNDOING,
    Event,
    Journal,
    answered,
    label_events,
    proposal_events,
    rulings_of,
)
from proveout.journal.codec import action_from_json, canonical, decision_to_json
from proveout.journal.intentions import UNDO
from proveout.journal.prose import ruled, told
from proveout.mission import Mission
from proveout.plugins import PERSON
from proveout.records import Action, Answer, Check, Decided, Decision, Output, Person, Ruling, Verdict, turn_key
from proveout.review import answer as answer_of
from proveout.review import escalations, rejection
from proveout.values import same, value_of

TRIES = 20  # of one approval, while others approve other cases at the same time
RUN = "approvals of"  # a day: what people approve on one day has one budget
NOT_A_DUPLICATE = "not a duplicate"  # the check of `checks.DuplicateOn`

# A decision with a person's values and class, checked anew and with the actions that follow; and the turns of other cases that
# are the same business by what the memory holds now. Raises BadInput where the case cannot be read any more.
Checked = Callable[[Decided, Mapping[str, Output], str], tuple[Decision, Iterable[str]]]


@dataclass(frozen=True, slots=True)
class Effect:
    """An action that was allowed, and what came of it."""

    action: Action
    state: str = "waiting"  # waiting, done or refused
    because: str = ""  # where it is to be found, or why it is not done
    taken_back: str = ""  # "" nobody asked for it; waiting, done or refused
    taken_back_because: str = ""

    @property
    def stands(self) -> bool:
        """Whether it happened, or may happen yet, and nobody took it back."""
        return not self.over and not self.taken_back

    @property
    def over(self) -> bool:
        """Whether its key is spent and nothing stands, so that a new approval needs a new key."""
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
                return f"{name} is to be taken back{': ' if self.taken_back_because else ''}{self.taken_back_because}"
        stays = f"; it cannot be taken back: {self.taken_back_because}" if self.taken_back and self.state == "done" else ""
        return f"{name} {self.state}{': ' if self.because else ''}{self.because}{stays}"


@dataclass(frozen=True)
class Shown:
    """One turn of a case as a person sees it. The digest stands for all of it."""

    decided: Decided
    fields: tuple[str, ...]  # of the mission
    events: tuple[Event, ...]  # all that a person is told of the case
    position: int  # of the journal when they were read

    @property
    def answer(self) -> Answer | None:
        return answered(self.events).get(self.decided.case.key)

    @cached_property
    def values(self) -> dict[str, str]:
        """Of every field what a person said last, or else what the agent read; "" for none."""
        read = self.decided.decision.fields
        said = self.answer.fields if self.answer else {}
        return {name: said.get(name, read[name].text if name in read else "") for name in self.fields}

    @property
    def document_class(self) -> str:
        return (self.answer and self.answer.document_class) or self.decided.decision.document_class

    @cached_property
    def digest(self) -> str:
        """SHA-256 over canonical JSON."""
        decision = self.decided.decision
        seen = {
            "decision": decision_to_json(decision),
            "position": self.decided.position,
            "events": [[event.position, event.hash] for event in self.events if event.kind != ATTEMPTED],
            "class": self.document_class,
            "values": self.values,
        }
        return hashlib.sha256(canonical(seen).encode()).hexdigest()

    @property
    def effects(self) -> tuple[Effect, ...]:
        """What was allowed, in order."""
        found: dict[str, Effect] = {}
        for event in self.events:
            undone = found.get(event.key.removeprefix(UNDO)) if event.key.startswith(UNDO) else None
            if event.kind == INTENDED and event.turn == self.decided.case.turn:
                if undone:
                    found[undone.action.key] = replace(undone, taken_back="waiting")
                else:
                    found[event.key] = Effect(action_from_json(event.payload["action"]))
            elif event.kind == ATTEMPTED and event.payload["key"] in found:
                why = f"{'given up, ' if event.payload['dead'] else ''}{event.payload['because']}"
                found[event.payload["key"]] = replace(found[event.payload["key"]], because=why)
            elif event.kind == SETTLED:
                state, because = event.payload["state"], event.payload["because"]
                if undone:
                    found[undone.action.key] = replace(undone, taken_back=state, taken_back_because=because)
                elif event.key in found:
                    found[event.key] = replace(found[event.key], state=state, because=because)
        return tuple(found.values())

    @property
    def escalated(self) -> tuple[Ruling, ...]:
        """What waits for a person of another role since the last proposal."""
        return escalations(self._approvals[-1] if self._approvals else None, self.decided)

    def escalated_by(self, action: str) -> frozenset[str]:
        """Whose approval of this action was not enough."""
        return frozenset(
            event.payload["by"]
            for event in self._approvals
            if any(one.verdict.escalate_to and one.action.name == action for one in rulings_of(event.payload))
        )

    @property
    def last(self) -> str:
        """Who answered last, when and what; where nobody did, what else happened last."""
        said = [event for event in self.events if event.kind in (APPROVAL, UNDOING)]
        said = said or [event for event in self.events if event.kind == LABEL]
        said = said or [event for event in self.events if event.kind != ATTEMPTED]
        event = said[-1]
        what = f"{event.payload['name']} {event.payload['state']}" if event.kind == SETTLED else told(event)
        return f"{what}, at {event.at[11:16]} UTC"

    @property
    def _approvals(self) -> list[Event]:
        turn = self.decided.case.turn
        return [event for event in self.events if event.kind == APPROVAL and event.turn == turn]


@dataclass(frozen=True)
class Receipt:
    """What a person's word led to: a verdict on all that was proposed, and the effects of the case as they stand now."""

    what: str  # approved, corrected, rejected or undone
    rulings: tuple[Ruling, ...]
    effects: tuple[Effect, ...]
    digest: str  # of the case as it looks now

    @property
    def lines(self) -> list[str]:
        refused = [f"{ruled(one)}: {one.verdict.because}" for one in self.rulings if not one.verdict.allowed]
        return [*map(str, self.effects), *refused]


class Approvals:
    """What people say of decided cases, and what follows. Safe in threads and in several processes."""

    def __init__(self, journal: Journal, mission: Mission, checked: Checked, control: Callable[[str], ControlPlane]) -> None:
        """`control`: the control plane of the run of this name."""
        self.journal, self.mission, self._checked, self._control = journal, mission, checked, control

    def show(self, case: str, turn: int | None = None) -> Shown:
        """A decided case, by its id; its last turn unless another is named. Raises BadInput where there is none."""
        position = self.journal.position  # first: what happens while the rest is read counts as unseen
        turns = [one for one in self.journal.decisions(case=case) if turn in (None, one.case.turn)] if case else []
        ids = {one.case.id for one in turns}
        if len(ids) != 1:
            raise BadInput(f"{len(ids) or 'no'} decided cases have an id that begins with {case[:64]!r}; write more of it")
        events = (event for event in self.journal.events(turns[-1].case.id) if event.kind in (*TOLD, ATTEMPTED))
        seen = tuple(event for event in events if event.position <= position)
        return Shown(turns[-1].in_order(self.mission.fields), tuple(self.mission.fields), seen, position)

    def expected(self, shown: Shown, person: Person) -> tuple[Ruling, ...]:
        """What would follow if this person approved the case as it is shown. Nothing is written down."""
        return self._judge(shown, person, self._answer(shown, person, {}, ""), self._plane())

    def approve(
        self,
        case: str,
        person: Person,
        digest: str,
        values: Mapping[str, str] | None = None,
        document_class: str = "",
        turn: int | None = None,
    ) -> Receipt:
        """Say what the values are, as shown or corrected, and let the mission's actions follow as far as policy allows.

        Raises Changed where the case looks otherwise by now, BadInput for values that cannot be, and Busy.
        """

        def propose(shown: Shown, plane: ControlPlane) -> Proposed:
            said = self._answer(shown, person, values or {}, document_class)
            rulings = self._judge(shown, person, said, plane)
            return self._approval(shown, person, said, "corrected" if _changes(shown, said) else "approved", rulings, plane)

        return self._write(case, turn, digest, propose)

    def reject(self, case: str, person: Person, digest: str, turn: int | None = None) -> Receipt:
        """Say that a case is none of this mission's. Nothing follows. Raises Changed and Busy."""

        def propose(shown: Shown, plane: ControlPlane) -> Proposed:
            said = rejection(shown.decided, self.mission, person.name)
            return self._approval(shown, person, said, "rejected", (), plane)

        return self._write(case, turn, digest, propose)

    def undo(self, case: str, person: Person, digest: str | None = None, action: str = "", turn: int | None = None) -> Receipt:
        """Take back what was done for a case, all of it or one action. What was taken back already stays so.

        `digest`: None where nobody looked at the case before.
        Raises BadInput where nothing can be taken back, Changed and Busy.
        """

        def propose(shown: Shown, plane: ControlPlane) -> Proposed:
            wanted = [effect for effect in shown.effects if action in ("", effect.action.name)]
            stands = [effect for effect in wanted if effect.stands]
            can = [undo(effect.action) for effect in stands if effect.action.compensation]
            if stands and not can:
                undo(stands[0].action)  # says why not
            if not can and not any(effect.taken_back in ("waiting", "done") for effect in wanted):
                there = "; ".join(map(str, wanted or shown.effects)) or "nothing was done"
                raise BadInput(
                    f"nothing to undo{f' of {action}' if action else ''} in case {shown.decided.case.id[:12]}: {there}"
                )
            rulings = plane.judge_person(replace(shown.decided.decision, actions=tuple(can)), person)
            about = {"digest": shown.digest}
            events = proposal_events(UNDOING, shown.decided.case, person, rulings, plane.run, about) if can else []
            return Proposed("undone", rulings, events)

        return self._write(case, turn, digest, propose)

    def finish(self) -> None:
        """Carry out what people approved before a process was killed."""
        plane = self._plane()
        keys = {intention.action.key for intention in self.journal.pending() if intention.run.startswith(RUN)}
        if keys:
            plane.carry_out(keys=keys)

    def _plane(self) -> ControlPlane:
        return self._control(f"{RUN} {datetime.now(UTC):%Y-%m-%d}")

    def _write(self, case: str, turn: int | None, digest: str | None, propose: "Propose") -> Receipt:
        """One transaction with all that is proposed, if the case still looks as it did; then its effects."""
        for _ in range(TRIES):
            shown, plane = self.show(case, turn), self._plane()
            if digest not in (None, shown.digest):
                raise Changed(f"this case is no longer as you saw it: {shown.last}. Nothing was saved; look at it again")
            proposed = propose(shown, plane)
            try:
                self.journal.append_after(shown.position, shown.decided.case.id, proposed.events)
            except Changed:
                continue
            return self._carried_out(shown, plane, proposed)
        raise Busy("others approve cases faster than this one could be judged; nothing was saved, try again")

    def _carried_out(self, shown: Shown, plane: ControlPlane, proposed: "Proposed") -> Receipt:
        """Try the effects of the case that wait."""
        case = shown.decided.case
        waits = {one.action.key for one in self.journal.unsettled() if one.case == case.id}
        results = plane.carry_out(keys=waits) if waits else []
        why = {intention.action.key: outcome.because for intention, outcome in results}
        now = self.show(case.id, case.turn)
        effects = tuple(
            replace(
                one,
                because=one.because or why.get(one.action.key, ""),
                taken_back_because=one.taken_back_because or why.get(UNDO + one.action.key, ""),
            )
            for one in now.effects
        )
        return Receipt(proposed.what, proposed.rulings, effects, now.digest)

    def _answer(self, shown: Shown, person: Person, values: Mapping[str, str], document_class: str) -> Answer:
        said = {**shown.values, **values}
        return answer_of(shown.decided, self.mission, said, person.name, document_class or shown.document_class)

    def _judge(self, shown: Shown, person: Person, said: Answer, plane: ControlPlane) -> tuple[Ruling, ...]:
        """What the control plane says to every action that follows and did not happen yet."""
        outputs = {name: self._output(shown, name, text) for name, text in said.fields.items() if text}
        decision, alike = self._checked(shown.decided, outputs, said.document_class)
        if acted_on := self._acted_on(said, alike):
            checks = [one for one in decision.checks if one.name != NOT_A_DUPLICATE]
            decision = replace(decision, checks=(*checks, Check(NOT_A_DUPLICATE, False, acted_on)))
        open_ones = tuple(one for action in decision.actions if (one := _not_done(action, shown.effects)))
        rulings = plane.judge_person(replace(decision, actions=open_ones), person)
        return tuple(_by_a_second(one, shown, person) for one in rulings)

    def _output(self, shown: Shown, name: str, text: str) -> Output:
        """A value as a person stands for it; where the agent read the same, with its place."""
        read = shown.decided.decision.fields.get(name)
        if read and " ".join(read.text.split()) == text:
            return replace(read, confidence=1.0, tier=PERSON)
        return Output(text, value_of(self.mission.kinds[name], text), 1.0, tier=PERSON)

    def _acted_on(self, said: Answer, alike: Iterable[str]) -> str:
        """Another case that is the same business by what people or the agent said since, and was acted on; "" when none was."""
        on = self.mission.checks.get("duplicate_on", ())
        kinds, mine = self.mission.kinds, {name: said.fields.get(name, "") for name in on}
        others = dict.fromkeys(alike)
        for event in self.journal.of_kind(APPROVAL) if mine and all(mine.values()) else ():
            theirs = event.payload["values"]
            if all(same(kinds[name], text, theirs.get(name, "")) for name, text in mine.items()):
                others[turn_key(event.case, event.turn)] = None
        for key in others:
            case, _, turn = key.partition("#")
            if key != said.key and any(not effect.over for effect in self.show(case, int(turn or 0)).effects):
                agreed = ", ".join(f"{name} {text}" for name, text in mine.items())
                return f"case {case[:12]} was acted on and has the same {agreed}"
        return ""

    def _approval(
        self, shown: Shown, person: Person, said: Answer, what: str, rulings: tuple[Ruling, ...], plane: ControlPlane
    ) -> "Proposed":
        about = {"what": what, "digest": shown.digest, "values": dict(said.fields), "class": said.document_class}
        about |= {"changed": _changes(shown, said)}
        proposal = proposal_events(APPROVAL, shown.decided.case, person, rulings, plane.run, about)
        return Proposed(what, rulings, [*label_events(said, shown.answer), *proposal])


@dataclass(frozen=True, slots=True)
class Proposed:
    what: str
    rulings: tuple[Ruling, ...]
    events: Sequence[Event]


Propose = Callable[[Shown, ControlPlane], Proposed]


def _changes(shown: Shown, said: Answer) -> dict[str, str]:
    """What a person says otherwise than it was shown."""
    changed = {name: text for name, text in said.fields.items() if text != " ".join(shown.values[name].split())}
    return changed | ({"class": said.document_class} if said.document_class != shown.document_class else {})


def _not_done(action: Action, effects: Iterable[Effect]) -> Action | None:
    """The action, unless it happened or is about to. After an effect that was refused or taken back it gets a new key."""
    before = [effect for effect in effects if effect.action.name == action.name]
    if any(not effect.over for effect in before):
        return None
    return replace(action, key=f"{action.key}:{len(before) + 1}") if before else action


def _by_a_second(ruling: Ruling, shown: Shown, person: Person) -> Ruling:
    """Whoever approved an action that needs another role is not that other person, whatever the role is by now."""
    if not ruling.verdict.allowed or person.name not in shown.escalated_by(ruling.action.name):
        return ruling
    because = f"{person.name} approved {ruling.action.name} before; somebody else has to"
    return replace(ruling, verdict=Verdict(False, because, person.role.value))

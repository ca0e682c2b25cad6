"""The control plane decides which proposed actions may happen.

Budget, policy and SLO threshold are checked in that order; the first denial is the verdict. An action that no policy permits is
denied. The stop switch is checked before each effect: while it is on, allowed actions are recorded and wait.
A person's proposals pass the same checks except the threshold and the restrictions that people have imposed (`restrictions`),
which are for values that no person has checked.
The budget is reserved before the later checks and released if one of them denies.
Covered: a run that is started again (its spending is in the journal), a threshold that was never certified.
Not covered: several processes that spend one run's budget at the same time; give each a run, or a share.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from proveout.calibration import Calibrations
from proveout.connectors import Connector, Outcome, carry_out
from proveout.control.restrictions import Restriction, active
from proveout.control.stop import StopSwitch
from proveout.errors import BadInput
from proveout.journal import LIFTED, RESTRICTED, Journal
from proveout.journal.intentions import Intention
from proveout.mission import Mission
from proveout.policy import Policy, Proposal
from proveout.records import Decision, Person, Role, Route, Ruling, Verdict

__all__ = ["ControlPlane", "StopSwitch"]


class ControlPlane:
    """Judges what a release proposes in one run, and carries out what is allowed."""

    def __init__(
        self,
        mission: Mission,
        policy: Policy,
        calibrations: Calibrations,
        connectors: Mapping[str, Connector],
        journal: Journal,
        stop: StopSwitch,
        run: str,
    ) -> None:
        self.mission, self.policy, self.calibrations = mission, policy, calibrations
        self.connectors, self.journal, self.stop, self.run = connectors, journal, stop, run
        self.restrictions: Sequence[Restriction] = active(journal.of_kind(RESTRICTED, LIFTED))
        self._effects, self._cents = journal.spent(run)
        self._reserved: set[str] = set()  # keys, so that an action that is judged twice is counted once

    def judge(self, decisions: Sequence[Decision], segments: Sequence[str] = ()) -> list[tuple[Ruling, ...]]:
        """A ruling for every action that each decision proposes. Nothing happens yet: record the rulings, then `carry_out`.

        `segments`: of the decisions' cases, where they are known.
        """
        pairs = zip(decisions, segments or [""] * len(decisions), strict=True)
        proposals = [Proposal(decision, action, segment=segment) for decision, segment in pairs for action in decision.actions]
        rulings = iter(self._rule(proposals))
        return [tuple(next(rulings) for _ in decision.actions) for decision in decisions]

    def count(self, rulings: Sequence[Ruling]) -> None:
        """Let rulings that were made elsewhere take their part of the run's budget."""
        for ruling in rulings:
            if ruling.verdict.allowed and ruling.action.key not in self._reserved:
                self._reserved.add(ruling.action.key)
                self._effects, self._cents = self._effects + 1, self._cents + ruling.cents

    def judge_person(self, decision: Decision, person: Person) -> tuple[Ruling, ...]:
        """A ruling for every action of a decision that a person approves. Nothing happens yet."""
        return tuple(self._rule([Proposal(decision, action, person=person) for action in decision.actions]))

    def carry_out(
        self, progress: Callable[[], None] | None = None, keys: Collection[str] | None = None, seconds: float = math.inf
    ) -> list[tuple[Intention, Outcome]]:
        """Carry out the journal's due effects, or those with the given keys whether due or not.

        No effect is begun after `seconds`. Returns each intention with its outcome.
        """
        return carry_out(self.journal, self.connectors, self.stop.stopped, progress, keys, seconds)

    def _rule(self, proposals: Sequence[Proposal]) -> list[Ruling]:
        priced = [self._price(proposal) for proposal in proposals]
        held = [None if proposal.person else self._restricted(proposal) for proposal in proposals]
        refusals = [reason or ("" if held[at] else self._reserve(proposal)) for at, (proposal, reason) in enumerate(priced)]
        reserved = [index for index, reason in enumerate(refusals) if not reason]
        verdicts = dict(zip(reserved, self.policy.judge([priced[index][0] for index in reserved]), strict=True))
        rulings = []
        for index, (proposal, _) in enumerate(priced):
            verdict = verdicts.get(index, Verdict(False, refusals[index]))
            if verdict.allowed and not proposal.person and (reason := self._uncertain(proposal.decision)):
                verdict = Verdict(False, reason)
            if verdict.allowed and (restriction := held[index]):
                verdict = Verdict(False, str(restriction), Role.REVIEWER.value)
            if index in verdicts and not verdict.allowed:
                self._release(proposal)
            rulings.append(Ruling(proposal.action, verdict, proposal.cents))
        return rulings

    def _price(self, proposal: Proposal) -> tuple[Proposal, str]:
        """The proposal with what it would spend, according to its connector; or why the price is unknown."""
        connector = self.connectors.get(proposal.action.name)
        if connector is None:
            return proposal, f"no connector performs {proposal.action.name!r}"
        try:
            return replace(proposal, cents=connector.cents(proposal.action)), ""
        except BadInput as error:
            return proposal, str(error)

    def _reserve(self, proposal: Proposal) -> str:
        """Reserve an action's budget, unless it is reserved; or return why the budget does not allow it."""
        budget, key, cents = self.mission.budget, proposal.action.key, proposal.cents
        if key in self._reserved:
            return ""
        if self._effects + 1 > budget.effects_per_run:
            return f"the budget of {budget.effects_per_run} effects per run is used up"
        if self._cents + cents > budget.amount_per_run * 100:
            left = budget.amount_per_run - self._cents / 100
            return f"${cents / 100:,.2f} exceeds the ${left:,.2f} left of this run's budget of ${budget.amount_per_run:,}"
        self._reserved.add(key)
        self._effects, self._cents = self._effects + 1, self._cents + cents
        return ""

    def _release(self, proposal: Proposal) -> None:
        if proposal.action.key in self._reserved:
            self._reserved.remove(proposal.action.key)
            self._effects, self._cents = self._effects - 1, self._cents - proposal.cents

    def _restricted(self, proposal: Proposal) -> Restriction | None:
        """The restriction that covers the case, if one does."""
        decision, segment, required = proposal.decision, proposal.segment, self.mission.required
        return next((one for one in self.restrictions if one.covers(decision, segment, required)), None)

    def _uncertain(self, decision: Decision) -> str:
        """Why the SLO threshold is not met, or "". Checked again here, even for a field that the decision calls automated."""
        if decision.route is not Route.ACT:
            return f"the case goes to {decision.route.value}"
        for name, spec in self.mission.fields.items():
            if not spec.required:
                continue
            if not self.calibrations.certified(name):
                return f"{name} is {self.calibrations.because(name)}"
            field = decision.fields.get(name)
            if field is None or name not in decision.automated:
                return f"{name} is not automated"
            floor = self.calibrations.floor(field.tier, name)
            if floor is None:
                return f"{name} comes from the tier {field.tier!r}, which may not decide it alone"
            if not field.calibrated:
                return f"the confidence of {name} is not calibrated"
            if not field.confidence >= floor:
                return f"the confidence of {name} is {field.confidence:.1%}, below the certified threshold of {floor:.1%}"
        return ""

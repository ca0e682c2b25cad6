"""The control plane: the agent proposes, this disposes.

Budget → policy → SLO threshold, in that order; the first no is the verdict. Silence means no. The stop switch comes last: it
is asked before each effect, and what is allowed while it is thrown waits, recorded, until it is lifted.
What a person proposes goes the same way, without the threshold: that is for what nobody looked at.
A budget is reserved before the later questions are asked and given back when one of them says no.
Covered: a run that is started again (what it spent is in the journal), a threshold that was never certified.
Not covered: several processes spending one run's budget at the same time; give each a run, or a share.
"""

import json
import math
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from proveout.calibration import Calibrations
from proveout.connectors import Connector, Outcome, carry_out
from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.journal.intentions import Intention
from proveout.mission import Mission
from proveout.policy import Policy, Proposal
from proveout.records import Decision, Person, Route, Ruling, Verdict


@dataclass(frozen=True)
class StopSwitch:
    """A file: while it exists, no effect happens. Checked before each one; what cannot be read counts as stopped."""

    path: Path

    def stop(self, by: str, because: str) -> None:
        """Throw the switch. Whoever throws it second changes nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        note = json.dumps({"by": by, "because": because, "at": datetime.now(UTC).isoformat(timespec="seconds")})
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
        except FileExistsError:
            return
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())

    def lift(self) -> None:
        self.path.unlink(missing_ok=True)

    def stopped(self) -> str:
        """Why nothing may happen now; "" when it may."""
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
            return f"stopped by {note['by']} at {note['at']}: {note['because']}"
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError):
            return f"stopped: {self.path} exists"


class ControlPlane:
    """Judges what a release proposes in one run, and brings about what is allowed."""

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
        self._effects, self._cents = journal.spent(run)
        self._reserved: set[str] = set()  # keys, so that an action that is judged twice is paid for once

    def judge(self, decisions: Sequence[Decision]) -> list[tuple[Ruling, ...]]:
        """A ruling for every action that each decision proposes. Nothing happens yet: record the rulings, then `carry_out`."""
        rulings = iter(self._rule([Proposal(decision, action) for decision in decisions for action in decision.actions]))
        return [tuple(next(rulings) for _ in decision.actions) for decision in decisions]

    def judge_person(self, decision: Decision, person: Person) -> tuple[Ruling, ...]:
        """A ruling for every action of a decision that a person stands for."""
        return tuple(self._rule([Proposal(decision, action, person=person) for action in decision.actions]))

    def carry_out(
        self, progress: Callable[[], None] | None = None, keys: Collection[str] | None = None, seconds: float = math.inf
    ) -> list[tuple[Intention, Outcome]]:
        """Bring every effect of the journal that is due to its outcome, or those of these keys whether due or not.

        No effect is begun after so many `seconds`.
        """
        return carry_out(self.journal, self.connectors, self.stop.stopped, progress, keys, seconds)

    def _rule(self, proposals: Sequence[Proposal]) -> list[Ruling]:
        priced = [self._priced(proposal) for proposal in proposals]
        refusals = [no or self._reserve(proposal) for proposal, no in priced]
        asked = [place for place, no in enumerate(refusals) if not no]
        answers = dict(zip(asked, self.policy.judge([priced[place][0] for place in asked]), strict=True))
        rulings = []
        for place, (proposal, _) in enumerate(priced):
            verdict = answers.get(place, Verdict(False, refusals[place]))
            if verdict.allowed and not proposal.person and (no := self._uncertain(proposal.decision)):
                verdict = Verdict(False, no)
            if place in answers and not verdict.allowed:
                self._give_back(proposal)
            rulings.append(Ruling(proposal.action, verdict, proposal.cents))
        return rulings

    def _priced(self, proposal: Proposal) -> tuple[Proposal, str]:
        """The proposal with what it would spend, as the connector that would spend it says; or why it cannot be told."""
        connector = self.connectors.get(proposal.action.name)
        if connector is None:
            return proposal, f"no connector performs {proposal.action.name!r}"
        try:
            return replace(proposal, cents=connector.cents(proposal.action)), ""
        except BadInput as error:
            return proposal, str(error)

    def _reserve(self, proposal: Proposal) -> str:
        budget, key, cents = self.mission.budget, proposal.action.key, proposal.cents
        if key in self._reserved:
            return ""
        if self._effects + 1 > budget.effects_per_run:
            return f"the budget of {budget.effects_per_run} effects a run is used up"
        if self._cents + cents > budget.amount_per_run * 100:
            left = budget.amount_per_run - self._cents / 100
            return f"{cents / 100:,.2f} dollars are more than the {left:,.2f} left of this run's {budget.amount_per_run:,}"
        self._reserved.add(key)
        self._effects, self._cents = self._effects + 1, self._cents + cents
        return ""

    def _give_back(self, proposal: Proposal) -> None:
        if proposal.action.key in self._reserved:
            self._reserved.remove(proposal.action.key)
            self._effects, self._cents = self._effects - 1, self._cents - proposal.cents

    def _uncertain(self, decision: Decision) -> str:
        """What the SLO threshold has against it: the decision's own word that a field is automated is not taken for it."""
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
                return f"{name} comes from the tier {field.tier!r}, which may not answer it alone"
            if not field.calibrated:
                return f"{name} is not calibrated"
            if not field.confidence >= floor:
                return f"{name} is {field.confidence:.1%} sure, the certified threshold asks for {floor:.1%}"
        return ""

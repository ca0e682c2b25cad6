"""A trial: is a release better than the promoted one on the cases that changed? Entry points: `hold`, `refusal` and `promote`.

The cases: those that the promoted release decided since the change, that a person has labelled, and that neither release
learned from, nor a case with the same values. What was recorded of each is compared with what the other release decides of it,
with the memory of then. A case counts once, by the share of its labelled values. Two measures can show a gain: values that are
right, and values that are right without a person. Their intervals hold together at 95 %. The trial is an event of the
journal.
Covered: too few cases (no verdict), a file that is no longer kept, a release that cannot run here (OtherCode).
Not covered: cases of before the change; the evaluation on the test documents compares those (`evaluation.comparison`).
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from proveout.errors import BadInput, NoRelease
from proveout.evaluation import verdicts
from proveout.journal import CONCLUSION, PROMOTION, TRIAL, Event, Journal
from proveout.live.what_if import Change, what_if
from proveout.mission import Mission
from proveout.monitoring.labelling import since as changed_since
from proveout.monitoring.significance import paired
from proveout.monitoring.signing import Conclusion, Reports
from proveout.monitoring.wording import day_text, percent
from proveout.records import Answer, Decision
from proveout.release import SHORT, Release, Releases
from proveout.values import NONE, value_of, written

FEWEST = 20  # cases of a trial
RIGHT, HELPED, WRONG = "values right", "values right without a person", "values wrong without a person"
GAINS = (RIGHT, HELPED)
BETTER, NO_BETTER, WORSE, TOO_FEW = "better", "not better beyond chance", "worse", "too few cases"


@dataclass(frozen=True)
class Measure:
    """The mean over the cases of a share of each case's labelled values, 0..1."""

    name: str
    before: float
    after: float
    low: float  # interval of after - before
    high: float

    def __str__(self) -> str:
        """
        >>> str(Measure("values right", 0.97, 0.978, -0.002, 0.018))
        'values right                    97.0 %   97.8 %  +0.8 points (-0.2 to +1.8)'
        """
        points = [f"{100 * x:+.1f}" for x in (self.after - self.before, self.low, self.high)]
        shares = f"{percent(self.before, 1):>8} {percent(self.after, 1):>8}"
        return f"{self.name:30} {shares}  {points[0]} points ({points[1]} to {points[2]})"


@dataclass(frozen=True)
class Trial:
    """A release beside the promoted one."""

    release: str  # id
    against: str  # id of the promoted release
    since: date
    cases: int
    left_out: int  # labelled cases since then that one of the releases learned from, or that cannot be decided again
    measures: tuple[Measure, ...]

    @property
    def verdict(self) -> str:
        by_name = {measure.name: measure for measure in self.measures}
        if self.cases < FEWEST or not by_name:
            return TOO_FEW
        if any(by_name[name].high < 0 for name in GAINS) or by_name[WRONG].low > 0:
            return WORSE
        return BETTER if any(by_name[name].low > 0 for name in GAINS) else NO_BETTER

    @property
    def sentence(self) -> str:
        """For people, with the measure that decides."""
        about = f"on {self.cases} labelled cases since {day_text(self.since)} that neither release learned from"
        if self.verdict == TOO_FEW:
            return f"No verdict: {about}; {FEWEST} are needed."
        best = max((measure for measure in self.measures if measure.name in GAINS), key=lambda one: (one.low, one.after))
        shares = f"{percent(best.before, 1)} before, {percent(best.after, 1)} with this release"
        interval = f"{100 * best.low:+.1f} to {100 * best.high:+.1f} points"
        return f"{self.verdict[:1].upper()}{self.verdict[1:]} {about}: {best.name} {shares} ({interval})."

    @property
    def payload(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return asdict(self) | {
            "since": self.since.isoformat(),
            "measures": [asdict(measure) for measure in self.measures],
            "verdict": self.verdict,
            "sentence": self.sentence,
        }


def hold(home: Path, journal: Journal, reports: Reports, release: str, by: str, since: date | None, cache: Path) -> Trial:
    """Hold a trial and record it. `since`: None for the first change that the newest report found.

    Raises BadInput if there is nothing to try or no day to begin with, NoRelease, OtherCode.
    """
    store = Releases(home / "releases")
    candidate, promoted = store.open(release), store.promoted()
    if candidate.id == promoted.id:
        raise BadInput(f"release {candidate.id[:SHORT]} is the promoted one; build another first: proveout build")
    since = since or _since(reports)
    if since is None:
        raise BadInput("the newest report found no change with a day; say since when: --since 2026-09-01")
    trial = _trial(home, journal, candidate, promoted, since, cache)
    journal.append([Event("", TRIAL, trial.payload | {"by": by})])
    return trial


def _since(reports: Reports) -> date | None:
    newest = reports.list()[:1]
    return changed_since(reports.data(newest[0]), [*newest[0].findings]) if newest else None


def _trial(home: Path, journal: Journal, candidate: Release, promoted: Release, since: date, cache: Path) -> Trial:
    mission, answers = promoted.mission, journal.answers()
    (cases, values), (more_cases, more_values) = _learned(candidate), _learned(promoted)
    cases, values = cases | more_cases, values | more_values
    labelled = [
        decided
        for decided in journal.decisions(release=promoted.id)
        if decided.case.day and decided.case.day >= since and (answer := answers.get(decided.case.key)) and answer.fields
    ]
    chosen = {
        decided.case.key
        for decided in labelled
        if decided.case.id not in cases and _written(answers[decided.case.key], mission) not in values
    }
    rows = [
        (_shares(one.decided.decision, answer, mission), _shares(one.after.decision, answer, mission))
        for one in (what_if(home, chosen, Change(release=candidate.id), cache) if chosen else ())
        if one.after and (answer := answers[one.decided.case.key])
    ]
    counted = np.array([row for row in rows if row[0] and row[1]], dtype=float)  # (cases, 2, measures)
    names = (RIGHT, HELPED, WRONG)
    measures = []
    for at, name in enumerate(names if len(counted) > 1 else ()):
        before, after = counted[:, 0, at], counted[:, 1, at]
        low, high = paired(after - before, 1 - 0.05 / (len(GAINS) if name in GAINS else 1))
        measures.append(Measure(name, float(before.mean()), float(after.mean()), low, high))
    return Trial(candidate.id, promoted.id, since, len(counted), len(labelled) - len(counted), tuple(measures))


def _shares(decision: Decision, answer: Answer, mission: Mission) -> tuple[float, float, float] | None:
    """Of the labelled values: right; right and automated; wrong and automated. None without any."""
    right = verdicts(answer.fields, decision, mission.kinds)
    if not right:
        return None
    automated = [right[name] for name in right if name in decision.automated]
    return sum(right.values()) / len(right), sum(automated) / len(right), (len(automated) - sum(automated)) / len(right)


def _learned(release: Release) -> tuple[set[str], set[tuple[tuple[str, str], ...]]]:
    """The cases that a release learned from, and the values of each."""
    if not release.has("index"):
        return set(), set()
    with (release.path("index") / "records.jsonl").open(encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return {record["case"] for record in records}, {tuple(sorted(record["fields"].items())) for record in records}


def _written(answer: Answer, mission: Mission) -> tuple[tuple[str, str], ...]:
    """The values of an answer as a release keeps them."""
    declared, values = NONE.declaring(mission.dates), {}
    for name, text in answer.fields.items():
        with suppress(ValueError, ArithmeticError):
            values[name] = written(value_of(mission.kinds[name], text, declared))
    return tuple(sorted(values.items()))


def refusal(journal: Journal, release: str, promoted: str) -> str:
    """Why a release is not offered for promotion; "" if it is.

    It is not if people concluded since the last promotion that a rebuild or more labels are needed, and the release was not
    tried on the changed cases, or is not better on them.
    """
    asked, tried = 0, ""
    for event in journal.of_kind(CONCLUSION, TRIAL, PROMOTION):
        if event.kind == PROMOTION:
            asked = 0
        elif event.kind == CONCLUSION and event.payload["what"] in (Conclusion.TO_REBUILD, Conclusion.TO_LABEL):
            asked += len(event.payload["findings"])
        elif event.kind == TRIAL and (event.payload["release"], event.payload["against"]) == (release, promoted):
            tried = event.payload["verdict"]
    if not asked or tried == BETTER:
        return ""
    state = f"its trial says: {tried}" if tried else "it was not tried on them yet: proveout release trial"
    return f"a report asked for a release that is better on the cases that changed; {state}"


def trials(journal: Journal, release: str) -> Iterator[Mapping[str, Any]]:
    """The trials of a release, oldest first, each as `Trial.payload` with `by` and `at`."""
    for event in journal.of_kind(TRIAL):
        if event.payload["release"] == release:
            yield {**event.payload, "at": event.at}


def promote(store: Releases, journal: Journal | None, release: str, by: str, because: str = "") -> str:
    """Promote a release and note it in the journal, if there is one yet. Returns its id."""
    before = _current(store)
    id = store.promote(release, by, because)
    return id if id == before else _noted(journal, "promoted", id, before, by, because)


def roll_back(store: Releases, journal: Journal | None, by: str, because: str = "") -> str:
    """Return to the release before, and note it in the journal. Returns its id. Raises NoRelease without one."""
    before = _current(store)
    return _noted(journal, "rolled back to", store.rollback(by, because), before, by, because)


def _current(store: Releases) -> str:
    try:
        return store.current()
    except NoRelease:
        return ""


def _noted(journal: Journal | None, what: str, release: str, before: str, by: str, because: str) -> str:
    payload = {"what": what, "release": release, "before": before, "by": by, "because": because}
    if journal:
        journal.append([Event("", PROMOTION, payload)])
    return release

"""Why a case was decided so, for the person concerned, a reviewer and an auditor. Entry points: `for_person` and its like.

What would change the outcome is tried, not guessed: the release's own function for the step `route` decides the case with that
one thing changed, and only a change that turns the outcome is named.
Covered: decisions to act, to review and to refuse; what people did afterwards.
Not covered: another value of a field, which would be another case; and whether the policy would allow the actions then.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from proveout.agent.cascade import FieldState
from proveout.agent.drafts import Draft
from proveout.agent.steps import Steps
from proveout.agent.wording import and_, sureness
from proveout.journal import APPROVAL, LABEL, SETTLED, Event
from proveout.journal.codec import canonical, decision_to_json
from proveout.journal.prose import event_line
from proveout.live.replay import STEPS
from proveout.mission import Mission
from proveout.records import Decided, Document, Output, Route
from proveout.release import Release

Changed = tuple[str, Callable[[Draft], Draft]]  # a condition in words, and the draft for which it holds
MOST_TOGETHER = 3  # obstacles that a sentence names; with more, no single thing decides


def for_person(decided: Decided, events: Sequence[Event], release: Release) -> tuple[str, str]:
    """Two sentences for the person concerned: what was decided and why, and what would have changed it."""
    first, second = _sentences(decided, events, release)
    for name in release.mission.fields:
        first, second = (sentence.replace(name, _plain(name)) for sentence in (first, second))
    return first, second


def _sentences(decided: Decided, events: Sequence[Event], release: Release) -> tuple[str, str]:
    decision, mission = decided.decision, release.mission
    noun = (
        decision.document_class.replace("_", " ") if decision.document_class not in ("", *mission.never_act_on) else "document"
    )
    outcome = _outcome(events)
    if decision.route is Route.REFUSE:
        reason = decision.because[0].removeprefix("Refused: ").removesuffix(".")
        return f"The file could not be read: {reason}{outcome}.", "A file that can be read would be decided like any other."
    if decision.route is Route.ACT:
        first = (
            f"A computer program decided on this {noun} by itself, because it read every value with proven certainty{outcome}."
        )
        return first, _turned(decided, release, _doubts(decided, release), "A person would have decided it")
    obstacles = list(_obstacles(decided, release))
    if decision.document_class in ("", *mission.never_act_on):
        obstacles = []
    reasons = and_([_negated(words) for words, _ in obstacles[:MOST_TOGETHER]]) or "one decides all documents like it"
    first = f"A computer program did not decide on this {noun} but passed it to a person: {reasons}{outcome}."
    return first, _turned(decided, release, obstacles, "It would have been decided without a person")


def for_reviewer(decided: Decided, release: Release) -> list[str]:
    """The evidence, a line for each value with its place and the confidence that it needed, then the checks."""
    lines = list(decided.decision.because)
    for name, value in decided.decision.fields.items():
        place = f", page {value.place.page + 1} at {value.place.box.x0:.0f},{value.place.box.y0:.0f}" if value.place else ""
        needed = release.calibrations.floor(value.tier, name)
        sure = sureness(value, needed) if needed is not None else f"{sureness(value)}, not certified"
        lines.append(f"{name} {value.text!r}{place}, by the {value.tier.replace('_', ' ')}: {sure}")
        lines += [f"  for: {each}" for each in value.speaks_for]
        lines += [f"  against: {each}" for each in value.speaks_against]
    mark = {True: "passed", False: "failed", None: "nothing to compare"}
    lines += [f"check {check.name}: {mark[check.passed]}; {check.because}" for check in decided.decision.checks]
    return lines


def for_auditor(decided: Decided, events: Sequence[Event], release: Release) -> list[str]:
    """The path of the decision with hashes (SHA-256): the input, what decided, each step's part of the result, each event."""
    case, decision, content = decided.case, decided.decision, release.manifest["content"]
    lines = [f"case {case.id}" + (f", turn {case.turn}" if case.turn else ""), f"file {case.sha256}"]
    lines += [f"release {release.id}, frozen {release.manifest['frozen']}"]
    lines += [f"  {name:12} {id}" for name, id in sorted(content["parts"].items())]
    lines += [f"memory position {decision.memory_position}", "steps, each with the hash of its part of the decision"]
    plain, by_step = decision_to_json(decision), dict[str, dict[str, object]]()
    for part, step in STEPS.items():
        by_step.setdefault(step or " and ".join(sorted({one.tier for one in decision.fields.values()})) or "tiers", {})[
            part
        ] = plain[part]
    for step, parts in by_step.items():
        lines.append(f"  {step:12} {hashlib.sha256(canonical(parts).encode()).hexdigest()}  {', '.join(parts)}")
    lines += [
        f"verdict on {one.action.name}: {'allowed' if one.verdict.allowed else 'denied'}, {one.verdict.because}"
        for one in decided.rulings
    ]
    lines += ["events of the journal, each chained to the one before it"]
    lines += [f"  {event.position:8} {event.hash}  {event.at[:19]}  {event_line(event)}" for event in events]
    return [
        *lines,
        f"to run it again: proveout replay {case.id[:12]}",
        f"to prove it to others: proveout export --receipt {case.id[:12]} FILE",
    ]


def _outcome(events: Sequence[Event]) -> str:
    """What became of it, to follow the first sentence; "" if nothing did yet."""
    done = [
        event.payload["name"].replace("_", " ")
        for event in events
        if event.kind == SETTLED and event.payload["state"] == "done"
    ]
    person = next((event for event in reversed(events) if event.kind in (APPROVAL, LABEL)), None)
    parts = ([f"a person looked at it on {person.at[:10]}"] if person else []) + [f"done since then: {and_(done)}"] * bool(done)
    return "".join(f"; {part}" for part in parts)


def _obstacles(decided: Decided, release: Release) -> Iterator[Changed]:
    """What stands in the way of a decision without a person, each with the draft in which it does not."""
    decision, mission = decided.decision, release.mission
    for check in decision.checks:
        if check.passed is False:
            yield f"the check “{check.name}” had passed ({check.because})", _passing(check.name)
    open_fields = [name for name in mission.fields if name in mission.required - decision.automated]
    floors = {name: release.calibrations.floor(value.tier, name) for name, value in decision.fields.items()}
    if unproven := [name for name in open_fields if name in floors and floors[name] is None]:
        read = f"{and_([f'the {_plain(name)}' for name in unproven])} {'is' if len(unproven) == 1 else 'are'} read"
        yield f"enough checked examples had proven how well {read}", _certain(*unproven)
    for name in (name for name in open_fields if name not in unproven):
        if name not in floors:
            yield f"a {_plain(name)} had been legible on it", _certain(name)
        else:
            sure = sureness(decision.fields[name])
            yield f"the {_plain(name)} had been read with {floors[name]:.1%} certainty (it was {sure})", _certain(name)


def _doubts(decided: Decided, release: Release) -> Iterator[Changed]:
    """What would have sent an automated case to a person, the nearest first."""
    decision = decided.decision

    def margin(name: str) -> float:
        return decision.fields[name].confidence - (release.calibrations.floor(decision.fields[name].tier, name) or 0.0)

    for name in sorted(release.mission.required & decision.automated, key=margin):
        value = decision.fields[name]
        needed = release.calibrations.floor(value.tier, name) or 0.0
        words = (
            f"the {name.replace('_', ' ')} had been read with less than {needed:.1%} certainty (it was {value.confidence:.1%})"
        )
        yield words, _doubtful(name)


def _turned(decided: Decided, release: Release, changes: Iterator[Changed] | Sequence[Changed], otherwise: str) -> str:
    """The smallest set of changes that turns the route, as a sentence."""
    possible = list(changes)
    functions = Steps.load(release.path("steps")) if "steps" in release.manifest["content"]["parts"] else Steps()
    for together in range(1, min(MOST_TOGETHER, len(possible)) + 1):
        for chosen in itertools.combinations(possible, together):
            if _route(decided, release.mission, functions, chosen) is not decided.decision.route:
                return f"{otherwise} if {and_([words for words, _ in chosen])}."
    if possible and _route(decided, release.mission, functions, possible) is not decided.decision.route:
        return f"{otherwise} only if all of {len(possible)} things had been otherwise, among them that {possible[0][0]}."
    return "Nothing in how it was read would have changed that: the rules say who decides such documents."


def _route(decided: Decided, mission: Mission, functions: Steps, changes: Sequence[Changed]) -> Route:
    decision = decided.decision
    states = {name: FieldState(value, name in decision.automated) for name, value in decision.fields.items()}
    draft = Draft(Document(decided.case.sha256, ()), decision.case, decision.turn, decision.memory_position, decision.similar)
    draft.document_class, draft.class_confidence, draft.states = decision.document_class, decision.class_confidence, states
    draft.checks, draft.descriptors = decision.checks, dict(decision.descriptors)
    for _, change in changes:
        draft = change(draft)
    return functions.route(draft, mission)


def _passing(name: str) -> Callable[[Draft], Draft]:
    return lambda draft: replace(
        draft, checks=tuple(replace(one, passed=True) if one.name == name else one for one in draft.checks)
    )


def _certain(*names: str) -> Callable[[Draft], Draft]:
    def change(draft: Draft) -> Draft:
        outputs = {name: draft.states[name].output if name in draft.states else Output("", "", 1.0) for name in names}
        certain = {name: FieldState(replace(output, confidence=1.0), automated=True) for name, output in outputs.items()}
        return replace(draft, states={**draft.states, **certain})

    return change


def _doubtful(name: str) -> Callable[[Draft], Draft]:
    def change(draft: Draft) -> Draft:
        output = replace(draft.states[name].output, confidence=0.0)
        return replace(draft, states={**draft.states, name: FieldState(output, automated=False)})

    return change


def _plain(field: str) -> str:
    return field.replace("_", " ")


def _negated(words: str) -> str:
    """A condition that did not hold, as a fact.

    >>> _negated("the total had been read with 97.0% certainty (it was 86% sure)")
    'the total was not read with 97.0% certainty (it was 86% sure)'
    >>> _negated("enough checked examples had proven how well the total is read")
    'not enough checked examples have proven how well the total is read'
    """
    if words.startswith("enough "):
        return f"not {words.replace(' had ', ' have ', 1)}"
    if words.startswith("a "):
        return f"no {words.removeprefix('a ').replace(' had been ', ' was ', 1)}"
    return words.replace(" had been ", " was not ", 1).replace(" had passed", " did not pass", 1)

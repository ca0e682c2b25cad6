"""What to do about the findings: one sentence each, the most urgent first."""

from collections.abc import Collection, Iterator
from dataclasses import replace

from proveout.cases import kind_of
from proveout.mission import Mission
from proveout.monitoring.findings import Drift, Findings
from proveout.monitoring.wording import day_said, listed


def advice(found: Findings, mission: Mission) -> Findings:
    """The findings with what a colleague would do about them."""
    return replace(found, advice=tuple(dict.fromkeys(_sentences(found, _inputs(mission)))))


def _inputs(mission: Mission) -> set[str]:
    """The columns of a log that a sender decides about."""
    return {*kind_of(mission).descriptors, "document_class", "segment"}


def _sentences(found: Findings, inputs: Collection[str]) -> Iterator[str]:
    for one in found.broken:
        yield (
            f"Stop automating {one.field}: {one.right} of {one.labelled} labelled automated values are right, "
            f"{found.promised_precision:.0%} was promised. Roll back (proveout release rollback) or send it to review."
        )
    for one in found.doubtful:
        yield (
            f"Watch {one.field}: {one.right} of {one.labelled} labelled automated values are right ({one.precision:.1%}), "
            f"below the promised {found.promised_precision:.0%}. It can still be chance, over all fields and a year of reports."
        )
    for segment in dict.fromkeys(one.segment for one in found.worse_off):
        yield f"Read the cases of {segment} below and ask what they share; let a person see {segment} until you know."
    if not found.before_the_log:
        yield (
            "Ask first whether the reference is fair: it reaches into this log's time, so a difference may be who is in which, "
            "and no change at all."
        )
    yield from _of_drift(found.drifted, inputs)
    if not any(window.tested for window in found.windows):
        yield f"Wait: no window has {found.alerts.window.at_least} cases yet, so nothing was tested for drift."
    elif not (found.broken or found.worse_off or found.drifted):
        yield "Nothing. No alarm, at the stated false-alarm rates."


def _of_drift(drifted: tuple[Drift, ...], inputs: Collection[str]) -> Iterator[str]:
    """One sentence for each thing that there is to do, with all that calls for it."""
    new = [one for one in drifted if one.what.endswith((".known", ".pattern"))]
    for one in new:
        cases = str(one.event) if one.after > one.before else f"cases unlike those before in {one.subject}"
        yield f"Answer {cases} ({one.when}) on the review page, build, and promote: the next release has learned from them."
    others = [one for one in drifted if one.what in inputs]
    if others:
        when = listed(list(dict.fromkeys(one.when for one in others)))
        yield f"Other cases come in {when}: read the cases below, then decide whether the mission covers them."
    unsure = [
        one for one in drifted if one.what.endswith((".confidence", ".answer")) or one.what in ("class_confidence", "route")
    ]
    if unsure:
        fields = dict.fromkeys(one.what.rpartition(".")[0] or "class" for one in unsure)
        day = min(one.since for one in unsure)
        yield (
            f"Certainty moved ({listed(list(fields))}): add a labelled sample from {day_said(day)} on to the calibration rows "
            "of labels.csv, and build, so that confidence is measured on such cases."
        )
    known = {id(one) for one in (*new, *others, *unsure)}
    for one in drifted:
        if id(one) not in known:
            more = "More" if one.after > one.before else "Fewer"
            yield f"{more} {one.event} {one.when}: check limits and budget against that."

"""What to do about the findings: one sentence each, the most urgent first."""

from collections.abc import Iterator
from dataclasses import replace

from proveout.monitoring.findings import Findings


def advice(found: Findings) -> Findings:
    """The findings with what a colleague would do about them."""
    return replace(found, advice=tuple(dict.fromkeys(_sentences(found))))


def _sentences(found: Findings) -> Iterator[str]:
    for one in found.broken:
        yield (
            f"Stop automating {one.field}: {one.right} of {one.labelled} labelled automated values are right, "
            f"{found.promised_precision:.0%} was promised. Roll back (proveout release rollback) or send it to review."
        )
    for one in found.doubtful:
        yield (
            f"Watch {one.field}: {one.right} of {one.labelled} labelled automated values are right ({one.precision:.1%}), "
            f"below the promised {found.promised_precision:.0%}; chance alone would do that with probability {one.p:.1%}."
        )
    for segment in dict.fromkeys(one.segment for one in found.worse_off):
        yield f"Read ten cases of {segment} and ask what they share; let a person see that segment until you know."
    for drift in found.drifted[:5]:
        since = f"since {drift.since:%d %B %Y}"
        if drift.what.endswith((".known", ".pattern")):
            new = f"cases with a new {drift.what.split('.')[0]} {since}"
            yield f"Add labelled {new} to the training rows of labels.csv, then build and promote: that release knows them."
        elif drift.what.endswith((".confidence", ".answer")) or drift.what in ("class_confidence", "route"):
            yield (
                f"{drift.what} moved {since}: add a labelled sample from then on to the calibration rows of labels.csv, "
                "and recalibrate (proveout build)."
            )
        elif drift.what in ("pages", "words", "ocr_share", "document_class", "segment"):
            yield f"Other documents come in {since}: read the three cases below, then decide whether the mission covers them."
        else:
            yield f"The values themselves moved {since} ({drift.what}): check limits and budget against the new range."
    if not any(window.tested for window in found.windows):
        yield f"Wait: no window has {found.alerts.window.at_least} cases yet, so nothing was tested for drift."
    elif not (found.broken or found.worse_off or found.drifted):
        yield "Nothing. No alarm, at the stated false-alarm rates."

"""Inspect: what is wrong with a folder of documents, in the terminal, as a page and as JSON, before anything acts on them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from proveout.cli.output import counted, say, short
from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.inspection import Inspected, Inspection
from proveout.inspection.formats import Formats
from proveout.workspace import Workspace, project_root

ROWS = 40  # of the table; the worst files come first
REASONS = 3  # lines of reasons under a file
NAME = 36  # letters of a file's name


def inspect(folder: Path, mission: str, page_file: Path | None, json_file: Path | None, pictures: bool) -> bool:
    """Print the table, write the files, and return whether some file has an anomaly or is refused."""
    from proveout import inspection
    from proveout.inspection import page
    from proveout.live.inbox import files_in
    from proveout.progress import bar

    cache = _cache(mission)
    with bar("Reading", len(files_in(folder).files)) as step:
        result = inspection.inspect(folder, cache, step)
    for line in table(result):
        say(line)
    if json_file:
        write_whole(json_file, json.dumps(inspection.as_json(result), indent=1, ensure_ascii=False) + "\n")
        say(f"JSON: {short(json_file)}")
    if page_file:
        with bar("Drawing", len(page.pages_to_draw(result)) if pictures else 0) as step:
            write_whole(page_file, page.html(result, pictures, step))
        say(f"report: {short(page_file)}")
    elif result.summary["needs_a_look"]:
        say("for pictures of the places: --html report.html")
    return bool(result.summary["with_anomalies"] or result.summary["refused"])


def table(inspection: Inspection) -> list[str]:
    """The files, the worst first, each with its findings and their reasons; then the counts."""
    first = inspection.files[:ROWS]
    width = max([len("file"), *(len(_cut(file.name)) for file in first)])
    lines = [f"{'file':{width}}{'pages':>7}{'words':>8}{'OCR':>6}  {'decimals':12}{'dates':13}findings"]
    for file in first:
        share = f"{file.ocr_share:.0%}" if file.ocr_share else "–"
        pages, words = (str(number) if number else "–" for number in (len(file.pages), file.words))
        formats = f"{_decimals(file.formats):12}{file.formats.date_order:13}"
        lines.append(f"{_cut(file.name):{width}}{pages:>7}{words:>8}{share:>6}  {formats}{findings(file)}".rstrip())
        reasons = [anomaly.because for anomaly in file.anomalies]
        lines += [f"    {reason}" for reason in reasons[:REASONS]]
        lines += [f"    and {len(reasons) - REASONS} more"] if len(reasons) > REASONS else []
    if rest := inspection.files[ROWS:]:
        lines.append(f"and {counted(len(rest), 'file')} more, {sum(file.needs_a_look for file in rest)} of them with findings")
    return [*lines, "", *summary(inspection)]


def findings(file: Inspected) -> str:
    """What there is to see in a file, in one line."""
    if file.refused:
        parts = [f"REFUSED: {file.refused}"]
    else:
        kinds = Counter(anomaly.kind for anomaly in file.anomalies)
        parts = [f"{kind.value.upper()}{f' ({count})' if count > 1 else ''}" for kind, count in kinds.items()]
    parts += [f"same bytes as {_cut(file.same_bytes_as)}"] if file.same_bytes_as else []
    parts += [f"nearly the same words as {_cut(file.near_duplicate_of)}"] if file.near_duplicate_of else []
    return "; ".join([*parts, *file.formats.split])


def summary(inspection: Inspection) -> list[str]:
    """The headline, and the counts in one line."""
    from proveout.inspection.page import headline

    counts = inspection.summary
    names = {
        "with_anomalies": "with anomalies",
        "refused": "refused",
        "same_bytes": "with the same bytes as another",
        "near_duplicates": "near-duplicates",
        "split_formats": "with contradictory formats",
    }
    parts = [f"{counts[key]} {name}" for key, name in names.items() if counts[key]]
    kinds = ", ".join(f"{count} {kind.value}" for kind, count in inspection.kinds.items())
    lines = [
        headline(inspection),
        f"{counted(counts['files'], 'file')}, {counted(counts['pages'], 'page')}: {', '.join(parts)}",
    ]
    return [*(lines if parts else lines[:1]), *([f"anomalies: {kinds}"] if kinds else [])]


def _decimals(formats: Formats) -> str:
    """The votes on the decimal mark.

    >>> _decimals(Formats(points=12)), _decimals(Formats(points=2, commas=1))
    ('. 12', '. 2 , 1')
    """
    votes = ((".", formats.points), (",", formats.commas))
    return " ".join(f"{mark} {count}" for mark, count in votes if count)


def _cut(name: str) -> str:
    """A name in at most NAME letters: its end, because the folders are at its beginning."""
    return name if len(name) <= NAME else f"…{name[-NAME + 1 :]}"


def _cache(mission: str) -> Path | None:
    """The cache of the project's reader, so that a build does not read the same files again; None outside a project.

    Raises BadInput for a mission that is unknown or whose cases are not documents.
    """
    if not mission:
        try:
            return project_root() / "work" / "cache"
        except BadInput:
            return None
    space = Workspace.find(mission)
    if space.mission.case != "document":
        raise BadInput(f"mission `{mission}`: its cases are of kind `{space.mission.case}`; expected one that reads documents")
    return space.cache

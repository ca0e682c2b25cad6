"""The inspection as one HTML page that opens offline: what needs a look, with pictures of the places. Entry point: `html`.

Covered: text from documents and file names is escaped; the page has no script, its filter is style only.
Not covered: a picture for every place. The worst files come first, and MOST_PICTURES bounds the size of the page.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from proveout.documents.pictures import Places, cutouts
from proveout.inspection import Inspected, Inspection
from proveout.records import Anomaly, AnomalyKind

MOST_PICTURES = 400  # about 15 KB each
MOST_PER_FILE = 6
MOST_WITHOUT_PICTURE = 20  # anomalies of one file that are listed; the JSON has them all
COLOURS = {  # of the labels, by kind
    AnomalyKind.HIDDEN: "#a3217a",
    AnomalyKind.UNREAD: "#8a5a00",
    AnomalyKind.STAMP: "#b3261e",
    AnomalyKind.GARBLED: "#5a4fb0",
    AnomalyKind.SEVERAL: "#1f5fa8",
    AnomalyKind.INCOMPLETE: "#0f6a6a",
    AnomalyKind.CONTRADICTION: "#7a3b10",
}
OTHER_COLOUR = "#3b4754"

Key = tuple[str, Anomaly]  # a file's name and one of its anomalies


def html(inspection: Inspection, pictures: bool = True, progress: Callable[[], object] = lambda: None) -> str:
    """The page. `progress` is called after each drawn page of `pages_to_draw`."""
    from jinja2 import Environment, PackageLoader

    environment = Environment(
        loader=PackageLoader("proveout.inspection", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    filters = [(kind, count) for kind, count in inspection.kinds.items()]
    return environment.get_template("page.html.j2").render(
        inspection=inspection,
        headline=headline(inspection),
        kinds=filters,
        colours={kind: COLOURS.get(kind, OTHER_COLOUR) for kind in AnomalyKind},
        suspects=[file for file in inspection.files if file.needs_a_look],
        pictures=draw(inspection, progress) if pictures else {},
        most=MOST_WITHOUT_PICTURE,
    )


def headline(inspection: Inspection) -> str:
    """One sentence: how many files need a look.

    >>> headline(Inspection("inbox", ()))
    'All 0 files can be read as a person sees them.'
    """
    counts = inspection.summary
    if not counts["needs_a_look"]:
        return f"All {counts['files']:,} files can be read as a person sees them."
    verb = "needs" if counts["needs_a_look"] == 1 else "need"
    return f"{counts['needs_a_look']:,} of {counts['files']:,} files {verb} a look before anything acts on them."


def pages_to_draw(inspection: Inspection) -> list[tuple[list[Key], Places]]:
    """The pages with anomalies that have a place, the worst file first."""
    pages: list[tuple[list[Key], Places]] = []
    count = 0
    for file in inspection.files:
        with_place = [anomaly for anomaly in file.anomalies if anomaly.place][: min(MOST_PER_FILE, MOST_PICTURES - count)]
        count += len(with_place)
        pages += _by_page(file, with_place)
    return pages


def draw(inspection: Inspection, progress: Callable[[], object] = lambda: None) -> dict[Key, str]:
    """A picture of each place, a JPEG as base64; places that cannot be drawn are left out."""
    pages = pages_to_draw(inspection)
    pictures: dict[Key, str] = {}
    for (keys, _), drawn in zip(pages, cutouts([places for _, places in pages]), strict=True):
        pictures |= dict(zip(keys, drawn, strict=False))
        progress()
    return pictures


def _by_page(file: Inspected, anomalies: Sequence[Anomaly]) -> list[tuple[list[Key], Places]]:
    groups: defaultdict[int, list[Anomaly]] = defaultdict(list)
    for anomaly in anomalies:
        if anomaly.place and anomaly.place.page < len(file.pages):
            groups[anomaly.place.page].append(anomaly)
    return [
        (
            [(file.name, anomaly) for anomaly in group],
            Places(file.path, file.pages[number], tuple(anomaly.place.box for anomaly in group if anomaly.place)),
        )
        for number, group in groups.items()
    ]

"""The data card: what a person has to know before trusting a model that learned from this data set. Markdown.

After Gebru et al., Datasheets for Datasets (2021), with the numbers counted and none of them typed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from proveout.corpus.dataset import Dataset, LabelledDocument
from proveout.mission import Mission

SHOWN = 12  # rows of a table before the rest is only counted


def card(data: Dataset, mission: Mission) -> str:
    cases = data.chosen()
    parts = [
        f"# Data card: {data.name}",
        f"Version `{data.version}`. {mission.purpose.strip()}",
        "## What is in it",
        _table(("what", "how many"), _counts(data, cases)),
        "## Splits",
        f"Decided {'in' if data.notes['splits'] == 'labels.csv' else ''} {data.notes['splits']}.".replace("  ", " "),
        _table(("split", "cases", "labelled", "first day", "last day", "layouts", "refused"), _splits(cases)),
        "## Fields and classes that people labelled",
        _table(("field", *_names(cases)), _fields(cases, mission)),
        _table(("class", *_names(cases)), _classes(cases, mission)),
        "## Layouts and segments",
        _table(("layout", "cases"), _top(entry.layout for entry in cases)),
        _table(("segment", "cases"), _top(entry.case.segment for entry in cases)),
        "## Duplicates",
        _duplicates(data, cases),
        "## Refused files",
        _table(("file", "because"), [(entry.case.path, entry.refused) for entry in data.entries if entry.refused]),
        "## Source and licence",
        _table(("source", "licence", "cases"), _licences(cases)),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(data, cases, mission)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def crossing(cases: Iterable[LabelledDocument]) -> list[tuple[LabelledDocument, LabelledDocument]]:
    """Near-duplicates whose two sides lie in different splits: what was learned on one is tested on the other."""
    by_id = {entry.case.id: entry for entry in cases}
    pairs = [(entry, by_id[entry.near_duplicate_of]) for entry in by_id.values() if entry.near_duplicate_of in by_id]
    return [(one, other) for one, other in pairs if one.split != other.split]


def _counts(data: Dataset, cases: Sequence[LabelledDocument]) -> list[tuple[str, object]]:
    days = sorted(entry.case.day for entry in cases if entry.case.day)
    return [
        ("files", len(data.entries)),
        ("cases (files with bytes of their own)", len(cases)),
        ("refused", sum(bool(entry.refused) for entry in cases)),
        ("pages", data.pages),
        ("words", data.words),
        ("words read by OCR", f"{data.ocr_share:.1%}"),
        ("days", f"{days[0]} to {days[-1]}, {sum(1 for e in cases if not e.case.day)} cases without one" if days else "none"),
    ]


def _names(cases: Sequence[LabelledDocument]) -> list[str]:
    return sorted({entry.split for entry in cases})


def _splits(cases: Sequence[LabelledDocument]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name in _names(cases):
        here = [entry for entry in cases if entry.split == name]
        days = sorted(entry.case.day for entry in here if entry.case.day)
        ends = (days[0], days[-1]) if days else ("", "")
        labelled = sum(bool(entry.labels) for entry in here)
        layouts = len({entry.layout for entry in here} - {""})
        rows.append((name, len(here), labelled, *ends, layouts, sum(bool(entry.refused) for entry in here)))
    return rows


def _fields(cases: Sequence[LabelledDocument], mission: Mission) -> list[tuple[object, ...]]:
    return [
        (name, *(sum(name in entry.labels for entry in cases if entry.split == split) for split in _names(cases)))
        for name in mission.fields
    ]


def _classes(cases: Sequence[LabelledDocument], mission: Mission) -> list[tuple[object, ...]]:
    return [
        (name or "unknown", *(sum(e.document_class == name for e in cases if e.split == split) for split in _names(cases)))
        for name in (*mission.classes, "")
    ]


def _top(values: Iterable[str]) -> list[tuple[str, int]]:
    counted = Counter(value or "unknown" for value in values).most_common()
    rest = counted[SHOWN:]
    return counted[:SHOWN] + ([(f"{len(rest)} others", sum(n for _, n in rest))] if rest else [])


def _duplicates(data: Dataset, cases: Sequence[LabelledDocument]) -> str:
    same = [entry for entry in data.entries if entry.duplicate_of]
    near = [entry for entry in cases if entry.near_duplicate_of]
    across = crossing(cases)
    said = [
        f"{len(same)} files have the same bytes as another and are counted once; "
        f"{len(near)} cases say nearly the same as an earlier one, {len(across)} of them across splits."
    ]
    rows = [(one.case.path, one.split, other.case.path, other.split) for one, other in across]
    said.append(_table(("case", "split", "nearly the same as", "split"), rows[:SHOWN]))
    if len(rows) > SHOWN:
        said.append(f"And {len(rows) - SHOWN} more: column `near_duplicate_of` of manifest.parquet.")
    return "\n\n".join(part for part in said if part)


def _licences(cases: Sequence[LabelledDocument]) -> list[tuple[object, ...]]:
    counted = Counter((entry.source or "not stated", entry.licence or "not stated") for entry in cases)
    return [(*pair, n) for pair, n in counted.most_common(SHOWN)]


def _limits(data: Dataset, cases: Sequence[LabelledDocument], mission: Mission) -> list[str]:
    limits = ["Labels are taken as given: a wrong label teaches and tests wrongly."]
    if "title" in data.notes["columns"] and "class" not in data.notes["columns"]:
        limits.append("The class is a guess from words of the title, unknown where it names none or several.")
    if data.notes["unlabelled"]:
        some = ", ".join(data.notes["unlabelled"][:SHOWN])
        limits.append(f"{len(data.notes['unlabelled'])} files have no row in labels.csv and count as live cases: {some}.")
    if answers := data.notes.get("answers"):
        limits.append(f"{answers} training documents carry what people answered about them live.")
    if data.notes["unknown_columns"]:
        limits.append(f"Columns that mean nothing here and were left out: {', '.join(data.notes['unknown_columns'])}.")
    for split in _names(cases):
        bare = [n for n in mission.fields if not any(n in e.labels for e in cases if e.split == split)]
        if bare:
            limits.append(f"Nothing is known of {', '.join(bare)} in {split}.")
    if any(not entry.layout for entry in cases):
        limits.append(f"{sum(not entry.layout for entry in cases)} cases have no known layout.")
    if data.ocr_share:
        limits.append("Words read by OCR carry the recogniser's confidence; its mistakes are in the data.")
    return limits


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; nothing at all without rows."""
    if not rows:
        return "None." if head[0] == "file" else ""
    lines = [" | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in (head, *rows)]
    lines.insert(1, " | ".join("---" for _ in head))
    return "\n".join(f"| {line} |" for line in lines)

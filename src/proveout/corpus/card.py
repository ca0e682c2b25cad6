"""The data card: what to know before trusting a model trained on a data set. Markdown. Entry point: `card`.

After Gebru et al., Datasheets for Datasets (2021); every number is computed.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from proveout.corpus.dataset import Dataset, LabelledDocument
from proveout.mission import Mission

MAX_ROWS = 12  # of a table; the rest is only counted


def card(data: Dataset, mission: Mission) -> str:
    """The data card of a data set."""
    cases, splits = data.chosen(), data.notes["splits"]
    parts = [
        f"# Data card: {data.name}",
        f"Version `{data.version}`. {mission.purpose.strip()}",
        "## Contents",
        _table(("item", "count"), _counts(data, cases)),
        "## Splits",
        f"Split {'as in labels.csv' if splits == 'labels.csv' else splits}.",
        _table(("split", "cases", "labelled", "first day", "last day", "layouts", "refused"), _splits(cases)),
        "## Labelled fields and classes",
        _table(("field", *_names(cases)), _fields(cases, mission)),
        _table(("class", *_names(cases)), _classes(cases, mission)),
        "## Layouts and segments",
        _table(("layout", "cases"), _top(entry.layout for entry in cases)),
        _table(("segment", "cases"), _top(entry.case.segment for entry in cases)),
        "## Duplicates",
        _duplicates(data, cases),
        "## Refused files",
        _table(("file", "reason"), [(entry.case.path, entry.refused) for entry in data.entries if entry.refused]),
        "## Source and licence",
        _table(("source", "licence", "cases"), _licences(cases)),
        "## Known limits",
        "\n".join(f"- {limit}" for limit in _limits(data, cases, mission)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def crossing(cases: Iterable[LabelledDocument]) -> list[tuple[LabelledDocument, LabelledDocument]]:
    """Pairs of near-duplicates in different splits, which can leak training data into a test; the later case comes first."""
    by_id = {entry.case.id: entry for entry in cases}
    pairs = [(entry, by_id[entry.near_duplicate_of]) for entry in by_id.values() if entry.near_duplicate_of in by_id]
    return [(later, earlier) for later, earlier in pairs if later.split != earlier.split]


def _counts(data: Dataset, cases: Sequence[LabelledDocument]) -> list[tuple[str, object]]:
    days = sorted(entry.case.day for entry in cases if entry.case.day)
    return [
        ("files", len(data.entries)),
        ("cases (distinct files)", len(cases)),
        ("refused", sum(bool(entry.refused) for entry in cases)),
        ("pages", data.pages),
        ("words", data.words),
        ("words read by OCR", f"{data.ocr_share:.1%}"),
        ("labels replaced after an audit", sum(len(entry.before_audit) for entry in cases)),
        ("days", f"{days[0]} to {days[-1]}, {sum(1 for e in cases if not e.case.day)} cases without a day" if days else "none"),
    ]


def _names(cases: Sequence[LabelledDocument]) -> list[str]:
    return sorted({entry.split for entry in cases})


def _splits(cases: Sequence[LabelledDocument]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for name in _names(cases):
        entries = [entry for entry in cases if entry.split == name]
        days = sorted(entry.case.day for entry in entries if entry.case.day)
        ends = (days[0], days[-1]) if days else ("", "")
        labelled = sum(bool(entry.labels) for entry in entries)
        layouts = len({entry.layout for entry in entries} - {""})
        rows.append((name, len(entries), labelled, *ends, layouts, sum(bool(entry.refused) for entry in entries)))
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
    rest = counted[MAX_ROWS:]
    return counted[:MAX_ROWS] + ([(f"{len(rest)} others", sum(n for _, n in rest))] if rest else [])


def _duplicates(data: Dataset, cases: Sequence[LabelledDocument]) -> str:
    same = [entry for entry in data.entries if entry.duplicate_of]
    near = [entry for entry in cases if entry.near_duplicate_of]
    rows = [(later.case.path, later.split, earlier.case.path, earlier.split) for later, earlier in crossing(cases)]
    parts = [
        f"{len(same)} files have the same bytes as another file and are counted once; "
        f"{len(near)} cases are near-duplicates of an earlier case, {len(rows)} of them in another split.",
        _table(("case", "split", "near-duplicate of", "split"), rows[:MAX_ROWS]),
    ]
    if len(rows) > MAX_ROWS:
        parts.append(f"And {len(rows) - MAX_ROWS} more: column `near_duplicate_of` of manifest.parquet.")
    return "\n\n".join(part for part in parts if part)


def _licences(cases: Sequence[LabelledDocument]) -> list[tuple[object, ...]]:
    counted = Counter((entry.source or "not stated", entry.licence or "not stated") for entry in cases)
    return [(*pair, n) for pair, n in counted.most_common(MAX_ROWS)]


def _limits(data: Dataset, cases: Sequence[LabelledDocument], mission: Mission) -> list[str]:
    limits = ["Labels are taken as given: a wrong label distorts training and tests."]
    if "title" in data.notes["columns"] and "class" not in data.notes["columns"]:
        limits.append("The class is a guess from words of the title, and unknown where the title names none or several.")
    if data.notes["unlabelled"]:
        names = ", ".join(data.notes["unlabelled"][:MAX_ROWS])
        limits.append(f"{len(data.notes['unlabelled'])} files have no row in labels.csv and count as live cases: {names}.")
    if answers := data.notes.get("answers"):
        limits.append(f"{answers} training documents have labels from the reviews of live cases.")
    if data.notes["unknown_columns"]:
        limits.append(f"Unknown columns of labels.csv were left out: {', '.join(data.notes['unknown_columns'])}.")
    for split in _names(cases):
        unlabelled = [name for name in mission.fields if not any(name in e.labels for e in cases if e.split == split)]
        if unlabelled:
            limits.append(f"The split {split} has no labels for {', '.join(unlabelled)}.")
    if unknown := sum(not entry.layout for entry in cases):
        limits.append(f"The layout of {unknown} cases is unknown.")
    if data.ocr_share:
        limits.append("OCR errors are in the data; words read by OCR carry the recogniser's confidence.")
    return limits


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; without rows "", or "None." for the refused files."""
    if not rows:
        return "None." if head[0] == "file" else ""
    lines = [" | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in row) for row in (head, *rows)]
    lines.insert(1, " | ".join("---" for _ in head))
    return "\n".join(f"| {line} |" for line in lines)

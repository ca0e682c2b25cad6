"""Past cases with a person's labels as examples for a language model. Entry point: `example_of`.

The memory keeps the words of a case and its values in canonical form. An example has to show what the model is asked for: the
words as they are printed, and the values among them. It shows the words around each value, which is where a form of the same
layout has its values, too, and takes a tenth of the tokens of the page.
Not covered: values that the kept words do not contain, such as those of a later page; the example leaves their fields out.
"""

import re
from collections.abc import Iterator, Sequence

from proveout.mission import Mission
from proveout.prompts import Example, Prompts
from proveout.records import Kind
from proveout.retrieval import MemoryRecord
from proveout.values import Conventions, same
from proveout.values.amounts import amounts_in
from proveout.values.conventions import conventions_of
from proveout.values.dates import days_in

BEFORE, AFTER = 8, 4  # words that are shown around a value
LABEL = 60  # characters before a value in which its label is looked for
GAP = " … "


def example_of(record: MemoryRecord, mission: Mission, prompts: Prompts) -> Example | None:
    """The example that a past case gives; None if it has no class, or none of its values is among the words that were kept.

    >>> from proveout import mission as missions
    >>> from proveout.prompts import FieldPrompt
    >>> mission = missions.Mission.model_construct(fields={"total": missions.FieldSpec(kind="amount")}, dates="month_first")
    >>> prompts = Prompts({"total": FieldPrompt("", labels=("Total",))}, {}, "")
    >>> example_of(MemoryRecord("1", "Fee $9.00 of 3 spots Total $9.00 due", {"total": "9.00"}, "invoice"), mission, prompts)
    Example(text='Fee $9.00 of 3 spots Total $9.00 due', document_class='invoice', fields={'total': '$9.00'})
    """
    printed = conventions_of([record.text]).declaring(mission.dates)
    spans: dict[str, tuple[int, int]] = {}
    for name, kind in mission.kinds.items():
        value, labels = record.fields.get(name, ""), [label.casefold() for label in prompts.fields[name].labels]
        places = list(_places(record.text, kind, value, printed)) if value else []
        labelled = (at for at in places if any(label in _before(record.text, at[0]) for label in labels))
        if places:
            spans[name] = next(labelled, places[0])
    if not spans or not record.document_class:
        return None
    fields = {name: record.text[start:end] for name, (start, end) in spans.items()}
    return Example(_around(record.text, list(spans.values())), record.document_class, fields)


def _places(text: str, kind: Kind, value: str, printed: Conventions) -> Iterator[tuple[int, int]]:
    """Where a value in its canonical form is printed, from left to right."""
    if kind == "date":
        yield from ((day.start, day.end) for day in days_in(text) if same(kind, day.text, value, printed))
    elif kind == "amount":
        amounts = amounts_in(text, printed.spaced)
        yield from ((one.start, one.end) for one in amounts if same(kind, one.text, value, printed))
    elif kind != "flag":
        words = r"\s+".join(map(re.escape, value.split()))
        yield from (match.span() for match in re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE))


def _before(text: str, start: int) -> str:
    return text[max(0, start - LABEL) : start].casefold()


def _around(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The words around each span, in reading order."""
    words = [match.span() for match in re.finditer(r"\S+", text)]
    near = set()
    for start, end in spans:
        inside = [at for at, (first, last) in enumerate(words) if first < end and last > start]
        near |= set(range(max(0, inside[0] - BEFORE), min(len(words), inside[-1] + AFTER + 1)))
    parts: list[list[str]] = []
    for at in sorted(near):
        if at - 1 not in near:
            parts.append([])
        parts[-1].append(text[slice(*words[at])])
    return GAP.join(map(" ".join, parts))

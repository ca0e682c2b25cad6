"""A ranking: the best candidates in order as one value, and people's grades of them.

As printed, items are separated by ` | `; each is an id, perhaps with a grade (`id=3`; 0 for what does not fit), then a title
for people. As a value it is the ids alone, and NOTHING stands for an empty one. `ranked` writes one, `items_of` reads it.
Covered: ids with spaces and separators (they are percent-encoded); a ranking whose line ends were lost.
"""

from collections.abc import Iterable, Mapping
from urllib.parse import quote, unquote

NOTHING = "(nothing)"  # as printed
SEPARATOR = " | "
GRADES = ("0", "1", "2", "3")  # 0 does not fit, 3 is exactly what was asked for


def ranked(items: Iterable[tuple[str, str]]) -> str:
    """A ranking as printed, from ids and titles.

    >>> ranked([("a 1", "Red | shoe"), ("b", "")]), ranked([])
    ('a%201 Red / shoe | b', '(nothing)')
    """
    lines = [f"{quote(id, safe='')} {' '.join(title.replace('|', '/').split())}".strip() for id, title in items]
    return SEPARATOR.join(lines) or NOTHING


def graded(grades: Mapping[str, str]) -> str:
    """A person's grades as printed, from ids to grades.

    >>> graded({"a 1": "3", "b": "0"}), graded({})
    ('a%201=3 | b=0', '(nothing)')
    """
    return SEPARATOR.join(f"{quote(id, safe='')}={grade}" for id, grade in grades.items()) or NOTHING


def items_of(text: str) -> dict[str, str]:
    """The ids of a ranking in order, each with its grade; "" without one. Raises ValueError for a grade that is none.

    >>> items_of("a%201=3 Red shoe | b"), items_of("(nothing)")
    ({'a 1': '3', 'b': ''}, {})
    """
    items: dict[str, str] = {}
    for item in text.split(SEPARATOR) if text.strip() not in ("", NOTHING) else ():
        id, _, grade = item.split(None, 1)[0].partition("=") if item.strip() else ("", "", "")
        if not id or (grade and grade not in GRADES):
            raise ValueError(f"{item!r} is no item of a ranking; expected id=grade with a grade of {', '.join(GRADES)}")
        items[unquote(id)] = grade
    return items


def titles_of(text: str) -> list[tuple[str, str]]:
    """The ids of a ranking in order, each with its title.

    >>> titles_of("a%201 Red shoe | b=2")
    [('a 1', 'Red shoe'), ('b', '')]
    """
    return list(zip(items_of(text), (item.strip().partition(" ")[2] for item in text.split(SEPARATOR)), strict=False))


def value_of_ranking(text: str) -> str:
    """The items without titles.

    >>> value_of_ranking("a Red shoe | b=2 Boot"), value_of_ranking("(nothing)")
    ('a | b=2', '(nothing)')
    """
    return SEPARATOR.join(
        f"{quote(id, safe='')}={grade}" if grade else quote(id, safe="") for id, grade in items_of(text).items()
    ) or (NOTHING)


def same_ranking(a: str, b: str) -> bool:
    """Whether two rankings say the same. With grades on one side: whether the other has an item that fits, or rightly none.

    >>> same_ranking("a=0 | b=1", "b Boot | c"), same_ranking("a=0", "(nothing)"), same_ranking("a=3", "b | c")
    (True, True, False)
    >>> same_ranking("a | b", "a Red shoe | b Boot"), same_ranking("a | b", "b | a")
    (True, False)
    """
    try:
        first, second = items_of(a), items_of(b)
    except ValueError:
        return False
    if any(first.values()) and any(second.values()):
        return _fitting(first) == _fitting(second)
    if any(second.values()):
        first, second = second, first
    if not any(first.values()):
        return list(first) == list(second)
    fitting = _fitting(first)
    return bool(fitting & second.keys()) if second else not fitting


def _fitting(items: Mapping[str, str]) -> frozenset[str]:
    return frozenset(id for id, grade in items.items() if grade not in ("", "0"))

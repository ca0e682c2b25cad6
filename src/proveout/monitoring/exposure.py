"""Whose items answers leave out: each group of items against all others of the same kind. Entry point: `exposures`.

Where answers are lists, a group of items may be treated worse without any case that is: the products of one seller are in no
answer, say. Items are compared with others of their kind, because nobody can be given what nobody asks for. The test is that of
Mantel and Haenszel (1959) with its correction for continuity, Holm's correction over all groups.
Covered: a group that is all there is of its kinds, or whose kinds are given to everybody or nobody (p is nan).
Not covered: causes, and places within an answer. Items may be asked for less, or be worse.
"""

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from statistics import NormalDist

from proveout.monitoring.significance import holm


@dataclass(frozen=True, slots=True)
class Exposure:
    """How much of a group some answer had."""

    group: str
    items: int
    given: float  # share of its items that some answer had, 0..1
    expected: float  # the same share if it were that of all items of their kinds
    p: float  # adjusted for all groups; nan where nothing can be compared


def exposures(given: Collection[str], group_of: Mapping[str, str], kind_of: Mapping[str, str]) -> tuple[Exposure, ...]:
    """Each group, the one that is given most below its expectation first.

    `given`: the items that some answer had; `group_of`: every item to its group, "" without one; `kind_of`: to its kind.

    >>> items = {f"{seller}{number}": seller for seller in "ab" for number in range(20)}
    >>> [(each.group, each.given, each.expected) for each in exposures([f"a{n}" for n in range(20)], items, {})]
    [('b', 0.0, 0.5), ('a', 1.0, 0.5)]
    """
    size, had, own, own_had = Counter[str](), Counter[str](), Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    marked = set(given)
    for item, group in group_of.items():
        kind = kind_of.get(item, "")
        for count in (size, had) if item in marked else (size,):
            count[kind] += 1
        for pairs in (own, own_had) if item in marked else (own,):
            pairs[group, kind] += 1
    rows = []
    for group in sorted(set(group_of.values()) - {""}):
        kinds = {kind: count for (name, kind), count in own.items() if name == group}
        expected = sum(count * had[kind] / size[kind] for kind, count in kinds.items())
        variance = sum(
            count * (size[kind] - count) * had[kind] * (size[kind] - had[kind]) / (size[kind] ** 2 * (size[kind] - 1))
            for kind, count in kinds.items()
            if size[kind] > 1
        )
        observed = sum(own_had[group, kind] for kind in kinds)
        away = max(0.0, abs(observed - expected) - 0.5)
        p = 2 * NormalDist().cdf(-away / math.sqrt(variance)) if variance > 0 else math.nan
        rows.append((group, sum(kinds.values()), observed, expected, p))
    adjusted = holm([row[-1] for row in rows])
    result = [
        Exposure(group, items, observed / items, expected / items, p)
        for (group, items, observed, expected, _), p in zip(rows, adjusted, strict=True)
    ]
    return tuple(sorted(result, key=lambda each: (each.given - each.expected, each.group)))


def left_out(each: Exposure, level: float = 0.05) -> bool:
    """Whether fewer items of a group were given than chance explains."""
    return each.given < each.expected and each.p <= level

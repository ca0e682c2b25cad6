"""Folds: which labelled documents a certificate rests on, each judged by a model that learned from none of its fold.

Entry point: `folds`. Copies of a document are one group: for a certificate they are one observation, since they are right or
wrong together, and they are in the same fold, so that no model has seen the document that it is judged by.
Covered: the same documents give the same folds, in any order.
Not covered: layouts. A layout may be in several folds, as live cases also have layouts that were seen before.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping

CROSS_FITTED = 5  # folds

Fold = list[tuple[str, ...]]  # groups of ids


def folds(train: Collection[str], calibration: Collection[str], group_of: Mapping[str, Hashable], enough: float) -> list[Fold]:
    """One fold of the calibration split, or with fewer than `enough` groups in it, five folds of both splits (cross-fitting).

    A calibration document with a copy among the training documents is in no held-out fold. A single group gives an empty
    fold: nothing can be judged by a model that learned from something else.

    >>> group_of = dict(zip("abcdefgh", "aacdefaf"))
    >>> folds("abcde", "fgh", group_of, enough=1)
    [[('f', 'h')]]
    >>> [sum(map(len, fold)) for fold in folds("abcde", "fgh", group_of, enough=2)]
    [3, 2, 1, 1, 1]
    """
    groups: defaultdict[Hashable, list[str]] = defaultdict(list)
    for document in sorted({*train, *calibration}):
        groups[group_of[document]].append(document)
    every = [tuple(group) for group in groups.values()]
    held_out = [group for group in every if not set(group) & set(train)]
    if held_out and len(held_out) >= enough:
        return [sorted(held_out, key=lambda group: by_chance(group[0]))]
    if len(every) < 2:
        return [[]]
    result: list[Fold] = [[] for _ in range(min(CROSS_FITTED, len(every)))]
    for group in sorted(every, key=lambda group: (-len(group), by_chance(group[0]))):
        min(result, key=lambda fold: sum(map(len, fold))).append(group)
    return result


def by_chance(id: str) -> bytes:
    """A sort key that puts ids in an order by chance, the same in every process."""
    return hashlib.sha256(id.encode()).digest()

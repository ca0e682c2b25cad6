"""Merkle trees as in RFC 6962, section 2.1: one hash for any number of entries, and short proofs that an entry is among them.

Entry points: `Tree`, which takes entry after entry and knows the root at every size; `levels_of`, `proof` and `root_of`.
"""

import hashlib
from collections.abc import Sequence


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """Only the roots of its full subtrees are kept, at most one for each bit of the size."""

    def __init__(self) -> None:
        self.size = 0
        self._full: list[bytes] = []  # the largest first

    def append(self, entry: bytes) -> None:
        right, filled = leaf(entry), self.size
        while filled & 1:  # two full subtrees of one size become one
            right, filled = node(self._full.pop(), right), filled >> 1
        self._full.append(right)
        self.size += 1

    @property
    def root(self) -> bytes:
        """
        >>> Tree().root.hex()[:16]
        'e3b0c44298fc1c14'
        """
        if not self._full:
            return hashlib.sha256(b"").digest()
        *others, root = self._full
        for left in reversed(others):
            root = node(left, root)
        return root


def levels_of(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """All nodes of a tree: the leaves, then each level above, up to the root. The last of an odd number rises unchanged."""
    levels = [list(leaves)]
    while len(below := levels[-1]) > 1:
        pairs = [node(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
        levels.append([*pairs, *below[len(pairs) * 2 :]])
    return levels


def proof(levels: Sequence[Sequence[bytes]], at: int) -> list[bytes]:
    """The nodes beside the path from leaf `at` to the root, from below: with them the root can be computed again."""
    beside = []
    for level in levels:
        if (at ^ 1) < len(level):
            beside.append(level[at ^ 1])
        at //= 2
    return beside


def root_of(leaf: bytes, at: int, size: int, beside: Sequence[bytes]) -> bytes:
    """The root of a tree of `size` leaves that the proof of leaf `at` gives; another than the tree's if anything differs.

    >>> levels = levels_of([leaf(bytes([n])) for n in range(5)])
    >>> [root_of(levels[0][n], n, 5, proof(levels, n)) == levels[-1][0] for n in range(5)]
    [True, True, True, True, True]
    """
    left, last = list(beside), size - 1
    while last:
        if at ^ 1 <= last:
            if not left:
                return b""
            other = left.pop(0)
            leaf = node(other, leaf) if at & 1 else node(leaf, other)
        at, last = at // 2, last // 2
    return b"" if left else leaf

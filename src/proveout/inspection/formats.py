"""Which formats a document's amounts and dates speak for, by the votes that decide how its values are read."""

from dataclasses import dataclass

from proveout.values import NONE, Conventions
from proveout.values.conventions import CLEAR


@dataclass(frozen=True)
class Formats:
    """The votes of one document."""

    points: int = 0  # amounts with a decimal point
    commas: int = 0  # amounts with a decimal comma
    date_order: str = ""  # "day first", "month first", or "" if it cannot be told
    because: str = ""  # what shows the order, or why it cannot be told

    @property
    def split(self) -> tuple[str, ...]:
        """Where the votes contradict each other, as sentences."""
        decimals = min(self.points, self.commas) * CLEAR > max(self.points, self.commas)
        parts = [f"its amounts show both decimal marks: {self.points} a point, {self.commas} a comma"] if decimals else []
        return (*parts, *([self.because] if self.because and not self.date_order else []))


def formats_of(votes: Conventions) -> Formats:
    """The conventions of a document as a person reads them.

    >>> from proveout.values import conventions_of
    >>> formats_of(conventions_of(["$1,250.00", "12.50", "27/01/2020"]))
    Formats(points=1, commas=0, date_order='day first', because="the day is first in '27/01/2020'")
    >>> formats_of(conventions_of(["1.880,00", "27.01.2020", "1/28/2020"])).split
    ("its days show both orders: '27.01.2020' has the day first, '1/28/2020' the month",)
    """
    because = "" if votes.because == NONE.because else votes.because
    return Formats(votes.points, votes.commas, votes.order.replace("_", " "), because)

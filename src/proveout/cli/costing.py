"""What cases cost, and what a number of them will cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proveout.cli.output import counted, say
from proveout.cli.proving import decided_journal
from proveout.errors import BadInput, hint
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.evaluation.costs import CaseCost, Prices


def cost(space: Workspace, prices: Prices, minutes: float, by: str, volume: int | None) -> None:
    """Print what the decided cases cost, by group, and a forecast. Raises BadInput for an unknown group, or without cases."""
    from proveout.documents import Originals
    from proveout.evaluation.costs import GROUPS, KINDS, costs, forecast, grouped

    if by not in GROUPS:
        raise BadInput(f"--by {by}: {hint(by, GROUPS)}")
    originals = Originals(space.originals)

    with decided_journal(space) as journal:
        cases = costs(journal, lambda decided: originals.size(decided.case.sha256), prices, minutes)
    if not cases:
        raise BadInput(f"{space.home}: no case is decided yet; decide some first: proveout run")
    say(f"{'':24} {'cases':>7} {'mean':>10} {'95 % below':>10}   of the mean: {', '.join(KINDS)}")
    for name, group in [("all cases", cases), *((f"{by} {name}", group) for name, group in grouped(cases, by))]:
        say(_line(name, group))
    assumed = [one for one in cases if not one.measured]
    people = sum(one.minutes for one in cases)
    note = (
        f"; for {counted(len(assumed), 'case')} nobody's time was measured, {minutes:g} minutes are assumed" if assumed else ""
    )
    say(f"People: {people / 60:,.1f} hours at ${prices.person_hour:g}{note}.")
    expected = forecast(cases, volume or len(cases))
    low, high = expected.interval
    say(f"{expected.cases:,} cases like these: ${expected.dollars:,.2f} (95 %: ${low:,.2f} to ${high:,.2f}).")


def _line(name: str, cases: list[CaseCost]) -> str:
    from proveout.evaluation.costs import KINDS, dollars, mean, tail

    of_each = ", ".join(dollars(mean(cases, kind)) for kind in KINDS)
    return f"{name[:24]:24} {len(cases):7,} {dollars(mean(cases)):>10} {dollars(tail(cases)):>10}   {of_each}"

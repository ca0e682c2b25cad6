"""What performs the actions of a mission: connectors, and how their effects happen once. One door: `of`.

`effects` has the contract and the one way in which effects happen, `files` and `http` are connectors, `fake` is one for tests,
and `counterparty` is a service to try them on. A package brings its own by the entry-point group `proveout.connectors`.
"""

from collections.abc import Callable
from pathlib import Path

from proveout import plugins
from proveout.connectors.effects import Connector, NoSettings, carry_out, undo
from proveout.journal.intentions import Outcome, State
from proveout.mission import Mission

__all__ = ["Connector", "NoSettings", "Outcome", "State", "carry_out", "of", "undo"]


def of(mission: Mission, place: Path, original: Callable[[str], Path]) -> dict[str, Connector]:
    """What performs each action of a mission, and what takes it back, by the names that policy and journal know them by.

    `place`: a folder for what connectors leave on this machine. `original`: case id to the file that was decided on.
    """
    by_action: dict[str, Connector] = {}
    for name, spec in mission.actions.items():
        kind: type[Connector] = plugins.find("connectors", spec.connector or name)
        connector = by_action[name] = kind(kind.Settings.model_validate(spec.settings), place, original)
        if spec.undone_by:
            by_action[spec.undone_by] = connector.compensation()
    return by_action

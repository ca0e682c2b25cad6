"""Connectors perform a mission's actions, and each effect happens once. Entry point: `of`.

`effects` has the connector contract and `carry_out`, the only way to perform effects. `files` and `http` are connectors, `fake`
is one for tests, and `counterparty` is a service to try them on. Packages add connectors through the entry-point group
`proveout.connectors`.
"""

from collections.abc import Callable
from pathlib import Path

from proveout import plugins
from proveout.connectors.effects import Connector, NoSettings, carry_out, undo
from proveout.journal.intentions import Outcome, State
from proveout.mission import Mission

__all__ = ["Connector", "NoSettings", "Outcome", "State", "carry_out", "of", "undo"]


def of(mission: Mission, place: Path, original: Callable[[str], Path]) -> dict[str, Connector]:
    """The connector for each action of a mission and for each action that undoes one, by action name.

    `place`: a folder for the files that connectors write. `original`: case id to the file that was decided on.
    """
    by_action: dict[str, Connector] = {}
    for name, spec in mission.actions.items():
        kind: type[Connector] = plugins.find("connectors", spec.connector or name)
        connector = by_action[name] = kind(kind.Settings.model_validate(spec.settings), place, original)
        if spec.undone_by:
            by_action[spec.undone_by] = connector.compensation()
    return by_action

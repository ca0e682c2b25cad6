"""A recorded decision as a notebook opens it: its own inputs, and its release's agent as it was then. Entry point: `opened`.

Covered: the cases before it in its batch, since a duplicate may be among them; corrections and memory of then.
Not covered: a release of other code than this process runs, which raises OtherCode (`proveout open` starts a process with it).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.live import Live
from proveout.live.replay import batches, inputs
from proveout.records import Answer, Decided, case_of
from proveout.release import Releases

if TYPE_CHECKING:
    from proveout.agent import Agent
    from proveout.workspace import Workspace


@dataclass(frozen=True)
class Opened:
    """What a decision is made from."""

    agent: Agent
    files: tuple[Path, ...]  # of its batch, up to the case, which is the last
    prompts: Path  # the folder that the agent reads with
    decided: Decided | None = None  # None: not decided by a release yet
    answer: Answer | None = None  # of a person


def opened(space: Workspace, key: str) -> Opened:
    """A recorded decision by its `Case.key`.

    Raises BadInput if there is none, or if its file is not kept, BadModel for a damaged release, and OtherCode.
    """
    with Journal(space.home / "journal.db") as journal:
        pairs = ((batch, began) for batch, began in batches(journal, {key}) if key in {one.case.key for one in batch})
        batch, began = next(pairs, ([], 0))
        answer = journal.answers(cases=[case_of(key)]).get(key)
    if not batch:
        raise BadInput(f"no decided case has the id {key[:64]!r}; expected one that `proveout status` or the list of cases has")
    context = batch[: [one.case.key for one in batch].index(key) + 1]
    release = Releases(space.releases).open(context[-1].decision.release)
    live = Live(release, space.home / "inbox", space.home, space.cache)
    agent = live.agent(began)
    files = inputs(agent, live, context, began)
    if key not in files:
        raise BadInput(f"the file of case {key[:12]} is not kept, or is another by now, so it cannot be decided again")
    return Opened(agent, tuple(files.values()), release.path("prompts"), context[-1].in_order(release.mission.fields), answer)

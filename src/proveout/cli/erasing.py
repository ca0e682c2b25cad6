"""Erase cases, and look after the keys that make it possible."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from proveout.cli.output import counted, person, say
from proveout.cli.proving import decided_journal
from proveout.errors import BadInput
from proveout.live import alone
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.journal import Journal
    from proveout.live.erasure import Plan

PATIENCE = 60.0  # seconds to wait for a run to end


def erase(space: Workspace, case: str, reason: str, yes: bool) -> bool:
    """Say what erasing a case removes and what stays, ask, and erase. Returns whether it was erased.

    `case`: the start of its id. Raises BadInput without a reason, unless exactly one case is meant, and for open effects.
    """
    from proveout.live import erasure
    from proveout.records import Person, Role

    if not reason.strip():
        raise BadInput("say why the case is erased: --reason; the journal keeps it")
    with decided_journal(space) as journal:
        erasure.complete(space, journal)
        planned = erasure.plan(space, journal, one_case(journal, case))
        for line in in_words(planned):
            say(line)
        if not yes:
            if not sys.stdin.isatty():
                raise BadInput("nothing was erased; to erase without being asked: --yes")
            if input("Erase it for ever? Type yes: ").strip().casefold() not in ("y", "yes"):
                say("nothing was erased")
                return False
        with alone(space.home, patience=PATIENCE):
            erasure.erase(space, journal, planned, Person(person(), Role.OPERATOR), reason)
        say(f"case {planned.case[:12]} was erased; journal: {journal.verify().because}")
    return True


def one_case(journal: Journal, case: str) -> str:
    """The id of the case whose id starts so, decided or erased. Raises BadInput unless there is exactly one."""
    ids = {decided.case.id for decided in journal.decisions(case=case)} | journal.erased()
    matching = sorted(id for id in ids if id.startswith(case)) if case else []
    if len(matching) != 1:
        raise BadInput(f"{counted(len(matching), 'case')} whose id begins with {case[:64]!r}; expected one")
    return matching[0]


def in_words(planned: Plan) -> list[str]:
    """What erasing a case means, in lines."""
    parts = {"is removed": planned.removed, "learned from it, and stays": planned.derived, "cannot be reached": planned.beyond}
    return [f"case {planned.case[:12]}"] + [
        text for title, lines in parts.items() if lines for text in (f"  {title}:", *(f"    {line}" for line in lines))
    ]


def erased_too(journal: Journal) -> str:
    """A remark about erased cases for the end of a line; "" without any."""
    count = len(journal.erased())
    return f"; the content of {counted(count, 'case')} was erased" if count else ""


def keys(space: Workspace, rotate: str | None, encrypt: bool) -> None:
    """Say which master key a workspace is encrypted with; first, `encrypt` one that is not.

    `rotate`: wrap its keys with the master key that this setting names. Raises BadInput if the workspace is not encrypted, or a
    master key is not there.
    """
    from proveout.vault import Vault
    from proveout.vault.master import SETTING, master_key

    if encrypt:
        _encrypt(space)
    vault = Vault.at(space.home)
    if vault is None:
        raise BadInput(f"{space.home}: is not encrypted; to encrypt it: proveout keys --encrypt")
    if rotate is not None:
        master = master_key(rotate, create=True)
        if master is None:
            raise BadInput("a workspace cannot go without a master key; name one")
        count = vault.rotate(master)
        say(f"{counted(count, 'key')} wrapped anew; from now on: export {SETTING}={rotate}")
    standing, destroyed = vault.counts()
    say(f"master key {vault.master}; {counted(standing, 'key')}, {destroyed} destroyed; {vault.file}")


def _encrypt(space: Workspace) -> None:
    """Encrypt a workspace that began without. Its journal's events of before stay as they are, and can be emptied."""
    from proveout.documents import Originals
    from proveout.retrieval import Memory
    from proveout.vault import Vault

    with decided_journal(space) as journal, alone(space.home, patience=PATIENCE):
        if Vault.create(space.home) is None:
            raise BadInput("PROVEOUT_MASTER_KEY is `none`; name a master key, or unset it for one in ~/.config/proveout")
        journal.upgrade()
    with decided_journal(space) as journal, alone(space.home, patience=PATIENCE):
        kept = Originals(space.originals).encrypt()
        if (space.memory / "records.jsonl").exists():
            Memory.open(space.memory).encrypt()
        if (space.logs / "decisions.parquet").exists():
            journal.to_parquet(space.logs, space.mission)
        say(f"{counted(kept, 'document')}, memory and log are encrypted; so is what follows event {journal.position}")

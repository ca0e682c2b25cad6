"""Prove: signed checkpoints of the journal, its verification, and receipts that anybody can check."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.cli.output import counted, say
from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from proveout.journal import Journal, Verification
    from proveout.journal.checkpoints import Checkpoints, Verifier


def checkpoint(space: Workspace, new_key: str | None, witnesses: Sequence[Path]) -> None:
    """Sign the journal as it is; with `new_key`, a name, first make a key. Raises BadInput if either cannot be done."""
    from proveout.journal.checkpoints import Signer, default_key

    with decided_journal(space) as journal:
        kept = _checkpoints(space, witnesses)
        signer = Signer.create(default_key(), new_key) if new_key else Signer.load(default_key())
        if new_key:
            say(f"new signing key: {default_key()}; keep it out of the workspace, and a copy in a safe place")
        note = kept.add(journal, signer, _trusted())
    say(f"signed: {counted(note.size, 'event')}, root {note.root.hex()[:16]}; public key, for those who check it:")
    say(str(signer.verifier))


def keep(space: Workspace) -> None:
    """Sign the journal after a run, if this machine has a signing key."""
    from proveout.journal.checkpoints import Signer, default_key

    if default_key().exists():
        with decided_journal(space) as journal:
            _checkpoints(space, _witnesses()).add(journal, Signer.load(default_key()), _trusted())


def verify(space: Workspace, keys: Sequence[str], witnesses: Sequence[Path]) -> bool:
    """Print whether the journal is whole and agrees with every checkpoint. `keys`: public ones, or files with them."""
    with decided_journal(space) as journal:
        verification, believed = checked(space, journal, [key for text in keys for key in _keys(text)], witnesses)
        damage = journal.damage()
    say(f"journal: {'' if verification.whole else 'DAMAGED, '}{verification.because}")
    if damage:
        hint = f"to mend that: sqlite3 {space.home / 'journal.db'} REINDEX"
        say(f"journal: DAMAGED beside its events, so that a question may miss some ({damage}); {hint}")
    if verification.whole and not believed:
        say("signatures were not checked; give the public key: --key")
    return verification.whole and not damage


def checked(
    space: Workspace, journal: Journal, keys: Sequence[Verifier] = (), witnesses: Sequence[Path] | None = None
) -> tuple[Verification, Sequence[Verifier]]:
    """The result, and the keys that were believed: by default that of this machine and those it trusts."""
    from proveout.journal.checkpoints import Signer, default_key

    if not keys and default_key().exists():
        keys = [Signer.load(default_key()).verifier, *_trusted()]
    kept = _checkpoints(space, _witnesses() if witnesses is None else witnesses)
    return kept.check(journal, keys), keys


def receipt(space: Workspace, case: str, file: Path) -> None:
    """Write the events of a case with their proofs, from a checkpoint of now. `case`: the start of its id."""
    from proveout.journal.checkpoints import Signer, default_key, written
    from proveout.journal.checkpoints import receipt as of_case

    if file.suffix != ".json":
        raise BadInput(f"{file}: expected a name that ends with .json for a receipt")
    with decided_journal(space) as journal:
        cases = sorted({decided.case.id for decided in journal.decisions(case=case)}) if case else []
        if len(cases) != 1:
            problem = (
                f"{counted(len(cases), 'case')} whose id begins with {case!r}; expected one" if case else "no case is named"
            )
            raise BadInput(f"{problem}; `proveout export cases.csv` lists them")
        signer = Signer.load(default_key())
        note = _checkpoints(space, _witnesses()).add(journal, signer, _trusted())
        proven = of_case(journal, cases[0], note, signer.verifier)
    write_whole(file, written(proven))
    count = counted(len(proven["events"]), "event")
    say(f"wrote {count} of case {cases[0][:12]} to {file}; to check it without Proveout: docs/check_receipt.py")


def decided_journal(space: Workspace) -> Journal:
    """The journal of a workspace. Raises BadInput if there is none, and makes none."""
    from proveout.journal import Journal

    if not (space.home / "journal.db").exists():
        raise BadInput(f"{space.home}: no case is decided yet; decide some first: proveout run")
    return Journal(space.home / "journal.db")


def _keys(text: str) -> list[Verifier]:
    """The public keys of a text, or of a file, one in each line."""
    from proveout.journal.checkpoints import Verifier

    if "+" not in text:
        try:
            text = Path(text).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{text[:80]}: neither a public key nor a file with one ({error.__class__.__name__})") from error
    return [Verifier.parse(line) for line in text.splitlines() if line.strip()]


def _trusted() -> list[Verifier]:
    """Keys of before, and of other machines, whose checkpoints this machine believes."""
    from proveout.journal.checkpoints import default_key

    file = default_key().with_name("trusted-keys")
    return _keys(str(file)) if file.exists() else []


def _witnesses() -> list[Path]:
    return [Path(folder) for folder in os.environ.get("PROVEOUT_WITNESS", "").split(os.pathsep) if folder]


def _checkpoints(space: Workspace, witnesses: Sequence[Path]) -> Checkpoints:
    from proveout.journal.checkpoints import Checkpoints

    return Checkpoints(space.home / "checkpoints", f"proveout/{space.name}", witnesses)

"""Prove: signed checkpoints of the journal, its verification, and receipts that anybody can check."""

from __future__ import annotations

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

    signer = Signer.create(default_key(), new_key) if new_key else Signer.load(default_key())
    if new_key:
        say(f"new signing key: {default_key()}; keep it out of the workspace, and a copy in a safe place")
    with _journal(space) as journal:
        note = _checkpoints(space, witnesses).add(journal, f"proveout/{space.name}", signer)
    say(f"signed: {counted(note.size, 'event')}, root {note.root.hex()[:16]}; public key, for those who check it:")
    say(str(signer.verifier))


def keep(space: Workspace) -> None:
    """Sign the journal after a run, if this machine has a signing key."""
    from proveout.journal.checkpoints import Signer, default_key

    if default_key().exists():
        with _journal(space) as journal:
            _checkpoints(space).add(journal, f"proveout/{space.name}", Signer.load(default_key()))


def verify(space: Workspace, key: str | None, witnesses: Sequence[Path]) -> bool:
    """Print whether the journal is whole and agrees with every checkpoint. `key`: a public key, or a file with one."""
    with _journal(space) as journal:
        verification, verifier = checked(space, journal, _key(key), witnesses)
    say(f"journal: {'' if verification.whole else 'DAMAGED, '}{verification.because}")
    if verification.whole and not verifier:
        say("signatures were not checked; give the public key: --key")
    return verification.whole


def checked(
    space: Workspace, journal: Journal, key: Verifier | None = None, witnesses: Sequence[Path] = ()
) -> tuple[Verification, Verifier | None]:
    """The result, and the key that signatures were checked with: by default that of this machine."""
    from proveout.journal.checkpoints import Signer, check, default_key

    if key is None and default_key().exists():
        key = Signer.load(default_key()).verifier
    return check(journal, _checkpoints(space, witnesses).all(), key), key


def receipt(space: Workspace, case: str, file: Path) -> None:
    """Write the events of a case with their proofs, from a checkpoint of now. `case`: the start of its id."""
    from proveout.journal.checkpoints import Signer, default_key, written
    from proveout.journal.checkpoints import receipt as of_case

    signer = Signer.load(default_key())
    with _journal(space) as journal:
        cases = sorted({decided.case.id for decided in journal.decisions(case=case)}) if case else []
        if len(cases) != 1:
            problem = (
                f"{counted(len(cases), 'case')} whose id begins with {case!r}; expected one" if case else "no case is named"
            )
            raise BadInput(f"{problem}; `proveout show --all` lists them")
        note = _checkpoints(space).add(journal, f"proveout/{space.name}", signer)
        proven = of_case(journal, cases[0], note, signer.verifier)
    write_whole(file, written(proven))
    count = counted(len(proven["events"]), "event")
    say(f"wrote {count} of case {cases[0][:12]} to {file}; to check it without Proveout: docs/check_receipt.py")


def _key(text: str | None) -> Verifier | None:
    from proveout.journal.checkpoints import Verifier

    if text is None:
        return None
    return Verifier.parse(Path(text).read_text(encoding="utf-8") if Path(text).is_file() else text)


def _journal(space: Workspace) -> Journal:
    from proveout.journal import Journal

    if not (space.home / "journal.db").exists():
        raise BadInput(f"{space.home}: there is no journal yet; decide cases first: proveout run")
    return Journal(space.home / "journal.db")


def _checkpoints(space: Workspace, witnesses: Sequence[Path] = ()) -> Checkpoints:
    from proveout.journal.checkpoints import Checkpoints

    return Checkpoints(space.home / "checkpoints", witnesses)

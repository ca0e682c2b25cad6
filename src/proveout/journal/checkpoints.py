"""Signed checkpoints of a journal, and receipts that anybody can check without Proveout.

A hash chain alone reveals no forger who rewrites all of it, and no older copy put back in its place. A checkpoint does: the
Merkle root of the first so many events, signed by a key that lies outside of the workspace, kept also where the workspace's
owner cannot write (`witness`). Its text is that of transparency logs (C2SP tlog-checkpoint and signed-note, Ed25519), with the
time as an extra line, so their tools read it. An entry of the tree is the SHA-256 of an event, as in the journal.
Entry points: `Signer`, `check`, `Checkpoints`, `receipt`. docs/check_receipt.py checks a receipt in any Python.
Not covered: a forger who has the key; events since the last checkpoint (the chain alone covers those).
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.journal import Journal, Verification
from proveout.journal.merkle import Tree, leaf, levels_of, proof

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ED25519 = b"\x01"  # how a signed note names the algorithm
NAME = re.compile(r"[^\s+]+")
SIGNATURE = re.compile(r"^— (\S+) (\S+)$", re.MULTILINE)


def default_key() -> Path:
    """Where the signing key lies unless PROVEOUT_SIGNING_KEY says otherwise: outside of every workspace."""
    named = os.environ.get("PROVEOUT_SIGNING_KEY")
    return Path(named) if named else Path.home() / ".config" / "proveout" / "signing-key.pem"


@dataclass(frozen=True)
class Verifier:
    """A public key with its name. Its text is a verifier key of signed notes: `name+hash+base64`."""

    name: str
    public: bytes  # 32

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> "Verifier":
        """Raises BadInput for anything else than the text of a verifier key, or one with a slip."""
        try:
            name, id, encoded = text.strip().split("+", 2)
            raw = base64.b64decode(encoded, validate=True)
            verifier = cls(name, raw[1:])
        except ValueError:
            verifier, raw, id = cls("", b""), b"", ""
        if raw[:1] != ED25519 or len(raw) != 33 or verifier.id.hex() != id:
            raise BadInput(f"{text.strip()[:80]!r} is not a public key as `proveout checkpoint` prints it: name+hash+base64")
        return verifier

    def signed(self, note: "Checkpoint") -> bool:
        """Whether one of the note's signatures is this key's."""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        for name, encoded in note.signatures:
            raw = base64.b64decode(encoded)
            if name == self.name and raw[:4] == self.id:
                try:
                    Ed25519PublicKey.from_public_bytes(self.public).verify(raw[4:], note.body.encode())
                except InvalidSignature:
                    return False
                return True
        return False


@dataclass(frozen=True)
class Checkpoint:
    """What the journal was at a time."""

    origin: str  # which journal, such as proveout/invoices
    size: int  # events
    root: bytes  # 32
    at: str  # ISO 8601, UTC
    signatures: tuple[tuple[str, str], ...] = ()  # name of the key, and base64 of its id and signature

    @property
    def body(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n{self.at}\n"

    def __str__(self) -> str:
        return self.body + "\n" + "".join(f"— {name} {encoded}\n" for name, encoded in self.signatures)

    @classmethod
    def parse(cls, text: str) -> "Checkpoint":
        """Raises BadInput for anything else than the text of a checkpoint."""
        body, _, signatures = text.partition("\n\n")
        try:
            origin, size, root, at = body.split("\n")
            note = cls(origin, int(size), base64.b64decode(root, validate=True), at, tuple(SIGNATURE.findall(signatures)))
            if str(note) != text or len(note.root) != 32:
                raise ValueError
        except ValueError:
            raise BadInput(
                f"not a checkpoint; expected origin, size, root, time and a signature, found {text[:60]!r}"
            ) from None
        return note


class Signer:
    """The key that signs checkpoints."""

    def __init__(self, name: str, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.verifier = Verifier(name, key.public_key().public_bytes_raw())

    @classmethod
    def create(cls, file: Path, name: str) -> "Signer":
        """A new key in a file that only its owner can read. Raises BadInput if there is a file, or for a name with spaces."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not NAME.fullmatch(name):
            raise BadInput(f"{name!r} cannot name a key; expected a name without spaces and +, such as archive.example.com")
        key = Ed25519PrivateKey.generate()
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            file.touch(mode=0o600, exist_ok=False)
            file.write_text(f"name: {name}\n{pem}", encoding="ascii")
        except FileExistsError:
            raise BadInput(f"{file}: there is a key already; without it nobody could add to its checkpoints") from None
        return cls(name, key)

    @classmethod
    def load(cls, file: Path) -> "Signer":
        """Raises BadInput if there is no key, it is damaged, or others can read it."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        try:
            name, _, pem = file.read_text(encoding="ascii").removeprefix("name: ").partition("\n")
            key = serialization.load_pem_private_key(pem.encode(), password=None)
            assert isinstance(key, Ed25519PrivateKey), "not an Ed25519 key"
        except FileNotFoundError:
            raise BadInput(f"{file}: there is no signing key; make one: proveout checkpoint --new-key NAME") from None
        except (OSError, ValueError, AssertionError) as error:
            raise BadInput(f"{file}: cannot be read as a signing key ({error}); put the right one back") from error
        if file.stat().st_mode & 0o077:
            raise BadInput(f"{file}: others can read the signing key; chmod 600 {file}")
        return cls(name, key)

    def sign(self, note: Checkpoint) -> Checkpoint:
        encoded = base64.b64encode(self.verifier.id + self._key.sign(note.body.encode())).decode()
        return Checkpoint(note.origin, note.size, note.root, note.at, ((self.verifier.name, encoded),))


class Checkpoints:
    """The checkpoints of a workspace, a file each, also in the witness folders."""

    def __init__(self, folder: Path, witnesses: Sequence[Path] = ()) -> None:
        self.folders = (folder, *witnesses)

    def all(self) -> list[tuple[Path, Checkpoint]]:
        """Every checkpoint in every folder, the smallest first. Raises BadInput for a damaged one, with its file."""
        notes = []
        for folder in self.folders:
            for file in sorted(folder.glob("*.checkpoint")):
                try:
                    notes.append((file, Checkpoint.parse(file.read_text(encoding="utf-8"))))
                except (BadInput, UnicodeDecodeError) as error:
                    raise BadInput(f"{file}: {error}") from error
        return sorted(notes, key=lambda one: one[1].size)

    def add(self, journal: Journal, origin: str, signer: Signer) -> Checkpoint:
        """Sign the journal as it is now, once it agrees with every checkpoint so far. Raises BadInput if it does not."""
        verification = check(journal, self.all(), signer.verifier)
        if not verification.whole:
            raise BadInput(f"nothing was signed: {verification.because}")
        tree = Tree()
        for digest in journal.hashes(verification.events):
            tree.append(digest)
        note = signer.sign(Checkpoint(origin, tree.size, tree.root, datetime.now(UTC).isoformat(timespec="seconds")))
        for folder in self.folders:
            file = folder / f"{note.size:012}.checkpoint"
            if not file.exists():
                write_whole(file, str(note))
        return note


def check(journal: Journal, notes: Iterable[tuple[Path, Checkpoint]], key: Verifier | None) -> Verification:
    """Whether the journal is whole, and begins as every checkpoint says. `key`: None checks no signature."""
    verification = journal.verify()
    notes = sorted(notes, key=lambda one: one[1].size)
    if not verification.whole:
        return verification
    events = verification.events
    for file, note in notes:
        if key and not key.signed(note):
            return Verification(False, events, None, f"{file}: not signed by {key.name}, so it may be forged")
        if note.size > events:
            lost = f"events {events + 1} to {note.size} are missing" if events else "all events are missing"
            because = f"{lost}: on {note.at} there were {note.size} ({file}); they were cut off, or an older copy was put back"
            return Verification(False, events, events + 1, because)
    tree, agrees = Tree(), 0
    hashes = iter(journal.hashes(events))
    for file, note in notes:
        while tree.size < note.size:
            tree.append(next(hashes))
        if tree.root != note.root:
            what = f"event {note.size} was" if note.size == agrees + 1 else f"one of the events {agrees + 1} to {note.size} was"
            return Verification(False, events, agrees + 1, f"{what} rewritten after {note.at} ({file})")
        agrees = note.size
    signed = f"{verification.because}; {len(notes)} checkpoints agree, the last one on event {agrees}" if notes else ""
    return Verification(True, events, None, signed or verification.because)


def receipt(journal: Journal, case: str, note: Checkpoint, key: Verifier) -> dict[str, Any]:
    """The events of a case that a checkpoint covers, each with the proof that it is in the journal; plain data for JSON.

    Raises BadInput if it covers none. docs/verify.md describes the format.
    """
    levels = levels_of([leaf(digest) for digest in journal.hashes(note.size)])
    events = [
        {
            "position": event.position,
            "line": journal.line(event.position),
            "proof": [one.hex() for one in proof(levels, event.position - 1)],
        }
        for event in journal.events(case)
        if event.position <= note.size
    ]
    if not events:
        raise BadInput(f"case {case[:12]}: the checkpoint on event {note.size} covers none of its events")
    return {"case": case, "checkpoint": str(note), "key": str(key), "events": events}


def written(receipt: dict[str, Any]) -> str:
    return json.dumps(receipt, indent=1, ensure_ascii=False) + "\n"

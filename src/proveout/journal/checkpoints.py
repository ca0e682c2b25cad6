"""Signed checkpoints of a journal, and receipts that anybody can check without Proveout.

A hash chain alone reveals no forger who rewrites all of it, and no older copy put back in its place. A checkpoint does: the
Merkle root of the first so many events, signed by a key that lies outside of the workspace, kept also where the workspace's
owner cannot write (`witness`). Its text is that of transparency logs (C2SP tlog-checkpoint and signed-note, Ed25519), with the
time as an extra line, so their tools read it. An entry of the tree is the SHA-256 of an event, as in the journal.
Entry points: `Signer`, `Checkpoints`, `receipt`. docs/check_receipt.py checks a receipt in any Python.
Not covered: a forger who has the key; events since the last checkpoint (the chain alone covers those).
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Sequence
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
NAME = re.compile(r"[!-*,-~]+")  # printable ASCII without spaces and +
SIGNATURE = re.compile(r"^— (\S+) (\S+)$", re.MULTILINE)


def default_key() -> Path:
    """Where the signing key lies unless PROVEOUT_SIGNING_KEY says otherwise: outside of every workspace."""
    named = os.environ.get("PROVEOUT_SIGNING_KEY", "~/.config/proveout/signing-key.pem")
    return Path(os.path.expanduser(named))  # noqa: PTH111  (Path.expanduser fails where there is no home)


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
            try:
                raw = base64.b64decode(encoded)
                Ed25519PublicKey.from_public_bytes(self.public).verify(raw[4:], note.body.encode())
            except (ValueError, InvalidSignature):
                continue
            if name == self.name and raw[:4] == self.id:
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
            written = [base64.b64encode(base64.b64decode(encoded)).decode() for _, encoded in note.signatures]
            if str(note) != text or len(note.root) != 32 or written != [encoded for _, encoded in note.signatures]:
                raise ValueError  # also for base64 that others would write otherwise, whose last bits say nothing
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
            raise BadInput(f"{name!r} cannot name a key; expected ASCII without spaces and +, such as archive.example.com")
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
            name, _, pem = file.read_text(encoding="ascii").strip().removeprefix("name: ").partition("\n")
            key = serialization.load_pem_private_key(pem.encode(), password=None)
            assert isinstance(key, Ed25519PrivateKey), "not an Ed25519 key"
            assert NAME.fullmatch(name), "its first line gives no name"
        except FileNotFoundError:
            raise BadInput(f"{file}: there is no signing key; make one: proveout checkpoint --new-key NAME") from None
        except (OSError, ValueError, TypeError, AssertionError) as error:
            raise BadInput(f"{file}: cannot be read as a signing key ({error}); put the right one back") from error
        if file.stat().st_mode & 0o077:
            raise BadInput(f"{file}: others can read the signing key; chmod 600 {file}")
        return cls(name, key)

    def sign(self, note: Checkpoint) -> Checkpoint:
        encoded = base64.b64encode(self.verifier.id + self._key.sign(note.body.encode())).decode()
        return Checkpoint(note.origin, note.size, note.root, note.at, ((self.verifier.name, encoded),))


class Checkpoints:
    """The checkpoints of one journal, a file each, also in the witness folders, which are of this journal alone."""

    def __init__(self, folder: Path, origin: str, witnesses: Sequence[Path] = ()) -> None:
        """`origin`: the journal's name in them. Raises BadInput for a witness that is not there, such as a lost disk."""
        self.origin, self.folders = origin, (folder, *witnesses)
        for witness in witnesses:
            if not witness.is_dir():
                raise BadInput(
                    f"{witness}: there is no such folder, so there is no witness; mount it, or make it: mkdir {witness}"
                )

    def all(self) -> list[tuple[Path, Checkpoint]]:
        """Every checkpoint in every folder, the smallest first. Raises BadInput for a damaged one, with its file."""
        notes = []
        for folder in self.folders:
            for file in sorted(folder.glob("*.checkpoint")):
                try:
                    notes.append((file, Checkpoint.parse(file.read_text(encoding="utf-8"))))
                except (BadInput, OSError, UnicodeDecodeError) as error:
                    raise BadInput(f"{file}: {error}") from error
        return sorted(notes, key=lambda one: one[1].size)

    def add(self, journal: Journal, signer: Signer, trusted: Sequence[Verifier] = ()) -> Checkpoint:
        """Sign the journal as it is now, once it agrees with every checkpoint so far. Raises BadInput if it does not.

        `trusted`: other keys whose checkpoints are believed.
        """
        tree = Tree()
        verification = self._compare(journal, [signer.verifier, *trusted], tree)
        if not verification.whole:
            raise BadInput(f"nothing was signed: {verification.because}")
        for digest in journal.hashes(verification.events, after=tree.size):
            tree.append(digest)
        note = signer.sign(Checkpoint(self.origin, tree.size, tree.root, datetime.now(UTC).isoformat(timespec="seconds")))
        for folder in self.folders:
            file = folder / f"{note.size:012}.checkpoint"
            try:
                if not file.exists():
                    write_whole(file, str(note))
            except OSError as error:
                raise BadInput(
                    f"{file}: the checkpoint cannot be written ({error.strerror}); free the folder, and sign again"
                ) from error
        return note

    def check(self, journal: Journal, keys: Sequence[Verifier]) -> Verification:
        """Whether the journal is whole, and begins as every checkpoint says. `keys`: believed; without any, all are."""
        return self._compare(journal, keys, Tree())

    def _compare(self, journal: Journal, keys: Sequence[Verifier], tree: Tree) -> Verification:
        """`tree`: empty; afterwards it holds the events up to the last checkpoint, if all agree."""
        verification = journal.verify()
        if not verification.whole:
            return verification
        notes, events = self.all(), verification.events
        for file, note in notes:
            if note.origin != self.origin:
                other = f"{file}: a checkpoint of {note.origin}, not of {self.origin}; a witness folder is of one journal"
                return Verification(False, events, None, other)
            if keys and not any(key.signed(note) for key in keys):
                names = " or ".join(key.name for key in keys)
                return Verification(False, events, None, f"{file}: not signed by {names}, so it may be forged")
            if note.size > events:
                lost = f"events {events + 1} to {note.size} are missing" if events else "all events are missing"
                because = (
                    f"{lost}: on {note.at} there were {note.size} ({file}); they were cut off, or an older copy was put back"
                )
                return Verification(False, events, events + 1, because)
        agrees, hashes = 0, iter(journal.hashes(events))
        for file, note in notes:
            while tree.size < note.size:
                tree.append(next(hashes))
            if tree.root != note.root:
                few = note.size <= agrees + 1
                what = f"event {note.size} was" if few else f"one of the events {agrees + 1} to {note.size} was"
                return Verification(False, events, agrees + 1, f"{what} rewritten after {note.at} ({file})")
            agrees = note.size
        sizes = len({note.size for _, note in notes})
        signed = f"; {sizes} checkpoint{'s agree' if sizes > 1 else ' agrees'}, the last on event {agrees}" if notes else ""
        return Verification(True, events, None, f"{verification.because}{signed or '; there is no checkpoint'}")


def receipt(journal: Journal, case: str, note: Checkpoint, key: Verifier) -> dict[str, Any]:
    """The events of a case that a checkpoint covers, each with the proof that it is in the journal; plain data for JSON.

    Raises BadInput if it covers none. docs/verify.md describes the format.
    """
    levels = levels_of([leaf(digest) for digest in journal.hashes(note.size)])
    events = [
        {"position": position, **proven, "proof": [one.hex() for one in proof(levels, position - 1)]}
        for position, proven in journal.lines(case, note.size)
    ]
    if not events:
        raise BadInput(f"case {case[:12]}: the checkpoint on event {note.size} covers none of its events")
    return {"case": case, "checkpoint": str(note), "key": str(key), "events": events}


def written(receipt: dict[str, Any]) -> str:
    return json.dumps(receipt, indent=1, ensure_ascii=False) + "\n"

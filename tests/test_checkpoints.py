"""Signed checkpoints reveal what a hash chain cannot, and a receipt is checked without Proveout."""

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from program import PROVEOUT
from proveout.errors import BadInput
from proveout.journal import GENESIS, SEPARATOR, Event, Journal
from proveout.journal.checkpoints import Checkpoint, Checkpoints, Signer, Verifier, receipt, written
from proveout.journal.merkle import Tree, leaf, levels_of, node, proof, root_of

SCRIPT = Path(__file__).parent.parent / "docs" / "check_receipt.py"
CASES = [hashlib.sha256(bytes([n])).hexdigest() for n in range(12)]
SIZES = (7, 19, 30)  # of the journal at its checkpoints
EVENTS = 36


@pytest.fixture(scope="module")
def signer(tmp_path_factory) -> Signer:
    return Signer.create(tmp_path_factory.mktemp("key") / "deep" / "key.pem", "archive.example.com")


@pytest.fixture(scope="module")
def original(tmp_path_factory, signer) -> Path:
    """A home with a journal of 36 events and three checkpoints, kept by a witness, too."""
    home = tmp_path_factory.mktemp("home")
    (home / "witness").mkdir()
    with Journal(home / "journal.db") as journal:
        for n in range(EVENTS):
            journal.append([Event(CASES[n % 12], "label", {"labels": {"total": f"{n}.50", "who": "Zoë"}}, key=f"k{n}")])
            if n + 1 in SIZES:
                kept(home).add(journal, signer)
    return home


def kept(home: Path) -> Checkpoints:
    return Checkpoints(home / "checkpoints", "proveout/invoices", [home / "witness"])


@pytest.fixture
def home(original: Path, tmp_path: Path) -> Path:
    return shutil.copytree(original, tmp_path / "home")


def checked(home: Path, signer: Signer):
    with Journal(home / "journal.db") as journal:
        return kept(home).check(journal, [signer.verifier])


def rewrite(home: Path, change, keep_tip: bool = False) -> None:
    """Change the rows of the journal as somebody with the file could. With all hashes and the tip made to fit."""
    database = sqlite3.connect(home / "journal.db")
    for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        database.execute(f"DROP TRIGGER {name}")
    rows = [list(row) for row in database.execute('SELECT "case", kind, key, at, payload FROM events ORDER BY position')]
    change(rows)
    database.execute("DELETE FROM events")
    previous = GENESIS
    for position, row in enumerate(rows, 1):
        digest = hashlib.sha256(SEPARATOR.join([previous, str(position), *row]).encode()).hexdigest()
        database.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (position, *row, previous, digest))
        previous = digest
    database.execute("UPDATE tip SET position = ?, hash = ?", (len(rows), previous))
    database.commit()
    database.close()


def test_an_untouched_journal_agrees(home, signer):
    result = checked(home, signer)
    assert result.whole and result.because == "36 events, all unchanged; 3 checkpoints agree, the last on event 30"


@pytest.mark.parametrize(
    ("at", "says"),
    [
        (3, "one of the events 1 to 7 was rewritten after"),
        (8, "one of the events 8 to 19 was rewritten after"),
        (29, "one of the events 20 to 30 was rewritten after"),
    ],
)
def test_a_journal_rewritten_as_a_whole_is_found_and_placed(home, signer, at, says):
    rewrite(home, lambda rows: rows[at].__setitem__(4, rows[at][4].replace(".50", ".51")))
    with Journal(home / "journal.db") as journal:
        assert journal.verify().whole, "the chain alone does not show it"
    result = checked(home, signer)
    assert not result.whole and says in result.because


@pytest.mark.parametrize("length", [0, 6, 18, 29])
def test_a_cut_or_older_journal_is_found(home, signer, length):
    rewrite(home, lambda rows: rows.__delitem__(slice(length, None)))
    result = checked(home, signer)
    missing = next(size for size in SIZES if size > length)
    assert (
        not result.whole
        and f"{length + 1 if length else 'all'}" in result.because
        and f"there were {missing}" in result.because
    )


def test_what_was_cut_within_the_workspace_is_known_to_the_witness(home, signer):
    rewrite(home, lambda rows: rows.__delitem__(slice(3, None)))
    shutil.rmtree(home / "checkpoints")
    assert "events 4 to 7 are missing" in checked(home, signer).because


def test_a_forged_or_unsigned_checkpoint_is_found(home, signer, tmp_path):
    other = Signer.create(tmp_path / "other.pem", "archive.example.com")
    file = home / "checkpoints" / "000000000019.checkpoint"
    note = Checkpoint.parse(file.read_text())
    file.write_text(str(other.sign(note)))
    assert f"{file}: not signed by archive.example.com, so it may be forged" in checked(home, signer).because
    file.write_text(str(note).replace("\n19\n", "\n18\n"))
    assert "not signed by" in checked(home, signer).because
    file.write_text(str(note)[:60])
    with pytest.raises(BadInput, match=r"000000000019\.checkpoint: not a checkpoint"):
        checked(home, signer)


def test_a_checkpoint_of_another_journal_is_named(home, signer):
    with Journal(home / "journal.db") as journal:
        other = Checkpoints(home / "checkpoints", "proveout/desk", [home / "witness"])
        assert "a checkpoint of proveout/invoices, not of proveout/desk" in other.check(journal, []).because


def test_a_witness_that_is_not_there_is_an_error_and_no_checkpoint_is_said(home, signer):
    with pytest.raises(BadInput, match="there is no such folder, so there is no witness; mount it"):
        Checkpoints(home / "checkpoints", "proveout/invoices", [home / "lost disk"])
    with Journal(home / "journal.db") as journal:
        assert "there is no checkpoint" in Checkpoints(home / "none", "proveout/invoices").check(journal, []).because


def test_a_key_of_before_is_believed_if_it_is_trusted(home, signer, tmp_path):
    new = Signer.create(tmp_path / "new.pem", "archive.example.org")
    with Journal(home / "journal.db") as journal:
        with pytest.raises(BadInput, match=r"not signed by archive\.example\.org"):
            kept(home).add(journal, new)
        assert kept(home).add(journal, new, [signer.verifier]).size == EVENTS
        assert kept(home).check(journal, [new.verifier, signer.verifier]).whole


def test_nothing_is_signed_that_contradicts_a_checkpoint(home, signer):
    rewrite(home, lambda rows: rows.__delitem__(0))
    with Journal(home / "journal.db") as journal, pytest.raises(BadInput, match="nothing was signed: one of the events 1 to 7"):
        kept(home).add(journal, signer)


def test_a_key_is_made_once_and_kept_private(tmp_path):
    file = tmp_path / "key.pem"
    made = Signer.create(file, "me")
    assert file.stat().st_mode & 0o777 == 0o600 and Signer.load(file).verifier == made.verifier
    assert Verifier.parse(f"{made.verifier}\n") == made.verifier
    with pytest.raises(BadInput, match="there is a key already"):
        Signer.create(file, "me")
    file.chmod(0o644)
    with pytest.raises(BadInput, match="chmod 600"):
        Signer.load(file)
    file.write_text("name: me\nnonsense")
    with pytest.raises(BadInput, match="cannot be read as a signing key"):
        Signer.load(file)
    with pytest.raises(BadInput, match="checkpoint --new-key"):
        Signer.load(tmp_path / "none.pem")
    file.write_text("\n-----BEGIN NOTHING-----")
    with pytest.raises(BadInput, match="cannot be read as a signing key"):
        Signer.load(file)
    for name in ("two words", "a+b", "Zoë", ""):
        with pytest.raises(BadInput, match="expected ASCII without spaces"):
            Signer.create(tmp_path / "x.pem", name)
    assert not (tmp_path / "x.pem").exists()


@pytest.mark.parametrize("text", ["", "a+b", "me+00000000+AAAA", "me+00000000+AQID"])
def test_what_is_no_public_key_is_said(text):
    with pytest.raises(BadInput, match="is not a public key"):
        Verifier.parse(text)


def test_a_signature_is_that_of_the_note_format(signer):
    """As C2SP signed-note says: the id of the key, then Ed25519 over the text with its last line feed."""
    from base64 import b64decode

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    note = signer.sign(Checkpoint("proveout/invoices", 3, bytes(32), "2026-11-30T10:00:00+00:00"))
    text = str(note)
    body, signature = text.split("\n\n")
    dash, name, encoded = signature.strip().split(" ")
    assert (dash, name) == ("—", "archive.example.com") and body.splitlines()[:2] == ["proveout/invoices", "3"]
    Ed25519PublicKey.from_public_bytes(signer.verifier.public).verify(b64decode(encoded)[4:], f"{body}\n".encode())
    assert Checkpoint.parse(text) == note


def test_the_tree_is_that_of_rfc_6962():
    """Roots and leaves as Certificate Transparency's own tests have them."""
    entries = [b"", b"\x00", b"\x10", b" !", b"01", b"@ABC", b"PQRSTUVW", b"`abcdefghijklmno"]
    tree = Tree()
    for entry in entries:
        tree.append(entry)
    assert leaf(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert tree.root.hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 13, 64, 100])
def test_a_proof_gives_the_root_and_only_for_its_leaf(size):
    entries = [n.to_bytes(2, "big") for n in range(size)]
    tree, levels = Tree(), levels_of([leaf(entry) for entry in entries])
    for n, entry in enumerate(entries):
        tree.append(entry)
        assert tree.root == levels_of([leaf(one) for one in entries[: n + 1]])[-1][0]
    for at in range(size):
        beside = proof(levels, at)
        assert root_of(leaf(entries[at]), at, size, beside) == tree.root
        assert root_of(leaf(b"other"), at, size, beside) != tree.root
        assert root_of(leaf(entries[at]), at, size, [*beside, bytes(32)]) != tree.root
        if beside:
            assert root_of(leaf(entries[at]), at, size, beside[:-1]) != tree.root
            assert root_of(leaf(entries[at]), at ^ 1, size, beside) != tree.root
    assert node(b"a", b"b") != leaf(b"ab")


def script(file: Path, key: object) -> subprocess.CompletedProcess[str]:
    """The checker, in a Python that has no packages at all."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), str(file), str(key)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONUTF8": "1"})


@pytest.fixture
def given(home, signer, tmp_path) -> Path:
    with Journal(home / "journal.db") as journal:
        note = kept(home).add(journal, signer)
        (tmp_path / "receipt.json").write_text(written(receipt(journal, CASES[5], note, signer.verifier)), encoding="utf-8")
    return tmp_path / "receipt.json"


def test_a_receipt_is_checked_without_proveout(given, signer):
    run = script(given, signer.verifier)
    assert run.returncode == 0, run.stderr
    head, *events = run.stdout.splitlines()
    assert head.startswith("proveout/invoices, 36 events on 2") and head.endswith(
        f"signed by archive.example.com. Case {CASES[5]}:"
    )
    assert [line.split()[0] for line in events] == ["6", "18", "30"] and '"total":"29.50"' in events[2] and "Zoë" in events[2]


def test_a_receipt_is_printed_where_the_terminal_knows_few_letters(given, signer):
    command = [sys.executable, "-S", str(SCRIPT), str(given), str(signer.verifier)]
    run = subprocess.run(command, capture_output=True, check=False, env={"PYTHONIOENCODING": "ascii"})
    assert run.returncode == 0 and rb"Zo\xeb" in run.stdout


def test_a_changed_receipt_is_refused(given, signer, tmp_path):
    whole = json.loads(given.read_text(encoding="utf-8"))
    other = Signer.create(tmp_path / "other.pem", "archive.example.com").verifier

    def refused(change, key=signer.verifier) -> str:
        changed = json.loads(json.dumps(whole))
        change(changed)
        given.write_text(json.dumps(changed), encoding="utf-8")
        run = script(given, key)
        assert run.returncode == 1 and run.stderr and "Traceback" not in run.stderr
        return run.stderr

    event = whole["events"][1]
    assert "Event 18" in refused(lambda one: one["events"][1].update(line=event["line"].replace("17.50", "77.50")))
    assert "Event 18" in refused(lambda one: one["events"][1].update(proof=event["proof"][::-1]))
    assert "Event" in refused(lambda one: one.update(case=CASES[6]))
    assert "not signed" in refused(lambda one: one.update(checkpoint=one["checkpoint"].replace("\n36\n", "\n37\n")))
    assert "not signed" in refused(lambda one: None, other)
    assert "no event, or one more than once" in refused(lambda one: one.update(events=[]))
    assert "no event, or one more than once" in refused(lambda one: one.update(events=[event, event]))
    assert "Not a receipt" in refused(lambda one: one.pop("events"))
    assert "Not a receipt" in refused(lambda one: None, "nonsense")


def test_a_receipt_needs_events_before_its_checkpoint(home, signer):
    with Journal(home / "journal.db") as journal:
        first = kept(home).all()[0][1]
        with pytest.raises(BadInput, match="the checkpoint on event 7 covers none of its events"):
            receipt(journal, CASES[9], first, signer.verifier)


def test_the_commands_sign_verify_and_prove(small_home, tmp_path):
    home = shutil.copytree(small_home, tmp_path / "home")
    key, witness = tmp_path / "key.pem", tmp_path / "witness"
    witness.mkdir()

    def proveout(*words: object) -> subprocess.CompletedProcess[str]:
        command = [*PROVEOUT, *map(str, words)]
        environment = os.environ | {"PROVEOUT_HOME": str(home), "PROVEOUT_SIGNING_KEY": str(key)}
        environment |= {"PROVEOUT_WITNESS": str(witness)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=SCRIPT.parents[1])

    assert "make one: proveout checkpoint --new-key" in proveout("checkpoint").stderr
    signed = proveout("checkpoint", "--new-key", "me")
    public = signed.stdout.splitlines()[-1]
    assert signed.returncode == 0 and Verifier.parse(public).name == "me" and len(list(witness.iterdir())) == 1
    whole = proveout("verify", "--key", public)
    assert whole.returncode == 0 and "1 checkpoint agrees" in whole.stdout
    assert "neither a public key nor a file with one" in proveout("verify", "--key", "x" * 400).stderr
    with Journal(home / "journal.db") as journal:
        case = next(journal.decisions()).case.id
    assert proveout("export", tmp_path / "receipt.json", "--receipt", case[:16]).returncode == 0
    assert "decision" in script(tmp_path / "receipt.json", public).stdout
    assert "0 cases whose id begins with 'zzz'" in proveout("export", tmp_path / "x.json", "--receipt", "zzz").stderr
    with Journal(home / "journal.db") as journal:
        journal.append([Event(case, "label", {"labels": {}, "right": {}, "by": "ada", "class": ""})])
    assert proveout("run").returncode in (0, 66) and len(list(witness.iterdir())) == 2, "a run signs, for the witness, too"
    rewrite(home, lambda rows: rows.__delitem__(0))
    damaged = proveout("verify")
    assert damaged.returncode == 1 and "DAMAGED" in damaged.stdout
    assert "DAMAGED" in proveout("status").stdout

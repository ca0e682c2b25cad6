"""The keys of a workspace, and journals that are encrypted with them."""

import base64
import http.server
import json
import os
import secrets
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proveout.errors import BadInput, BadJournal
from proveout.journal import ERASURE, Event, Journal, schema
from proveout.journal.checkpoints import Checkpoints, Signer, receipt, written
from proveout.vault import Vault, cipher_of, open_sealed, seal
from proveout.vault.master import KeyService, master_key

SECRET = "Nora Whitfield owes $4,711.00"
SCRIPT = Path(__file__).parent.parent / "docs" / "check_receipt.py"


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault = Vault.create(tmp_path / "home")
    assert vault is not None
    return vault


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def other_process(code: str, *arguments: object, **environment: str) -> str:
    command = [sys.executable, "-c", f"import sys; from pathlib import Path; {code}", *map(str, arguments)]
    run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
    return run.stdout.strip()


def test_what_is_sealed_is_read_back_and_only_with_its_key_and_about_its_thing(vault: Vault) -> None:
    sealed = vault.seal("c1", b"content", "label of c1")
    assert vault.open("c1", sealed, "label of c1") == b"content"
    for name, changed, about in (
        ("c1", sealed[:-1] + bytes([sealed[-1] ^ 1]), "label of c1"),
        ("c1", sealed, "label of c2"),
        ("c1", b"short", "label of c1"),
    ):
        with pytest.raises(BadInput, match="was changed"):
            vault.open(name, changed, about)
    vault.ciphers(["c2"], create=True)
    with pytest.raises(BadInput, match="was changed"):
        vault.open("c2", sealed, "label of c1")
    with pytest.raises(BadInput, match=r"no key for c3; put the right keys\.db back"):
        vault.open("c3", sealed, "label of c1")


def test_a_destroyed_key_is_in_no_file_and_never_comes_back(vault: Vault) -> None:
    names = [f"c{n}" for n in range(500)]
    sealed = {name: vault.seal(name, b"content", "x") for name in names}
    wrapped = dict(vault._db.execute("SELECT name, wrapped FROM keys"))
    gone = names[::3]
    vault.destroy([*gone, "never used"])
    left = everything(vault.file.parent)
    assert not [name for name in gone if wrapped[name] in left], "not in the database, its log, or a free page"
    assert all(vault.open(name, sealed[name], "x") == b"content" for name in names if name not in gone)
    for name in (*gone[:3], "never used"):
        assert vault.erased(name) and vault.open(name, sealed.get(name, b""), "x") is None
        with pytest.raises(BadInput, match="was erased, so nothing can be added"):
            vault.seal(name, b"again", "x")
    assert vault.counts() == (500 - len(gone), len(gone) + 1)


def test_what_another_process_destroys_or_rotates_is_noticed(vault: Vault, tmp_path: Path) -> None:
    sealed = vault.seal("c1", b"content", "x")
    vault.seal("c2", b"content", "x")
    other_process("from proveout.vault import Vault; Vault.at(Path(sys.argv[1])).destroy(['c1'])", tmp_path / "home")
    assert vault.open("c1", sealed, "x") is None


def test_processes_that_need_a_key_at_the_same_time_get_the_same(vault: Vault, tmp_path: Path) -> None:
    code = (
        "from proveout.vault import Vault; vault = Vault.at(Path(sys.argv[1])); names = [f'c{n}' for n in range(300)];"
        "print(vault.seal('c7', b'from ' + sys.argv[2].encode(), 'x').hex() if vault.ciphers(names, create=True) else '')"
    )
    results: list[str] = []
    threads = [threading.Thread(target=lambda n=n: results.append(other_process(code, tmp_path / "home", n))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {vault.open("c7", bytes.fromhex(one), "x") for one in results} == {b"from %d" % n for n in range(4)}
    assert vault.counts() == (300, 0)


def test_rotation_wraps_every_key_anew_and_the_old_master_key_opens_nothing(vault: Vault, tmp_path: Path, monkeypatch) -> None:
    sealed = {name: vault.seal(name, name.encode(), "x") for name in ("c1", "c2")}
    vault.destroy(["c2"])
    before, new = everything(tmp_path / "home"), secrets.token_hex(32)
    rows = [wrapped for (wrapped,) in vault._db.execute("SELECT wrapped FROM keys WHERE length(wrapped) > 0")]
    master = master_key(new)
    assert master and vault.rotate(master) == 1
    assert vault.open("c1", sealed["c1"], "x") == b"c1" and vault.erased("c2")
    assert all(row in before and row not in everything(tmp_path / "home") for row in rows), "no old wrapping is left"
    copy = shutil.copytree(tmp_path / "home", tmp_path / "copy")
    with pytest.raises(BadInput, match=f"encrypted with the master key {master.name}, and PROVEOUT_MASTER_KEY gives"):
        Vault(copy / "keys.db").open("c1", sealed["c1"], "x")
    monkeypatch.setenv("PROVEOUT_MASTER_KEY", new)
    assert Vault(copy / "keys.db").open("c1", sealed["c1"], "x") == b"c1"


def test_the_master_key_is_made_once_outside_and_for_its_user_alone(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "config" / "proveout" / "master-key"
    monkeypatch.setenv("PROVEOUT_MASTER_KEY", str(file))
    before = os.umask(0)
    try:
        one, two = (Vault.create(tmp_path / name) for name in ("one", "two"))
    finally:
        os.umask(before)
    assert one and two and one.master == two.master
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and stat.S_IMODE(one.file.stat().st_mode) == 0o600
    one.ciphers(["c1"], create=True)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "one").iterdir()} == {0o600}
    file.chmod(0o640)
    with pytest.raises(BadInput, match="others can read the master key; chmod 600"):
        master_key()
    file.chmod(0o600)
    file.write_text("too short\n")
    with pytest.raises(BadInput, match="expected a master key of 64 hexadecimal digits, found 9 characters"):
        master_key()
    file.unlink()
    with pytest.raises(BadInput, match="the master key cannot be read"):
        master_key()
    monkeypatch.setenv("PROVEOUT_MASTER_KEY", "none")
    assert Vault.create(tmp_path / "three") is None and not (tmp_path / "three").exists()


@pytest.fixture
def key_service():
    """A key service on this machine, and what it was asked."""
    from proveout.vault.master import LocalKey

    key, asked = LocalKey(b"k" * 32), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, self.headers["Authorization"]))
            if self.path == "/v1/wrap":
                answer = {"ciphertext": base64.b64encode(key.wrap(base64.b64decode(body["plaintext"]))).decode()}
            else:
                plain = key.unwrap(base64.b64decode(body["ciphertext"]))
                answer = {"plaintext": base64.b64encode(plain).decode()} if plain else None
            self.send_response(200 if answer else 400)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()


def test_a_key_service_wraps_the_workspaces_key_and_is_asked_once(key_service, tmp_path: Path, monkeypatch) -> None:
    url, asked = key_service
    monkeypatch.setenv("PROVEOUT_MASTER_KEY", url)
    monkeypatch.setenv("PROVEOUT_KEY_SERVICE_TOKEN", "t0ken")
    vault = Vault.create(tmp_path / "home")
    assert vault
    sealed = [vault.seal(f"c{n}", b"content", "x") for n in range(50)]
    assert vault.open("c9", sealed[9], "x") == b"content" and vault.master == url
    assert asked == [("/v1/wrap", "Bearer t0ken"), ("/v1/unwrap", "Bearer t0ken")]
    assert KeyService(url).unwrap(b"by another key" * 3) is None
    with pytest.raises(BadInput, match="no answer of a key service"):
        KeyService("http://127.0.0.1:9").wrap(b"k" * 32)


def test_only_who_has_the_content_can_read_what_is_derived_from_it() -> None:
    sealed = seal(cipher_of(b"a document"), b"its text", "entry")
    assert open_sealed(cipher_of(b"a document"), sealed, "entry") == b"its text"
    with pytest.raises(BadInput):
        open_sealed(cipher_of(b"another document"), sealed, "entry")


def events(journal: Journal) -> list[tuple[str, object]]:
    return [(event.case, event.payload) for event in journal.events()]


def label(case: str, text: str = SECRET) -> Event:
    return Event(case, "label", {"labels": {"total": text}, "by": "ada", "right": {}})


def test_a_journal_of_before_stays_readable_and_what_follows_is_encrypted(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        journal.append([label("c1", "in the clear")])
    Vault.create(tmp_path)
    with Journal(tmp_path / "journal.db") as journal:
        journal.append([label("c1"), label("")])
        assert [payload["labels"]["total"] for _, payload in events(journal)] == ["in the clear", SECRET, SECRET]
        assert journal.verify().whole
    stored = everything(tmp_path)
    assert b"in the clear" in stored and SECRET.encode() not in stored
    for file in tmp_path.glob("keys.db*"):
        file.unlink()
    with Journal(tmp_path / "journal.db") as journal:
        assert journal.verify().whole, "needs no key"
        with pytest.raises(BadJournal, match=r"keys\.db is missing"):
            events(journal)


def test_values_that_another_case_remembers_are_erased_with_their_own_case(tmp_path: Path) -> None:
    vault = Vault.create(tmp_path)
    assert vault
    similar = [["c1", 0.9, {"customer": SECRET}], ["c1#2", 0.8, {"customer": SECRET}], ["learned", 0.7, {"customer": "B"}]]
    with Journal(tmp_path / "journal.db") as journal:
        journal.append([label("c1")])
        journal.append([Event("c2", "decision", {"run": "r", "decision": {"similar": similar}}, key="c2")])
        (event,) = journal.of_kind("decision")
        assert event.payload["decision"]["similar"] == similar
        vault.destroy(["c1"])
        (event,) = journal.events()
        assert [one[2] for one in event.payload["decision"]["similar"]] == [{}, {}, {"customer": "B"}]
        with pytest.raises(BadInput, match="case c1 was erased, so nothing can be added"):
            journal.append([label("c1")])
        journal.append([Event("c1", ERASURE, {"by": "ada"}, key="c1")])
        assert journal.verify().because == "3 events, all unchanged; the content of 1 case was erased"


def test_events_in_the_clear_are_emptied_and_the_chain_holds(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.db") as journal:
        for n in range(200):
            journal.append([label(f"c{n % 7}", f"{SECRET} {n % 7}-")])
        before = journal.verify()
        journal.append([Event("c3", ERASURE, {"by": "ada"}, key="c3")])
        assert journal.empty("c3") == 29 and journal.empty("c3") == 0
        assert journal.verify().whole and before.whole
        assert [case for case, _ in events(journal)].count("c3") == 1, "only the erasure is left"
    stored = everything(tmp_path)
    assert f"{SECRET} 3-".encode() not in stored and f"{SECRET} 4-".encode() in stored


def test_an_older_journal_is_left_as_it_is_until_something_in_it_is_erased(tmp_path: Path, monkeypatch) -> None:
    from alembic import command

    upgrade = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", lambda config, _: upgrade(config, "0001"))
        with Journal(tmp_path / "journal.db") as journal:
            journal.append([label("c1"), label("c2")])

    def version() -> str:
        with sqlite3.connect(tmp_path / "journal.db") as connection:
            return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])

    with Journal(tmp_path / "journal.db") as journal:
        assert journal.verify().whole and version() == "0001", "a release of then can read it"
        journal.append([Event("c1", ERASURE, {"by": "ada"}, key="c1")])
        assert journal.empty("c1") == 1 and version() == schema.HEAD
        assert journal.verify().whole


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_receipt_is_checked_without_keys_before_and_after_the_case_is_erased(tmp_path: Path, encrypted: bool) -> None:
    signer = Signer.create(tmp_path / "key.pem", "archive.example.com")
    vault = Vault.create(tmp_path) if encrypted else None
    kept = Checkpoints(tmp_path / "checkpoints", "proveout/invoices")

    def checked(text: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "receipt.json").write_text(text, encoding="utf-8")
        command = [sys.executable, "-I", SCRIPT, tmp_path / "receipt.json", str(signer.verifier)]
        return subprocess.run(command, capture_output=True, text=True)

    with Journal(tmp_path / "journal.db") as journal:
        for n in range(9):
            journal.append([label(f"c{n % 3}")])
        note = kept.add(journal, signer)
        before = written(receipt(journal, "c1", note, signer.verifier))
        assert checked(before).stdout.count(SECRET) == 3
        forged = json.loads(before)
        for event in forged["events"]:
            event.update({name: text.replace("4,711", "9,711") for name, text in event.items() if isinstance(text, str)})
        assert checked(json.dumps(forged)).returncode == 1
        journal.append([Event("c1", ERASURE, {"by": "ada"}, key="c1")])
        if vault:
            vault.destroy(["c1"])
        journal.empty("c1")
        assert kept.check(journal, [signer.verifier]).whole
        after = checked(written(receipt(journal, "c1", note, signer.verifier)))
        assert after.returncode == 0 and after.stdout.count("(erased)") == 3 and SECRET not in after.stdout
        later = checked(written(receipt(journal, "c1", kept.add(journal, signer), signer.verifier)))
        assert later.returncode == 0 and later.stdout.count("erasure") == 1
        assert checked(before).returncode == 0, "what somebody was given stays true"

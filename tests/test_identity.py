"""Accounts, sessions and tokens: who gets access, for how long, and what a thief or a guesser gets."""

import io
import re
import sqlite3
import stat
import threading

import pytest
from argon2 import PasswordHasher

from proveout.cli import main
from proveout.errors import BadInput, NoEntry
from proveout.identity import FREE_TRIES, IDLE_SESSION, LONGEST_WAIT, WHOLE_SESSION, Accounts, Role

PASSWORD = "correct horse battery"
QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)  # argon2id too, at a cost for tests


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def accounts(tmp_path, clock):
    with Accounts(tmp_path / "accounts.db", clock, QUICK) as opened:
        opened.add("ada", Role.REVIEWER, PASSWORD)
        yield opened


def refused(accounts: Accounts, name: str = "ada", password: str = "wrong", address: str = "192.0.2.1") -> NoEntry:
    with pytest.raises(NoEntry) as caught:
        accounts.sign_in(name, password, address)
    return caught.value


def everything_stored(accounts: Accounts) -> bytes:
    return b"".join(path.read_bytes() for path in accounts.path.parent.glob("accounts.db*"))


def test_nobody_is_there_by_default(tmp_path):
    with Accounts(tmp_path / "accounts.db", hasher=QUICK) as accounts:
        assert len(accounts) == 0
        for name, password in [("admin", "admin"), ("root", ""), ("", "")]:
            refused(accounts, name, password)


def test_a_person_signs_in_and_is_known_until_signing_out(accounts):
    key = accounts.sign_in(" Ada ", PASSWORD, "192.0.2.1")
    account = accounts.session(key)
    assert account is not None
    assert (account.name, account.role) == ("ada", Role.REVIEWER)
    accounts.sign_out(key)
    assert accounts.session(key) is None


def test_the_same_password_composed_otherwise_is_the_same(accounts):
    accounts.add("zoe", Role.READER, "sch\u00f6ne gr\u00fc\u00dfe 1")
    assert accounts.sign_in("zoe", "scho\u0308ne gru\u0308\u00dfe 1", "192.0.2.1")


@pytest.mark.parametrize(
    ("name", "password", "message"),
    [
        ("Ada Lovelace", PASSWORD, "lowercase letters"),
        ("../etc", PASSWORD, "lowercase letters"),
        ("", PASSWORD, "lowercase letters"),
        ("ada", PASSWORD, "account 'ada' already exists"),
        ("bob", "eleven-char", "11 characters, expected 12"),
        ("bob", "x" * 2000, "expected 12 to 1024"),
        ("long-name-of-bob", "LONG-name-of-bob", "the account's name"),
    ],
)
def test_what_cannot_be_an_account_is_refused(accounts, name, password, message):
    with pytest.raises(BadInput, match=message):
        accounts.add(name, Role.READER, password)
    assert [account.name for account in accounts] == ["ada"]


def test_the_file_holds_no_password_session_or_token(accounts):
    key, token = accounts.sign_in("ada", PASSWORD, "192.0.2.1"), accounts.new_token("ada", "robot")
    stored = everything_stored(accounts)
    assert b"$argon2id$" in stored
    for secret in (PASSWORD, key, token):
        assert secret.encode() not in stored


def test_only_its_owner_may_read_the_file(accounts):
    for path in accounts.path.parent.glob("accounts.db*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path


def test_a_file_that_others_could_read_is_closed_to_them(tmp_path):
    path = tmp_path / "accounts.db"
    path.touch(mode=0o644)
    Accounts(path, hasher=QUICK).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_failures_in_a_row_make_the_next_try_wait_longer_and_longer(accounts, clock):
    for _ in range(FREE_TRIES["account"]):
        assert refused(accounts).wait == 0
    waits = []
    for _ in range(9):
        early = refused(accounts, password=PASSWORD)  # even the right one
        waits.append(early.wait)
        clock.now += early.wait
        assert refused(accounts).wait == 0
    assert waits[:3] == [15.0, 30.0, 60.0]
    assert waits[-1] == LONGEST_WAIT
    clock.now += LONGEST_WAIT
    assert accounts.sign_in("ada", PASSWORD, "192.0.2.1")
    assert refused(accounts).wait == 0, "a success forgives"


def test_a_restart_forgives_no_failure(accounts, clock):
    for _ in range(FREE_TRIES["account"]):
        refused(accounts)
    with Accounts(accounts.path, clock, QUICK) as again:
        assert refused(again, password=PASSWORD).wait > 0


def test_an_unknown_name_gets_the_same_answers_as_a_known_one(accounts):
    answers = {name: [(str(one := refused(accounts, name)), one.wait) for _ in range(7)] for name in ("ada", "eve")}
    assert answers["ada"] == answers["eve"]


def test_an_unknown_name_costs_the_same_work(tmp_path, clock):
    class Counting(PasswordHasher):
        asked = 0

        def verify(self, hash, password):
            self.asked += 1
            return super().verify(hash, password)

    hasher = Counting(time_cost=1, memory_cost=64, parallelism=1)
    with Accounts(tmp_path / "accounts.db", clock, hasher) as accounts:
        accounts.add("ada", Role.READER, PASSWORD)
        for name in ("ada", "eve"):
            refused(accounts, name)
        assert hasher.asked == 2


def test_one_address_cannot_try_many_names(accounts):
    for number in range(FREE_TRIES["address"]):
        assert refused(accounts, f"name{number}").wait == 0
    assert refused(accounts, "another").wait > 0
    assert refused(accounts, "another", address="192.0.2.2").wait == 0


def test_signing_in_oneself_between_guesses_does_not_forgive_an_address(accounts):
    for number in range(FREE_TRIES["address"]):
        refused(accounts, f"name{number}")
        if number % 3 == 0 and number < FREE_TRIES["address"] - 1:
            accounts.sign_in("ada", PASSWORD, "192.0.2.1")
    assert refused(accounts, "another").wait > 0


def test_many_guesses_at_once_are_no_more_than_one_after_the_other(accounts):
    outcomes: list[float] = []

    def guess() -> None:
        outcomes.append(refused(accounts).wait)

    threads = [threading.Thread(target=guess) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count(0.0) == FREE_TRIES["account"]


@pytest.mark.parametrize(
    ("steps", "valid"),
    [
        ([IDLE_SESSION - 1], True),
        ([IDLE_SESSION + 1], False),
        ([IDLE_SESSION / 2] * 20, True),
        ([IDLE_SESSION / 2] * 25, False),
        ([WHOLE_SESSION + 1], False),
    ],
    ids=["idle for less", "idle for longer", "used for ten hours", "used for longer than a day's work", "left alone"],
)
def test_a_session_ends_by_itself(accounts, clock, steps, valid):
    key = accounts.sign_in("ada", PASSWORD, "192.0.2.1")
    for step in steps:
        clock.now += step
        account = accounts.session(key)
    assert (account is not None) == valid


def test_a_new_password_ends_every_session(accounts):
    key = accounts.sign_in("ada", PASSWORD, "192.0.2.1")
    accounts.change_password("ada", "another good password")
    assert accounts.session(key) is None
    refused(accounts, password=PASSWORD)
    assert accounts.sign_in("ada", "another good password", "192.0.2.1")


def test_a_removed_account_is_gone_with_its_sessions_and_tokens(accounts):
    key, token = accounts.sign_in("ada", PASSWORD, "192.0.2.1"), accounts.new_token("ada", "robot")
    accounts.remove("ada")
    accounts.add("ada", Role.OPERATOR, PASSWORD)
    assert accounts.session(key) is None
    assert accounts.by_token(token) is None


def test_a_token_stands_for_its_account_until_it_is_revoked(accounts):
    token = accounts.new_token("ada", "robot")
    account = accounts.by_token(token)
    assert account is not None and account.role is Role.REVIEWER
    assert next(iter(accounts)).tokens == ("robot",)
    assert accounts.session(token) is None, "a token is no session"
    accounts.revoke("ada", "robot")
    assert accounts.by_token(token) is None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda accounts: accounts.remove("eve"), "no account 'eve'; there are: ada"),
        (lambda accounts: accounts.change_password("eve", PASSWORD), "no account 'eve'"),
        (lambda accounts: accounts.new_token("eve", "robot"), "no account 'eve'"),
        (lambda accounts: accounts.new_token("ada", "\x1b[31m"), "cannot label a token"),
        (lambda accounts: [accounts.new_token("ada", "robot") for _ in range(2)], "already has a token 'robot'"),
        (lambda accounts: accounts.revoke("ada", "robot"), "no token 'robot'; there are: none"),
    ],
)
def test_a_slip_is_answered_with_the_valid_choices(accounts, act, message):
    with pytest.raises(BadInput, match=message):
        act(accounts)


def test_a_password_is_hashed_anew_when_the_parameters_change(accounts, clock):
    before = QUICK_HASH.search(everything_stored(accounts).decode("latin-1"))
    assert before is not None
    with Accounts(accounts.path, clock, PasswordHasher(time_cost=2, memory_cost=128, parallelism=1)) as stronger:
        assert stronger.sign_in("ada", PASSWORD, "192.0.2.1")
        (hashed,) = sqlite3.connect(accounts.path).execute("SELECT password FROM accounts").fetchone()
        assert "m=128,t=2" in hashed
        assert stronger.sign_in("ada", PASSWORD, "192.0.2.1")


QUICK_HASH = re.compile(r"m=64,t=1")


def test_what_is_no_file_of_accounts_is_left_alone(tmp_path):
    path = tmp_path / "accounts.db"
    path.write_text("a letter to somebody, longer than the header of a database " * 20)
    before = path.read_bytes()
    with pytest.raises(BadInput, match="cannot be opened as accounts"):
        Accounts(path, hasher=QUICK)
    assert path.read_bytes() == before


@pytest.fixture
def proveout(tmp_path, monkeypatch, capsys):
    """The command line in this process: (exit code, standard output, standard error)."""

    def run(*words: str, typed: str = "") -> tuple[object, str, str]:
        monkeypatch.setattr("sys.argv", ["proveout", *words])
        monkeypatch.setattr("sys.stdin", io.StringIO(typed))
        monkeypatch.setenv("PROVEOUT_HOME", str(tmp_path))
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    return run


def test_the_command_line_keeps_accounts(proveout, tmp_path):
    code, *_ = proveout("user", "add", "ada", "--role", "operator", "--password-stdin", typed=f"{PASSWORD}\n")
    assert code == 0
    token = proveout("user", "token", "ada", "robot")[1].strip()
    with Accounts(tmp_path / "accounts.db") as accounts:
        account = accounts.by_token(token)
        assert account is not None and account.role is Role.OPERATOR
        assert accounts.sign_in("ada", PASSWORD, "192.0.2.1")
    assert re.search(r"ada +operator +since .* tokens: robot", proveout("user", "list")[1])


@pytest.mark.parametrize(
    ("words", "typed", "message"),
    [
        (("add", "ada", "--role", "king", "--password-stdin"), PASSWORD, "expected one of: reader, reviewer, operator"),
        (("add", "ada", "--role", "reader", "--password-stdin"), "short", "5 characters, expected 12"),
        (("add", "ada", "--role", "reader"), PASSWORD, "--password-stdin"),
        (("remove", "ada"), "", "no account 'ada'; there are: none"),
    ],
)
def test_a_slip_on_the_command_line_makes_no_account(proveout, words, typed, message):
    code, _, errors = proveout("user", *words, typed=typed)
    assert code == 1 and message in errors
    assert "no account" in proveout("user", "list")[1]

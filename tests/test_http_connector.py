"""A payment is made once over HTTP, however the counterparty breaks and whenever we are killed."""

import multiprocessing
import os
import re
import signal
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from counterparty import Counterparty
from program import PATIENCE
from proveout import connectors, mission
from proveout.connectors import Outcome, State, carry_out, undo
from proveout.connectors.http import HttpConnector
from proveout.errors import BadMission
from proveout.journal import Journal
from proveout.journal.intentions import ATTEMPTS
from proveout.records import Action

DESIGN = yaml.safe_load((Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml").read_text())


@pytest.fixture
def action() -> Action:
    return Action("pay_invoice", {"amount": "12.50"}, f"invoices:pay_invoice:{uuid4()}", compensation="recall_payment")


def connector(counterparty: Counterparty, **settings: object) -> HttpConnector:
    return HttpConnector(counterparty.settings(**settings), Path(), Path)


def requests(counterparty: Counterparty, action: Action) -> list[tuple[str, int, int]]:
    """State, cents, and how many requests came under the action's key, of each payment."""
    return [(each["state"], each["cents"], each["requests"]) for each in counterparty.payments(action.key)]


ONCE = [("paid", 1250, 1)]


@pytest.mark.parametrize(
    ("fault", "settings", "came"),
    [
        ({"name": "503", "requests": 2}, {}, ONCE),
        ({"name": "500", "requests": 2}, {}, ONCE),
        ({"name": "429"}, {}, ONCE),
        ({"name": "409"}, {}, ONCE),
        ({"name": "reset", "requests": 2}, {}, ONCE),
        ({"name": "time-out before", "seconds": 0.6}, {"timeout_seconds": 0.2}, ONCE),
        ({"name": "time-out after", "seconds": 0.6}, {"timeout_seconds": 0.2}, ONCE),
        ({"name": "slow", "seconds": 3}, {"timeout_seconds": 0.3}, ONCE),
        ({"name": "slow", "seconds": 0.2}, {}, ONCE),
        ({"name": "torn"}, {}, ONCE),
        ({"name": "not json"}, {}, ONCE),
        ({"name": "time-out after", "seconds": 3}, {"timeout_seconds": 1, "lookup": ""}, [("paid", 1250, 2)]),
        ({"name": "torn"}, {"lookup": ""}, [("paid", 1250, 2)]),
        ({"name": "not json"}, {"lookup": ""}, [("paid", 1250, 2)]),
        ({"name": "time-out after", "seconds": 0.6}, {"timeout_seconds": 0.2, "idempotency_header": ""}, ONCE),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else "",
)
def test_one_payment_is_made_whatever_breaks_on_the_way(counterparty, action, fault, settings, came) -> None:
    counterparty.fault(**fault)
    outcome = connector(counterparty, **settings).perform("c1", action)
    assert outcome.state is State.DONE and outcome.because.startswith("HTTP 20")
    assert requests(counterparty, action) == came


def test_a_counterparty_that_stays_down_is_a_dead_letter_and_a_retry_pays(counterparty, action, tmp_path: Path) -> None:
    counterparty.fault("503", requests=3 * ATTEMPTS)
    hands = {"pay_invoice": connector(counterparty)}
    with Journal(tmp_path / "journal.db") as journal:
        journal.intend("c1", action, "today", 1250)
        for _ in range(ATTEMPTS):
            ((_, outcome),) = carry_out(journal, hands, lambda: "", keys={action.key})
        assert outcome == Outcome(State.DEAD, 'HTTP 503: {"reason": "fault 503"}')
        assert requests(counterparty, action) == []
        journal.retry(action.key, "ada")
        ((_, outcome),) = carry_out(journal, hands, lambda: "")
        assert outcome.state is State.DONE and requests(counterparty, action) == ONCE


def test_what_may_have_happened_is_not_sent_again_before_it_could_be_asked(counterparty, action, closed_port) -> None:
    counterparty.fault("time-out after", seconds=0.6)
    blind = connector(counterparty, timeout_seconds=0.2, lookup=f"http://127.0.0.1:{closed_port}/{{key}}")
    outcome = blind.perform("c1", action)
    assert outcome.state is State.UNKNOWN and "no answer within 0.2 s" in outcome.because
    time.sleep(0.5)
    assert requests(counterparty, action) == ONCE


def test_without_lookup_an_effect_that_may_have_happened_is_unknown(counterparty, action) -> None:
    counterparty.fault("time-out after", seconds=0.4, requests=3)
    outcome = connector(counterparty, timeout_seconds=0.1, lookup="").perform("c1", action)
    assert outcome.state is State.UNKNOWN and requests(counterparty, action) == [("paid", 1250, 3)]


@pytest.mark.parametrize(
    ("status", "state"),
    [("400", State.REFUSED), ("402", State.REFUSED), ("401", State.FAILED), ("404", State.FAILED), ("503", State.UNREACHABLE)],
)
def test_a_refusal_is_for_good_and_a_fault_of_ours_is_not(counterparty, action, status: str, state: State) -> None:
    counterparty.fault(status, requests=2)
    one = connector(counterparty, attempts=1)
    assert one.perform("c1", action) == Outcome(state, f'HTTP {status}: {{"reason": "fault {status}"}}')
    counterparty.fault("503", requests=0)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


def test_retry_after_is_kept_and_nobody_waits_for_an_hour(counterparty, action, pauses) -> None:
    counterparty.fault("429", retry_after=7)
    assert connector(counterparty).perform("c1", action).state is State.DONE and pauses == [7]
    counterparty.fault("503", retry_after=3600, requests=2)
    assert connector(counterparty).perform("c2", action).state is State.UNREACHABLE and pauses == [7]
    counterparty.fault("503", requests=0)


def test_pauses_double_with_full_jitter(counterparty, action, pauses) -> None:
    counterparty.fault("503", requests=40)
    for _ in range(10):
        connector(counterparty, backoff_seconds=1, attempts=4).perform("c1", action)
    for longest, some in zip((1, 2, 4), (pauses[0::3], pauses[1::3], pauses[2::3]), strict=True):
        assert len(some) == 10 and 0 <= min(some) < max(some) <= longest and len(set(some)) == 10
    assert max(pauses) > 1


@pytest.fixture
def closed_port():
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_who_is_not_there_is_unreachable(counterparty, action, closed_port) -> None:
    nobody = connector(counterparty, url=f"http://127.0.0.1:{closed_port}/payments")
    outcome = nobody.perform("c1", action)
    assert outcome.state is State.UNREACHABLE and f"127.0.0.1:{closed_port} cannot be reached" in outcome.because


def test_a_payment_is_taken_back_once_also_when_the_answer_is_lost(counterparty, action) -> None:
    pays = connector(counterparty)
    back = pays.compensation()
    pays.perform("c1", action)
    assert [back.perform("c1", undo(action)).state for _ in range(2)] == [State.DONE, State.DONE]
    assert requests(counterparty, action) == [("taken back", 1250, 1)]
    wrong = connector(counterparty, undo={"url": f"{counterparty.url}/elsewhere/{{key}}"}).compensation()
    assert wrong.perform("c1", undo(action)).state is State.FAILED, "a wrong address takes nothing back"


class Echo(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        text = f"no account for {self.headers['Authorization']}".encode()
        self.send_response(400)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None: ...


def test_a_secret_comes_from_the_environment_and_into_no_message(counterparty, action, monkeypatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    echoes = connector(
        counterparty,
        url=f"http://127.0.0.1:{server.server_port}",
        headers={"Authorization": "Bearer ${BANK_TOKEN}"},
    )
    monkeypatch.setenv("BANK_TOKEN", "s3cr3t\n")
    assert echoes.perform("c1", action) == Outcome(State.REFUSED, "HTTP 400: no account for Bearer ***")
    monkeypatch.setenv("BANK_TOKEN", "s3\ncr3t")
    with pytest.raises(ValueError, match=r"Bearer \$\{BANK_TOKEN\} has characters that are not allowed in a header"):
        echoes.perform("c1", action)
    monkeypatch.delenv("BANK_TOKEN")
    with pytest.raises(LookupError, match="the environment variable BANK_TOKEN is not set"):
        echoes.perform("c1", action)
    server.shutdown()
    server.server_close()


URL = "https://bank.example/payments"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "settings: `url` is missing"),
        ({"url": "bank"}, "expected an address such as https://"),
        ({"url": "https://ada:pw@bank.example"}, "found a password in the address"),
        ({"url": URL, "headers": {"X-Api-Key": "abc"}}, "X-Api-Key contains a secret; use an environment variable"),
        ({"url": URL, "lookup": URL}, "expected an address with {key}"),
        ({"url": URL, "idempotency_header": ""}, "nothing prevents an effect from happening twice"),
        ({"url": URL, "time_out": 3}, "unknown setting `time_out`; did you mean `timeout_seconds`?"),
        ({"url": URL}, "actions.pay_invoice.undone_by: the connector `http` cannot take back what it did"),
    ],
)
def test_settings_that_could_harm_are_refused_with_the_mission(tmp_path: Path, settings: dict, message: str) -> None:
    pays = {"connector": "http", "settings": settings, "arguments": {"amount": "gross_amount"}, "undone_by": "recall_payment"}
    (tmp_path / "mission.yaml").write_text(yaml.safe_dump({**DESIGN, "actions": {"pay_invoice": pays}}))
    with pytest.raises(BadMission) as refused:
        mission.load(tmp_path / "mission.yaml")
    assert message in str(refused.value)
    assert "abc" not in str(refused.value) and ":pw@" not in str(refused.value), "a secret is in no message"


def test_two_actions_are_not_undone_under_one_name(tmp_path: Path) -> None:
    one = {"connector": "http", "settings": {"url": URL, "undo": {"url": f"{URL}/{{key}}"}}, "undone_by": "cancel"}
    (tmp_path / "mission.yaml").write_text(yaml.safe_dump({**DESIGN, "actions": {"order": one, "book": one}}))
    with pytest.raises(BadMission, match=r"actions\.order\.undone_by: the name `cancel` is used more than once"):
        mission.load(tmp_path / "mission.yaml")


def test_the_way_by_http_that_the_mission_shows_is_valid(counterparty, action, tmp_path, monkeypatch) -> None:
    text = (Path(__file__).parent.parent / "pipelines" / "invoices" / "mission.yaml").read_text()
    example = re.search(r"((?:  #   .*\n)+)", text)[1].replace("  #   ", "  ")
    pays = yaml.safe_load(example.replace("http://127.0.0.1:8400/payments", counterparty.url))
    (tmp_path / "mission.yaml").write_text(yaml.safe_dump({**DESIGN, "actions": pays}))
    hands = connectors.of(mission.load(tmp_path / "mission.yaml"), tmp_path, Path)
    monkeypatch.setenv("BANK_TOKEN", "any")
    assert hands["pay_invoice"].perform("c1", action).state is State.DONE
    assert hands["recall_payment"].perform("c1", undo(action)).state is State.DONE
    assert requests(counterparty, action) == [("taken back", 1250, 1)]


def live(home: Path, settings: object, action: Action, boundary: str) -> None:
    """A run that intends a payment and carries it out; at the boundary it kills itself."""

    def die(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    asks, settles = HttpConnector._request, Journal.settle

    def ask(self: HttpConnector, method: str, url: str, **rest: object) -> object:
        if boundary == f"before {method}":
            die()
        answer = asks(self, method, url, **rest)
        if boundary == f"after {method}":
            die()
        return answer

    def settle(*arguments: object) -> bool:
        if boundary == "before the outcome is recorded":
            die()
        settled = settles(*arguments)
        if boundary == "after the outcome":
            die()
        return settled

    HttpConnector._request, Journal.settle = ask, settle
    if boundary == "after a time-out":
        time.sleep = die
    journal = Journal(home / "journal.db")
    journal.intend("c1", action, "today", 1250)
    if boundary == "after the intention":
        die()
    carry_out(journal, {"pay_invoice": HttpConnector(settings, home, Path)}, lambda: "")


def exit_code(*arguments: object) -> int | None:
    child = multiprocessing.get_context("fork").Process(target=live, args=arguments)
    child.start()
    child.join(PATIENCE)
    return child.exitcode


ANYWAY = [
    "after the intention",
    "before POST",
    "after POST",
    "after a time-out",
    "before the outcome is recorded",
    "after the outcome",
]


ASKED = ["before GET", "after GET", *ANYWAY]


@pytest.mark.parametrize(("boundary", "lookup"), [(at, True) for at in ASKED] + [(at, False) for at in ANYWAY])
def test_a_run_that_is_killed_is_continued_with_one_payment(counterparty, action, tmp_path, boundary, lookup) -> None:
    settings = counterparty.settings(timeout_seconds=0.5, **({} if lookup else {"lookup": ""}))
    if boundary == "after a time-out":
        counterparty.fault("time-out after", seconds=1)
    assert exit_code(tmp_path, settings, action, boundary) == -signal.SIGKILL
    assert exit_code(tmp_path, settings, action, "never") == 0  # the restart does the same and is not killed

    (payment,) = counterparty.payments(action.key)
    happened = boundary in ("after POST", "after a time-out", "before the outcome is recorded")
    assert (payment["state"], payment["cents"]) == ("paid", 1250)
    assert payment["requests"] == (2 if happened and not lookup else 1), "what could be asked is not sent again"
    with Journal(tmp_path / "journal.db") as journal:
        assert [event.kind for event in journal.events("c1")] == ["effect intended", "effect settled"]
        assert journal.verify().whole

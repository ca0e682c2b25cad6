"""An alarm reaches every channel once; a channel that fails is reported and tried again."""

import email
import email.policy
import http.server
import json
import socketserver
import threading
from pathlib import Path

import pytest
from pydantic import BaseModel

from proveout import monitoring, plugins
from proveout.errors import BadInput
from proveout.monitoring.channels import Alarm, failures, notify

ALARM = Alarm("invoices", "New suppliers since 1 September.", ("Answer the cases below.",), "report.html")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_same_alarm_is_sent_once_and_a_new_one_is_sent(tmp_path: Path) -> None:
    channels = {"file": {"path": "alarms.jsonl"}}
    assert notify(ALARM, channels, tmp_path) == notify(ALARM, channels, tmp_path) == []
    notify(Alarm("invoices", "Something else.", (), "report.html"), channels, tmp_path)
    assert [line["headline"] for line in lines(tmp_path / "alarms.jsonl")] == [ALARM.headline, "Something else."]


class Broken:
    """A channel that works from the fifth attempt on."""

    tries = 0

    class Settings(BaseModel):
        pass

    def __init__(self, settings: Settings, home: Path) -> None:
        self.home = home

    def send(self, alarm: Alarm) -> None:
        Broken.tries += 1
        if Broken.tries < 5:
            raise ConnectionError("the mail server is away")
        (self.home / "sent").write_text(alarm.headline)


def test_a_channel_that_fails_is_reported_stops_no_other_and_is_tried_with_the_next_report(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(plugins.BUILT_IN["channels"], "mail", f"{__name__}:Broken")
    channels = {"mail": {}, "file": {"path": "alarms.jsonl"}}
    (failure,) = notify(ALARM, channels, tmp_path, pause=0.01)
    assert failure == "cannot send the alarm to channel `mail`: ConnectionError: the mail server is away"
    assert failures(tmp_path) == [failure] and Broken.tries == 3
    assert notify(ALARM, channels, tmp_path, pause=0.01) == notify(ALARM, channels, tmp_path) == failures(tmp_path) == []
    assert Broken.tries == 5 and (tmp_path / "sent").exists()
    assert len(lines(tmp_path / "alarms.jsonl")) == 1


class Mailbox(socketserver.StreamRequestHandler):
    """An SMTP server that refuses two messages, then takes each; `taken` keeps them."""

    tries, taken = 0, []

    def handle(self) -> None:
        self.answer(220, "here")
        while line := self.rfile.readline().decode().strip():
            match line.partition(" ")[0].upper():
                case "DATA":
                    self.answer(354, "go on")
                    message = b"".join(iter(self.rfile.readline, b".\r\n"))
                    Mailbox.tries += 1
                    if Mailbox.tries > 2:
                        Mailbox.taken.append(email.message_from_bytes(message, policy=email.policy.default))
                    self.answer(*(250, "taken") if Mailbox.tries > 2 else (451, "try again later"))
                case "QUIT":
                    return self.answer(221, "bye")
                case _:
                    self.answer(250, "ok")

    def answer(self, code: int, text: str) -> None:
        self.wfile.write(f"{code} {text}\r\n".encode())


class Hook(http.server.BaseHTTPRequestHandler):
    """A webhook that fails twice, then takes each post; `taken` keeps them."""

    tries, taken = 0, []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Hook.tries += 1
        if Hook.tries > 2:
            Hook.taken.append(body)
        self.send_response(200 if Hook.tries > 2 else 503)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def listening():
    servers = [socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) for handler in (Mailbox, Hook)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_address[1] for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def test_email_and_webhook_that_fail_twice_get_the_alarm_once(tmp_path: Path, listening, monkeypatch) -> None:
    smtp, hook = listening
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{hook}/secret")
    mail = {"host": "127.0.0.1", "port": smtp, "security": "none", "sender": "p@example.com", "to": ["a@example.com"]}
    channels = {"email": mail, "webhook": {"url": "${HOOK}"}}
    assert notify(ALARM, channels, tmp_path, pause=0.01) == notify(ALARM, channels, tmp_path) == []
    (message,), (posted,) = Mailbox.taken, Hook.taken
    assert message["To"] == "a@example.com" and message["Subject"] == "Proveout, invoices: New suppliers since 1 September."
    assert message.get_content().splitlines() == posted["text"].splitlines() == [
        "invoices (warning): New suppliers since 1 September.", "• Answer the cases below.", "report.html",
    ]  # fmt: skip


def test_a_failure_names_the_host_and_no_secret(tmp_path: Path, listening, monkeypatch) -> None:
    monkeypatch.setattr(Hook, "tries", -9)
    monkeypatch.setenv("HOOK", f"http://127.0.0.1:{listening[1]}/secret")
    (failure,) = notify(ALARM, {"webhook": {"url": "${HOOK}"}}, tmp_path, pause=0.01)
    assert failure == "cannot send the alarm to channel `webhook`: ConnectionError: 127.0.0.1 answered 503"
    (failure,) = notify(ALARM, {"webhook": {"url": "${HOOCK}"}}, tmp_path)
    assert failure.endswith("the environment variable HOOCK is not set")


@pytest.mark.parametrize(
    ("channels", "message"),
    [
        ("{fil: {}}", "unknown alert channel `fil`; did you mean `file`?"),
        ("{file: {paht: x}}", "file.paht: extra inputs are not permitted"),
    ],
)
def test_an_unusable_channel_is_refused_when_the_alerts_are_read(tmp_path: Path, channels: str, message: str) -> None:
    (tmp_path / "alerts.yaml").write_text(f"channels: {channels}\n")
    with pytest.raises(BadInput) as refused:
        monitoring.load(tmp_path / "alerts.yaml")
    assert message in str(refused.value)

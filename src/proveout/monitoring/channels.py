"""Send an alarm to the channels of `alerts.yaml`. Entry point: `notify`.

    channels:
      file: {path: alarms.jsonl}
      webhook: {url: "${SLACK_WEBHOOK}"}     # from an environment variable
      email: {host: mail.example, sender: proveout@example.com, to: [ada@example.com]}

To add a channel, write a class with the members of `Channel` and list it in `plugins`, or in your own package by an entry point
(docs/extending.md).
Covered: each channel gets an alarm once; one that fails is tried three times, then reported, here and in `failures`, and tried
again with the next report; it does not stop the others.
Not covered: a service that takes the alarm and then fails to say so gets it twice; e-mails then have the same Message-ID.
"""

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from proveout import plugins
from proveout.errors import BadInput
from proveout.files import read_object, write_whole

RECORD = "alarms.json"  # in the workspace: what each channel got last, and which failed
ATTEMPTS, PAUSE = 3, 1.0  # of one alarm at one channel; seconds before the second


@dataclass(frozen=True)
class Alarm:
    mission: str
    headline: str  # the report in a sentence or two
    advice: Sequence[str]  # what to do, a sentence each
    report: str  # path of the page
    severity: str = "warning"  # info, warning or critical
    owners: Sequence[str] = ()
    done: Sequence[str] = ()  # what followed at once, by the rules of the alerts, a sentence each

    @property
    def key(self) -> str:
        """Equal for alarms with the same headline."""
        return hashlib.sha256(f"{self.mission}\n{self.headline}".encode()).hexdigest()[:16]

    @property
    def text(self) -> str:
        """For people: the headline, what to do, and where the report is."""
        whom = f", for {' and '.join(self.owners)}" if self.owners else ""
        points = [*(f"done: {sentence}" for sentence in self.done), *self.advice]
        first = f"{self.mission} ({self.severity}{whom}): {self.headline}"
        return "\n".join([first, *(f"• {point}" for point in points), self.report])


class Channel(Protocol):
    Settings: ClassVar[type[BaseModel]]

    def __init__(self, settings: Any, home: Path) -> None:
        """`home`: the workspace, for relative paths."""

    def send(self, alarm: Alarm) -> None:
        """Send the alarm; raise any exception if that fails."""


class FileChannel:
    """Appends one JSON line per alarm."""

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        path: str = "alarms.jsonl"  # relative to the workspace

    def __init__(self, settings: Any, home: Path) -> None:
        self.path = home / settings.path

    def send(self, alarm: Alarm) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(alarm), ensure_ascii=False) + "\n")


class WebhookChannel:
    """Posts `{"text": ...}`, as Slack, Mattermost and Teams take it."""

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        url: str  # may hold ${VARIABLE}
        seconds: float = Field(default=10, gt=0)  # to wait for an answer

    def __init__(self, settings: Any, home: Path) -> None:
        self._settings = settings

    def send(self, alarm: Alarm) -> None:
        import httpx

        try:
            answer = httpx.post(filled(self._settings.url), json={"text": alarm.text}, timeout=self._settings.seconds)
        except httpx.InvalidURL as error:
            raise BadInput(f"url: not an address: {error}") from None
        if not answer.is_success:
            raise ConnectionError(f"{answer.request.url.host} answered {answer.status_code}")  # the path may be a secret


class EmailChannel:
    """Sends a plain-text e-mail over SMTP."""

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        host: str
        to: list[str] = Field(min_length=1)
        sender: str
        port: int = 587
        security: Literal["starttls", "tls", "none"] = "starttls"
        user: str = ""
        password: str = ""  # may hold ${VARIABLE}
        seconds: float = Field(default=20, gt=0)

    def __init__(self, settings: Any, home: Path) -> None:
        self._settings = settings

    def send(self, alarm: Alarm) -> None:
        import smtplib
        import ssl
        from email.message import EmailMessage

        settings, encrypted = self._settings, ssl.create_default_context()
        message = EmailMessage()
        message["From"], message["To"] = settings.sender, ", ".join(settings.to)
        message["Subject"] = f"Proveout, {alarm.mission}: {alarm.headline}"[:200]
        message["Message-ID"] = f"<{alarm.key}@proveout>"
        message.set_content(alarm.text)
        connect = partial(smtplib.SMTP_SSL, context=encrypted) if settings.security == "tls" else smtplib.SMTP
        with connect(settings.host, settings.port, timeout=settings.seconds) as server:
            if settings.security == "starttls":
                server.starttls(context=encrypted)
            if settings.user:
                server.login(settings.user, filled(settings.password))
            server.send_message(message)


def filled(text: str) -> str:
    """The text with each ${VARIABLE} replaced by that environment variable. Raises BadInput for one that is not set."""

    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise BadInput(f"the environment variable {match[1]} is not set")
        return os.environ[match[1]]

    return re.sub(r"\$\{(\w+)\}", value, text)


def notify(alarm: Alarm, channels: Mapping[str, Mapping[str, Any]], home: Path, pause: float = PAUSE) -> list[str]:
    """Send an alarm to every channel that has not had it yet. Returns the failures, one sentence per channel.

    `pause`: seconds before the second attempt; it doubles before each further one.
    """
    record = read_object(home / RECORD)
    sent, failed = dict(record.get("sent", {})), {}
    for name, settings in channels.items():
        if sent.get(name) == alarm.key:
            continue
        try:
            kind = plugins.find("channels", name)
            _patiently(kind(kind.Settings.model_validate(settings), home), alarm, pause)
            sent[name] = alarm.key
        except Exception as error:  # whatever a channel raises, the others still get the alarm
            failed[name] = f"cannot send the alarm to channel `{name}`: {type(error).__name__}: {error}"
    write_whole(home / RECORD, json.dumps({"sent": sent, "failed": failed}))
    return [*failed.values()]


def failures(home: Path) -> list[str]:
    """The channels that the last alarm did not reach, one sentence per channel."""
    return [*read_object(home / RECORD).get("failed", {}).values()]


def _patiently(channel: Channel, alarm: Alarm, pause: float) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return channel.send(alarm)
        except BadInput:  # what is missing will not come by waiting
            raise
        except Exception:
            if attempt == ATTEMPTS:
                raise
            time.sleep(pause * 2 ** (attempt - 1))

"""Send an alarm to the channels of `alerts.yaml`. Entry point: `notify`.

`channels:` lists each channel with its settings. `file` ships with Proveout; packages add others.
To add one, write a class with the members of `Channel` and list it in `plugins`, or in your own package by an entry point
(docs/extending.md).
Covered: each channel gets an alarm once; a channel that fails is reported, is tried again with the next report, and does not
stop the others.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from proveout import plugins
from proveout.files import write_whole


@dataclass(frozen=True)
class Alarm:
    mission: str
    headline: str  # the report in a sentence or two
    advice: Sequence[str]  # what to do, a sentence each
    report: str  # path of the page

    @property
    def key(self) -> str:
        """Equal for alarms with the same headline."""
        return hashlib.sha256(f"{self.mission}\n{self.headline}".encode()).hexdigest()[:16]


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


def notify(alarm: Alarm, channels: Mapping[str, Mapping[str, Any]], home: Path) -> list[str]:
    """Send an alarm to every channel that has not had it yet. Returns the failures, one sentence per channel."""
    record = home / "alarms.json"
    sent: dict[str, str] = json.loads(record.read_text(encoding="utf-8")) if record.exists() else {}
    failures = []
    for name, settings in channels.items():
        if sent.get(name) == alarm.key:
            continue
        try:
            channel = plugins.find("channels", name)
            channel(channel.Settings.model_validate(settings), home).send(alarm)
            sent[name] = alarm.key
        except Exception as error:  # whatever a channel raises, the others still get the alarm
            failures.append(f"cannot send the alarm to channel `{name}`: {type(error).__name__}: {error}")
    write_whole(record, json.dumps(sent))
    return failures

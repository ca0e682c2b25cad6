"""Who is told of an alarm. One door: `tell`.

Channels stand in `alerts.yaml` under `channels:`, each with its settings. `file` ships with Proveout; a package brings others.
To add one: a class with the members of `Channel`, and its name in the table of `plugins`.
Covered: an alarm is told once on each channel; a channel that fails is named, tried again with the next report, and stops no
other.
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
    advice: Sequence[str]  # what a colleague would do about it
    report: str  # where to read it

    @property
    def key(self) -> str:
        """The same for the same news."""
        return hashlib.sha256(f"{self.mission}\n{self.headline}".encode()).hexdigest()[:16]


class Channel(Protocol):
    Settings: ClassVar[type[BaseModel]]

    def __init__(self, settings: Any, home: Path) -> None:
        """`home`: the workspace, for relative paths."""

    def send(self, alarm: Alarm) -> None:
        """Tell somebody. Raises whatever it likes when nobody could be told."""


class FileChannel:
    """Appends one JSON line an alarm."""

    class Settings(BaseModel):
        model_config = ConfigDict(extra="forbid")
        path: str = "alarms.jsonl"  # relative to the workspace

    def __init__(self, settings: Any, home: Path) -> None:
        self.path = home / settings.path

    def send(self, alarm: Alarm) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(alarm), ensure_ascii=False) + "\n")


def tell(alarm: Alarm, channels: Mapping[str, Mapping[str, Any]], home: Path) -> list[str]:
    """Tell an alarm on every channel that has not told it yet, and give what failed, one sentence a channel."""
    kept = home / "alarms.json"
    told: dict[str, str] = json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {}
    failed = []
    for name, settings in channels.items():
        if told.get(name) == alarm.key:
            continue
        try:
            channel = plugins.find("channels", name)
            channel(channel.Settings.model_validate(settings), home).send(alarm)
            told[name] = alarm.key
        except Exception as error:  # whatever a channel raises, the others are still told
            failed.append(f"the alarm could not be told on the channel `{name}`: {type(error).__name__}: {error}")
    write_whole(kept, json.dumps(told))
    return failed

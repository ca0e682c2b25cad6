"""An alarm reaches every channel once; a channel that fails is named and tried again."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from proveout import monitoring, plugins
from proveout.errors import BadInput
from proveout.monitoring.channels import Alarm, tell

ALARM = Alarm("invoices", "New suppliers since 1 September.", ("Answer the cases below.",), "report.html")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_same_alarm_is_told_once_and_a_new_one_again(tmp_path: Path) -> None:
    channels = {"file": {"path": "alarms.jsonl"}}
    assert tell(ALARM, channels, tmp_path) == tell(ALARM, channels, tmp_path) == []
    tell(Alarm("invoices", "Something else.", (), "report.html"), channels, tmp_path)
    assert [line["headline"] for line in lines(tmp_path / "alarms.jsonl")] == [ALARM.headline, "Something else."]


class Broken:
    """A channel that works from the third time on."""

    tries = 0

    class Settings(BaseModel):
        pass

    def __init__(self, settings: Settings, home: Path) -> None:
        self.home = home

    def send(self, alarm: Alarm) -> None:
        Broken.tries += 1
        if Broken.tries < 3:
            raise ConnectionError("the mail server is away")
        (self.home / "sent").write_text(alarm.headline)


def test_a_channel_that_fails_is_named_stops_no_other_and_is_tried_with_the_next_report(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(plugins.BUILT_IN["channels"], "mail", f"{__name__}:Broken")
    channels = {"mail": {}, "file": {"path": "alarms.jsonl"}}
    for _ in range(2):
        (failure,) = tell(ALARM, channels, tmp_path)
        assert failure == "the alarm could not be told on the channel `mail`: ConnectionError: the mail server is away"
    assert tell(ALARM, channels, tmp_path) == tell(ALARM, channels, tmp_path) == []
    assert Broken.tries == 3 and (tmp_path / "sent").exists()
    assert len(lines(tmp_path / "alarms.jsonl")) == 1


@pytest.mark.parametrize(
    ("channels", "said"),
    [
        ("{fil: {}}", "unknown alert channel `fil`; did you mean `file`?"),
        ("{file: {paht: x}}", "file.paht: extra inputs are not permitted"),
    ],
)
def test_a_channel_that_cannot_be_is_refused_when_the_alerts_are_read(tmp_path: Path, channels: str, said: str) -> None:
    (tmp_path / "alerts.yaml").write_text(f"channels: {channels}\n")
    with pytest.raises(BadInput) as refused:
        monitoring.load(tmp_path / "alerts.yaml")
    assert said in str(refused.value)

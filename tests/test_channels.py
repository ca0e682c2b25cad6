"""An alarm reaches every channel once; a channel that fails is reported and tried again."""

import json
from pathlib import Path

import pytest
from pydantic import BaseModel

from proveout import monitoring, plugins
from proveout.errors import BadInput
from proveout.monitoring.channels import Alarm, notify

ALARM = Alarm("invoices", "New suppliers since 1 September.", ("Answer the cases below.",), "report.html")


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_the_same_alarm_is_sent_once_and_a_new_one_is_sent(tmp_path: Path) -> None:
    channels = {"file": {"path": "alarms.jsonl"}}
    assert notify(ALARM, channels, tmp_path) == notify(ALARM, channels, tmp_path) == []
    notify(Alarm("invoices", "Something else.", (), "report.html"), channels, tmp_path)
    assert [line["headline"] for line in lines(tmp_path / "alarms.jsonl")] == [ALARM.headline, "Something else."]


class Broken:
    """A channel that works from the third attempt on."""

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


def test_a_channel_that_fails_is_reported_stops_no_other_and_is_tried_with_the_next_report(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(plugins.BUILT_IN["channels"], "mail", f"{__name__}:Broken")
    channels = {"mail": {}, "file": {"path": "alarms.jsonl"}}
    for _ in range(2):
        (failure,) = notify(ALARM, channels, tmp_path)
        assert failure == "cannot send the alarm to channel `mail`: ConnectionError: the mail server is away"
    assert notify(ALARM, channels, tmp_path) == notify(ALARM, channels, tmp_path) == []
    assert Broken.tries == 3 and (tmp_path / "sent").exists()
    assert len(lines(tmp_path / "alarms.jsonl")) == 1


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

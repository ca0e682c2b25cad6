"""The payment service that ships, in a process of its own, as tests see it: by its address, and by its database."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import httpx

from proveout.connectors.http import HttpSettings


class Counterparty:
    """A running `proveout.connectors.counterparty`."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "proveout.connectors.counterparty", "--port", "0"]
        self.database = folder / "payments.db"
        self.process = subprocess.Popen([*command, "--database", str(self.database)], stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().split()[2].rstrip(",")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def settings(self, **changes: object) -> HttpSettings:
        one = f"{self.url}/{{key}}"
        usual = {"url": self.url, "lookup": one, "undo": {"url": one}, "timeout_seconds": 5, "backoff_seconds": 0.01}
        return HttpSettings.model_validate(usual | changes)

    def fault(self, name: str, **how: object) -> None:
        """The next payment meets it, or the next so many `requests`."""
        httpx.put(self.url.replace("payments", "faults"), json={"fault": name, **how}).raise_for_status()

    def payments(self, key: str) -> list[dict]:
        """What its database holds under a key."""
        with closing(sqlite3.connect(self.database)) as connection:
            connection.row_factory = sqlite3.Row
            return [dict(row) for row in connection.execute("SELECT * FROM payments WHERE key = ?", (key,))]

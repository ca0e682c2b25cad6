"""The stop switch: a file that holds every effect while it exists."""

import json
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class StopSwitch:
    """A file: while it exists, no effect happens. Checked before each one; an unreadable file counts as stopped."""

    path: Path

    def stop(self, by: str, because: str) -> None:
        """Stop all effects. If they are stopped already, this changes nothing."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        note = json.dumps({"by": by, "because": because, "at": datetime.now(UTC).isoformat(timespec="seconds")})
        try:
            handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            return
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(note)
            file.flush()
            os.fsync(file.fileno())

    def lift(self) -> None:
        """Allow effects again."""
        self.path.unlink(missing_ok=True)

    def stopped(self) -> str:
        """Why effects are stopped; "" if they are not."""
        try:
            note = json.loads(self.path.read_text(encoding="utf-8"))
            return f"stopped by {note['by']} at {note['at']}: {note['because']}"
        except FileNotFoundError:
            return ""
        except (OSError, ValueError, KeyError, TypeError):
            return f"stopped: {self.path} exists"

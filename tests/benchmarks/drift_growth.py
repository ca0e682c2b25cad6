"""The drift test of 20 columns over 100,000 to 10,000,000 rows: seconds and memory beside a linear growth.

Each size runs in a process of its own; memory is the most that it held, the frames included, and beyond the frames alone.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

SIZES = (100_000, 1_000_000, 10_000_000)


def of_size(rows: int) -> dict[str, float]:
    from tests.benchmarks.drift import frame, ours

    ours(frame(1_000, 0), frame(1_000, 1))  # pays for the imports
    reference, current = frame(rows, 0), frame(rows, 1)
    frames = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the most that is held is counted from here
    began, used = time.perf_counter(), time.process_time()
    ours(reference, current)
    seconds, processor = time.perf_counter() - began, time.process_time() - used
    return {"rows": rows, "seconds": seconds, "processor": processor, "gib": _memory("VmHWM"), "gib_frames": frames}


def _memory(name: str) -> float:
    """Of this process, in GiB."""
    row = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert row
    return int(row[1]) / 2**20


def run() -> dict[str, dict[str, object]]:
    """The processor time of the largest against that of a linear growth from the middle one."""
    measured = []
    for size in SIZES:
        printed = subprocess.run([sys.executable, "-m", __name__, str(size)], check=True, capture_output=True, text=True).stdout
        measured.append(json.loads(printed))
        print(measured[-1], flush=True)
    linear = measured[1]["processor"] * SIZES[2] / SIZES[1]
    entry = {"ours": measured[2]["processor"], "peer": linear, "unit": "s", "ratio": measured[2]["processor"] / linear}
    return {"drift_growth": {**entry, "peer_name": "linear", "sizes": measured}}


if __name__ == "__main__":
    print(json.dumps(of_size(int(sys.argv[1]))))

"""The process of one step, begun by `worker.run_apart`: `python -m proveout.bridge.worker_main`, its job as JSON on stdin."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def _end_with(parent: int) -> None:
    """A worker whose build was killed works for nobody."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os.killpg(0, signal.SIGKILL)


def _main() -> None:
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    job: dict[str, Any] = json.load(sys.stdin)
    sys.path[:] = job["path"]
    from proveout.bridge.spec import load
    from proveout.bridge.staleness import BuildState
    from proveout.bridge.steps import run_task
    from proveout.errors import ProveoutError

    try:
        state = BuildState(load(job["spec"], job["env"]))
        run_task(state, state.spec.tasks[job["task"]], job["record"])
        answer = {"done": job["task"]}
    except ProveoutError as error:
        answer = {"error": str(error)}
    Path(job["said"]).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    _main()

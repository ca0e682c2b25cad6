"""The process of one step, started by `worker.run_in_worker`; reads its job as JSON from stdin."""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any


def _end_with(parent: int) -> None:
    """Kill this worker when its build is gone."""
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
        result = {"done": job["task"]}
    except ProveoutError as error:
        result = {"error": str(error)}
    Path(job["answer"]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    _main()

"""Run one step in its own process: if it has a timeout, in parallel with others, or inside marimo.

Entry point: `run_in_worker`.
Covered: a worker that dies (the error names the signal), a timeout (the worker and its children are killed), a build that is
interrupted or killed (its workers end within a second), parallel steps (they share the cores; none takes all).
Not covered: workers on other machines.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from proveout.bridge.spec import Spec, Task
from proveout.errors import TaskFailed

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS")


def run_in_worker(spec: Spec, task: Task, record: bool, workers: int = 1) -> None:
    """Run a step in a new Python, one of `workers`. Raises TaskFailed, also if it dies or exceeds the task's timeout."""
    env = {name: value for name, value in spec.env.items() if name != "here"}
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "answer.json")
        job = {"spec": str(spec.path), "env": env, "task": task.name, "record": record, "answer": str(answer), "path": sys.path}
        worker = subprocess.Popen(
            [sys.executable, "-m", "proveout.bridge.worker_main"],
            stdin=subprocess.PIPE,
            env=_environment(workers),
            start_new_session=True,  # so that its children can be killed with it
        )
        _running.add(worker)
        try:
            worker.communicate(json.dumps(job).encode(), timeout=task.timeout)
        except subprocess.TimeoutExpired as error:
            raise TaskFailed(
                f"{task.file or task.source}: task `{task.name}` exceeded its timeout of {task.timeout:g} s "
                f"and was killed; raise `timeout:` in {spec.path}:{task.line}, or make the step faster"
            ) from error
        finally:
            _kill(worker)
            worker.wait()
            _running.discard(worker)
        result = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    if "error" in result:
        raise TaskFailed(result["error"])
    if worker.returncode or not result:
        raise TaskFailed(
            f"{task.file or task.source}: task `{task.name}`: its worker {_end(worker.returncode)}; its output was discarded"
        )


_running: set[subprocess.Popen[bytes]] = set()


def stop_all() -> None:
    """Kill all running workers; `run_in_worker` reports each as killed."""
    for worker in list(_running):
        _kill(worker)


def _environment(workers: int) -> dict[str, str]:
    """Give each of several workers its share of the cores, within limits that are already set."""
    share = max(1, (os.cpu_count() or 1) // workers)
    threads = {name: min(share, int(os.environ[name])) if os.environ.get(name, "").isdigit() else share for name in THREADS}
    return {**os.environ, **({name: str(count) for name, count in threads.items()} if workers > 1 else {})}


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill the worker's process group, so that none of its children survives."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)


def _end(code: int) -> str:
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"
    return f"exited with code {code} and no result"

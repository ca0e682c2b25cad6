"""Run one step in a process of its own: for a timeout, beside other steps, or where marimo already runs. One door: `run_apart`.

Covered: a worker that dies (the signal is named), one that takes too long (it and its children are killed), a build that is
interrupted or killed (its workers end within a second), steps side by side that share the cores instead of each taking all.
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


def run_apart(spec: Spec, task: Task, record: bool, side_by_side: int = 1) -> None:
    """Run a step in a new Python. Raises TaskFailed, also when the worker dies or takes longer than the task's timeout."""
    env = {name: value for name, value in spec.env.items() if name != "here"}
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder, "said.json")
        job = {"spec": str(spec.path), "env": env, "task": task.name, "record": record, "said": str(said), "path": sys.path}
        worker = subprocess.Popen(
            [sys.executable, "-m", "proveout.bridge.worker_main"],
            stdin=subprocess.PIPE,
            env=_environment(side_by_side),
            start_new_session=True,  # so that its children can be killed with it
        )
        _at_work.add(worker)
        try:
            worker.communicate(json.dumps(job).encode(), timeout=task.timeout)
        except subprocess.TimeoutExpired as error:
            raise TaskFailed(
                f"{task.file or task.source}: task `{task.name}` took longer than its timeout of {task.timeout:g} s "
                f"and was killed; raise `timeout:` in {spec.path}:{task.line}, or make it quicker"
            ) from error
        finally:
            _kill(worker)
            _at_work.discard(worker)
        answer = json.loads(said.read_text(encoding="utf-8")) if said.exists() else {}
    if "error" in answer:
        raise TaskFailed(answer["error"])
    if worker.returncode or not answer:
        raise TaskFailed(
            f"{task.file or task.source}: task `{task.name}`: its worker {_end(worker.returncode)}; nothing was kept"
        )


_at_work: set[subprocess.Popen[bytes]] = set()


def stop_all() -> None:
    """End every worker that is under way. Who waits for one sees it as killed."""
    for worker in list(_at_work):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(worker.pid, signal.SIGKILL)


def _environment(side_by_side: int) -> dict[str, str]:
    """Each of several workers gets its share of the cores, and no more than was allowed before."""
    share = max(1, (os.cpu_count() or 1) // side_by_side)
    allowed = {name: min(share, int(os.environ[name])) if os.environ.get(name, "").isdigit() else share for name in THREADS}
    return {**os.environ, **({name: str(count) for name, count in allowed.items()} if side_by_side > 1 else {})}


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """The worker's whole process group, so that no child of it goes on alone."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


def _end(code: int) -> str:
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"was killed by {signal.Signals(-code).name}{hint}"
    return f"ended with exit code {code} without an answer"

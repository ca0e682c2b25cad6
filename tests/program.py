"""The command line as tests run it: in a process of its own, by this interpreter, installed or not."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PROVEOUT = [sys.executable, "-m", "proveout"]
PATIENCE = 300  # seconds until a test gives up on a page or a process; a slow machine is no fault


def proveout(folder: Path, *words: object, **environment: object) -> str:
    """What a command says that succeeds, run in a folder, with PROVEOUT_HOME only where it is given."""
    return printed_by([*PROVEOUT, *map(str, words)], folder, **environment)


def printed_by(command: list[str], folder: Path, **environment: object) -> str:
    """What any command says that succeeds; see `proveout`."""
    outside = {name: value for name, value in os.environ.items() if name != "PROVEOUT_HOME"}
    knows = outside | {name: str(value) for name, value in environment.items()}
    run = subprocess.run(command, cwd=folder, env=knows, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def project(folder: Path) -> Path:
    """What a copy of Proveout holds, without what its commands made."""
    for part in ("notebooks", "pipelines", "monitoring"):
        shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__", "__marimo__"))
    return folder


def exit_code(function: Callable[..., None], *arguments: object) -> int:
    """Of a new Python that calls a function of a test module, its arguments as text. A kill by signal N is -N.

    Not multiprocessing: it needs `__main__`, which marimo's server replaces in a process that serves notebooks.
    """
    call = f"import sys, {function.__module__} as tests; tests.{function.__name__}(*sys.argv[1:])"
    path = os.pathsep.join([str(ROOT / "tests"), *filter(None, sys.path)])
    command = [sys.executable, "-c", call, *map(str, arguments)]
    return subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, timeout=PATIENCE).returncode


@contextmanager
def page_of(chromium: Any, command: Sequence[object], home: Path, height: int, folder: Path = ROOT) -> Iterator[Any]:
    """The page that a command of `proveout`, run in a folder, serves on a workspace, until the block ends."""
    port = free_port()
    server = subprocess.Popen(
        [*PROVEOUT, *map(str, command), "--headless", "--port", str(port)],
        cwd=folder,
        env=os.environ | {"PROVEOUT_HOME": str(home)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    # without motion, because a spinner paints all the time
    page = chromium.new_page(viewport={"width": 1300, "height": height}, reduced_motion="reduce")
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                page.goto(f"http://127.0.0.1:{port}")
                break
            except Exception:
                assert time.monotonic() < until and server.poll() is None, "the server did not start"
                time.sleep(0.2)
        yield page
    finally:
        page.close()
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]

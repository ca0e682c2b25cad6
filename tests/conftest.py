"""Fixtures that every test may use."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, or the one that PROVEOUT_DATA names."""
    folder = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "adbuy" / "labels.csv").exists():
        pytest.skip(f"real data are not at {folder}; put them there or set PROVEOUT_DATA=<folder>")
    return folder


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A throw-away PostgreSQL on a socket in a temporary folder."""
    found = shutil.which("initdb") or next((str(p) for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None)
    if found is None:
        pytest.skip("no PostgreSQL here (`initdb` is missing); enable with: apt-get install postgresql")
    binaries = Path(found).resolve().parent
    folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
    user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, user)
    quiet = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run([binaries / "initdb", "-D", folder / "data", "-U", "proveout", "-A", "trust", "-N"], check=True, **quiet)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", folder]
    server = subprocess.Popen([binaries / "postgres", "-D", folder / "data", *options], **quiet)
    try:
        for _ in range(300):
            if subprocess.run([binaries / "pg_isready", "-q", "-h", folder], **quiet).returncode == 0:
                break
            time.sleep(0.1)
        yield f"postgresql://proveout@/postgres?host={folder}"
    finally:
        server.send_signal(signal.SIGINT)  # fast shutdown
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)

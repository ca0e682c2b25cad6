"""Fixtures that every test may use. What takes long to make is made once for all workers, and copied by those who change it."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from program import PATIENCE, printed_by, project, proveout
from proveout.imports import lazy_imports

with lazy_imports():
    import jsonschema  # noqa: F401  (each worker would compile a grammar of IRIs, which takes 4 s and is needed by no test)

ROOT = Path(__file__).parent.parent
os.environ["PROVEOUT_SIGNING_KEY"] = str(Path(tempfile.gettempdir(), "proveout-tests", "none.pem"))  # not the user's own
os.environ["PROVEOUT_MASTER_KEY"] = "5e" * 32
# Files that take minutes, the longest first: no worker is left alone with one of them at the end.
LONG = ("demo", "one_factory", "notebooks", "demo_data", "monitoring", "release", "new", "tours", "serving")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order = {f"test_{name}.py": place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the project, or the one that PROVEOUT_DATA names."""
    folder = Path(os.environ.get("PROVEOUT_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "adbuy" / "labels.csv").exists():
        pytest.skip(f"real data are not at {folder}; put them there or set PROVEOUT_DATA=<folder>")
    return folder


@pytest.fixture(scope="session")
def once(tmp_path_factory) -> Callable[[str, Callable[[Path], None]], Path]:
    """A folder that is filled once in a test run, by the first worker that asks for it."""
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root

    def made(name: str, fill: Callable[[Path], None]) -> Path:
        folder = root / f"once-{name}"
        with FileLock(root / f"{name}.lock"):
            if not (root / f"{name}.whole").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                fill(folder)
                (root / f"{name}.whole").touch()
        return folder

    return made


def demo_in(folder: Path, documents: int, seed: int) -> None:
    """Run a demo: `home` is its workspace, demo.txt what it printed."""
    demo = f"demo('invoices', None, {documents}, {seed}, Path({str(folder / 'home')!r}))"
    command = [sys.executable, "-c", f"from pathlib import Path; from proveout.cli.demo import demo; {demo}"]
    (folder / "demo.txt").write_text(printed_by(command, ROOT))


@pytest.fixture(scope="session")
def demo_once(once) -> Path:
    """A demo (`demo_in`) on fewer documents than the command takes."""
    return once("demo", lambda folder: demo_in(folder, 80, 2))


@pytest.fixture(scope="session")
def month_once(once) -> Path:
    """The demo as the command runs it: 243 cases. Takes minutes."""
    return once("month", lambda folder: demo_in(folder, 900, 7))


@pytest.fixture(scope="module")
def small_home(demo_once, tmp_path_factory) -> Path:
    """A copy of the small demo's workspace to work in."""
    return shutil.copytree(demo_once / "home", tmp_path_factory.mktemp("small") / "home")


@pytest.fixture(scope="session")
def bills_once(once) -> Path:
    """A project with the mission `bills` begun, built and promoted; new.txt and build.txt hold what those commands said."""

    def fill(folder: Path) -> None:
        project(folder)
        (folder / "new.txt").write_text(proveout(folder, "new", "bills"))
        (folder / "build.txt").write_text(proveout(folder, "build", "--mission", "bills"))
        proveout(folder, "release", "promote", "--mission", "bills")

    return once("bills", fill)


@pytest.fixture(scope="module")
def bills(bills_once, tmp_path_factory) -> Path:
    """A copy of that project to work in."""
    return shutil.copytree(bills_once, tmp_path_factory.mktemp("bills") / "project")


@pytest.fixture(scope="session")
def catalog_once(once) -> Path:
    """A project whose mission `catalog` was built from the folder `shop`, a small one, and promoted; build.txt is what building
    printed."""

    def fill(folder: Path) -> None:
        from proveout.search.synthetic import draw

        project(folder)
        (folder / "shop").mkdir()
        draw(categories=12).save(folder / "shop" / "products.jsonl", folder / "shop" / "judgements.csv")
        (folder / "build.txt").write_text(proveout(folder, "build", "--mission", "catalog", "--data", folder / "shop"))
        proveout(folder, "release", "promote", "latest", "--mission", "catalog")

    return once("catalog", fill)


@pytest.fixture(scope="session")
def counterparty(tmp_path_factory):
    """A payment service that breaks when it is told to."""
    from counterparty import Counterparty

    service = Counterparty(tmp_path_factory.mktemp("counterparty"))
    yield service
    service.close()


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser without a window."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium; on Debian: apt-get install chromium")
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(PATIENCE * 1000)

    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=quiet)
        browser.on("context", lambda context: context.set_default_timeout(PATIENCE * 1000))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[[Any], str]]:
    """Serve an application on a port of its own, as `proveout serve` does, and give its address."""
    import uvicorn

    running = []

    def started(app: Any) -> str:
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2))

        async def life() -> None:
            await server.serve(sockets=[listening])
            if sessions := getattr(app.state, "sessions", None):
                await sessions.shutdown()

        thread = threading.Thread(target=lambda: asyncio.run(life()), daemon=True)
        thread.start()
        running.append((server, thread))
        return f"http://127.0.0.1:{listening.getsockname()[1]}"

    yield started
    for server, thread in running:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random causal language model of 50,000 weights and a tokenizer of single bytes, made for the test."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    signs = ["<pad>", "<end>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({sign: at for at, sign in enumerate(signs)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<end>").save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(signs),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=16_384,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder

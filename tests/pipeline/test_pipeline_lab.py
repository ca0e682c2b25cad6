"""JupyterLab as `proveout lab` starts it: what its server lists, opens and saves, over HTTP as in the browser."""

import json
import os
import platform
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import nbformat
import pytest
from toy import Project

from program import PROVEOUT
from proveout.cli import designing
from proveout.errors import BadInput
from proveout.workspace import Workspace

PATIENCE = 120  # seconds for the server to answer

OLD = {
    "cells": [
        {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": "upstream = ['rows']\nproduct = None"},
        {"cell_type": "code", "metadata": {}, "source": "from pathlib import Path\nPath(upstream['rows']['rows']).read_text()"},
    ],
    "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
    "nbformat": 4,
    "nbformat_minor": 4,
}
for _cell in OLD["cells"]:
    _cell |= {"execution_count": None, "outputs": []}  # type: ignore[operator]
PERCENT = "# %% tags=[\"parameters\"]\nupstream = None\nproduct = None\nk = 1\n\n# %%\nopen(product['n'], 'w').write(f'{k}')\n"
MORE = """
  - {source: ../../old.ipynb, upstream: [rows], product: {nb: "{{out}}/old.ipynb"}}
  - source: ../../percent.py
    product: {nb: "{{out}}/percent.ipynb", n: "{{out}}/n.txt"}
    params: {k: 5, at: "{{data}}"}
    data: ["{{data}}"]
"""


class Lab:
    """The server of one project."""

    def __init__(self, project: Project) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        options = ["--no-browser", "--allow-root", "--IdentityProvider.token=", "--ServerApp.disable_check_xsrf=True"]
        port = f"--port={self.url.rpartition(':')[2]}"
        home = project.folder / "home"  # without any Jupyter settings
        home.mkdir()
        self.log = (home / "log").open("w+")
        self.process = subprocess.Popen(
            [*PROVEOUT, "lab", "--mission", "toy", port, *options],
            cwd=project.folder,
            env=os.environ | {"HOME": str(home)},
            stdout=subprocess.DEVNULL,
            stderr=self.log,
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.request("GET", "/api/status")
                return
            except (URLError, ConnectionError):
                assert time.monotonic() < deadline and self.process.poll() is None, Path(self.log.name).read_text()
                time.sleep(0.2)

    def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = json.dumps(body).encode() if body is not None else None
        message = urllib.request.Request(self.url + path, data=data, method=method)
        try:
            with urllib.request.urlopen(message, timeout=60) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except HTTPError as error:
            return error.code, json.loads(error.read() or b"null")

    def opened(self, path: str, type: str = "notebook") -> dict[str, Any]:
        status, model = self.request("GET", f"/api/contents/{path}?content=1&type={type}")
        assert status == 200, (path, model)
        return model

    def saved(self, model: dict[str, Any], path: str) -> int:
        body = {name: model[name] for name in ("type", "format", "content")}
        return self.request("PUT", f"/api/contents/{path}", body)[0]

    def close(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.log.close()


@pytest.fixture
def lab(project: Project) -> Iterator[Lab]:
    """A project with an .ipynb and a percent script as tasks, `rows` built, in JupyterLab."""
    project.write("pipelines/toy/mission.yaml", "mission: toy\n")
    project.write("pipelines/toy/env.build.yaml", "out: ../../work/toy/build\ndata: ../../data.txt\nreleases: ../../releases\n")
    (project.folder / "work/toy").mkdir(parents=True)
    project.write("work/toy/data", f"{project.folder / 'data.txt'}\n")
    nbformat.write(nbformat.from_dict(OLD), project.folder / "old.ipynb")
    (project.folder / "percent.py").write_text(PERCENT)
    project.spec.write_text(project.spec.read_text().rstrip() + MORE)
    project.build(only="rows")
    server = Lab(project)
    yield server
    server.close()


def source_of(model: dict[str, Any]) -> list[str]:
    return [cell["source"] for cell in model["content"]["cells"]]


def test_the_lab_lists_opens_and_saves_and_leaves_every_file_as_it_was(project: Project, lab: Lab) -> None:
    """One test, because a server takes seconds to start."""
    status, listed = lab.request("GET", "/api/contents/?content=1")
    kinds = {entry["name"]: entry["type"] for entry in listed["content"]}
    assert status == 200 and kinds["old.ipynb"] == "notebook" and kinds["notebooks"] == "directory"

    before = (project.folder / "old.ipynb").read_bytes()
    opened = lab.opened("old.ipynb")
    assert source_of(opened)[1].splitlines()[1:] == [
        "upstream = {'rows': {'rows': 'work/toy/build/rows.txt'}}",
        "product = {'nb': 'work/toy/build/old.ipynb'}",
    ]
    nbformat.validate(opened["content"])
    described = opened["content"]["metadata"]
    assert described["kernelspec"]["display_name"] == "Python 3 (ipykernel)", "as JupyterLab itself would describe it"
    assert described["language_info"]["version"] == platform.python_version()
    assert lab.saved(opened, "old.ipynb") == 200
    assert (project.folder / "old.ipynb").read_bytes() == before

    script = lab.opened("percent.py")
    assert source_of(script)[1].splitlines()[1:3] == ["k = 5", "at = 'data.txt'"]
    assert lab.saved(script, "percent.py") == 200
    assert (project.folder / "percent.py").read_text() == PERCENT

    script["content"]["cells"][-1]["source"] += "  # edited"
    assert lab.saved(script, "percent.py") == 200
    assert (project.folder / "percent.py").read_text() == PERCENT.rstrip() + "  # edited\n"

    with urllib.request.urlopen(f"{lab.url}/lab", timeout=60) as page:
        assert "@jupyterlab/apputils-extension:announcements" in page.read().decode(), "no question about news"
    assert Path(lab.log.name).read_text() == "", "nothing is worth a line"

    marimo = project.folder / "notebooks" / "rows.py"
    source = marimo.read_bytes()
    record = lab.opened("notebooks/rows.py")
    assert not record["writable"] and "made 3 rows" in json.dumps(record["content"])
    assert lab.saved(record, "notebooks/rows.py") == 403
    assert lab.opened("notebooks/rows.py", "file")["content"] == source.decode()
    assert "proveout build --only total" in source_of(lab.opened("notebooks/total.py"))[0]
    assert marimo.read_bytes() == source

    created = lab.request("POST", "/api/contents/notebooks", {"type": "notebook"})[1]
    assert lab.opened(created["path"])["content"]["cells"] == []
    project.spec.write_text("tasks: [{source: 1}]")
    assert source_of(lab.opened("old.ipynb")) == [cell["source"] for cell in OLD["cells"]]  # type: ignore[index]
    assert not [path for path in project.folder.rglob("*.ipynb") if str(project.folder) in path.read_text()]


def test_a_notebook_runs_with_the_context_that_the_lab_adds(project: Project, lab: Lab, tmp_path: Path) -> None:
    """The opened cells run in a kernel that the lab starts, and read the upstream product."""
    from jupyter_client.blocking.client import BlockingKernelClient

    status, kernel = lab.request(
        "POST", "/api/sessions", {"path": "old.ipynb", "type": "notebook", "name": "", "kernel": {"name": "python3"}}
    )
    assert status == 201
    runtime = next((project.folder / "home").rglob(f"kernel-{kernel['kernel']['id']}.json"))
    client = BlockingKernelClient(connection_file=str(runtime))
    client.load_connection_file()
    client.start_channels(hb=False)
    try:
        client.wait_for_ready(timeout=60)
        check = "from proveout.bridge import open_context\nprint(dict(open_context('old.ipynb').upstream['rows'])['rows'].name)"
        messages: list[str] = []
        for source in [*source_of(lab.opened("old.ipynb")), check]:
            client.execute_interactive(
                source, timeout=60, output_hook=lambda message: messages.append(json.dumps(message["content"]))
            )
    finally:
        client.stop_channels()
    assert "hello: 13 16 19" in "".join(messages) and "rows.txt" in messages[-2], messages


def test_root_hears_in_one_line_what_to_do(project: Project, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    project.write("pipelines/toy/mission.yaml", "mission: toy\n")
    started: list[list[str]] = []
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "execvpe", lambda program, command, environment: started.append(command))
    space = Workspace.find("toy", start=project.folder)
    with pytest.raises(BadInput, match="root runs JupyterLab only if asked: use another account"):
        designing.lab(space, None, False)
    assert not started
    designing.lab(space, None, False, ["--allow-root"])
    assert started[0][-1] == "--allow-root" and "first_steps.ipynb" in capsys.readouterr().out

"""Releases and decisions on a real MLflow server, asked by its own interface."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from program import PATIENCE, free_port
from proveout.cli import watching
from proveout.errors import BadInput
from proveout.journal import Journal
from proveout.release import Releases
from proveout.workspace import Workspace

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[str]:
    """MLflow is no part of Proveout's environment: its server runs in one of its own."""
    program = os.environ.get("PROVEOUT_MLFLOW") or shutil.which("mlflow")
    if not program:
        pytest.skip("no MLflow here; name the program of an environment that has it: PROVEOUT_MLFLOW=/path/to/mlflow")
    folder, url = tmp_path_factory.mktemp("mlflow"), f"http://127.0.0.1:{(port := free_port())}"
    stores = ["--backend-store-uri", f"sqlite:///{folder}/store.db", "--artifacts-destination", folder / "artifacts"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [program, "server", *stores, "--port", str(port), "--workers", "1"]
    process = subprocess.Popen(
        command, cwd=folder, env=outside, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        until = time.monotonic() + PATIENCE
        while True:
            try:
                httpx.get(f"{url}/health").raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < until and process.poll() is None, "MLflow did not start"
                time.sleep(0.5)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_releases_and_decisions_are_there_once_and_as_they_are_here(server, small_home, capsys):
    space = Workspace.find("invoices", small_home, ROOT)
    release = Releases(space.releases).promoted()
    with Journal(space.home / "journal.db") as journal:
        decided = list(journal.decisions())
    watching.to_mlflow(space, server)
    assert f"wrote 1 runs, 1 models, 4 prompts, {len(decided)} traces to {server}" in capsys.readouterr().out

    def ask(name: str, **body: object) -> dict:
        return httpx.post(f"{server}/api/{name}", json=body).raise_for_status().json()

    named = {"experiment_name": "proveout invoices"}
    experiment = httpx.get(f"{server}/api/2.0/mlflow/experiments/get-by-name", params=named).json()["experiment"]
    (run,) = ask("2.0/mlflow/runs/search", experiment_ids=[experiment["experiment_id"]])["runs"]
    assert run["info"]["status"] == "FINISHED" and run["info"]["run_name"] == release.id[:12]
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert params["slo.precision"] == "0.98" and params["part.model"] == release.manifest["content"]["parts"]["model"]
    assert any(metric["key"].endswith("/fields/micro/f1") for metric in run["data"]["metrics"])
    listed = httpx.get(f"{server}/api/2.0/mlflow/artifacts/list", params={"run_id": run["info"]["run_id"]}).json()["files"]
    assert {"model", "prompts", "policy.cedar", "steps.py"} <= {file["path"] for file in listed}
    versions = ask_versions(server, "name='proveout invoices'")
    assert [version["run_id"] for version in versions] == [run["info"]["run_id"]] and versions[0]["source"].endswith("/model")
    first = {"name": "invoices-fields_yaml", "version": "1"}
    prompt = httpx.get(f"{server}/api/2.0/mlflow/model-versions/get", params=first).raise_for_status().json()["model_version"]
    tags = {tag["key"]: tag["value"] for tag in prompt["tags"]}
    assert tags["mlflow.prompt.text"] == (release.path("prompts") / "fields.yaml").read_text()
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment["experiment_id"]}}
    traces = ask("3.0/mlflow/traces/search", locations=[place], max_results=500)["traces"]
    assert len(traces) == len(decided) and all(trace["state"] == "OK" for trace in traces)

    watching.to_mlflow(space, server)
    assert "wrote 0 runs, 0 models, 0 prompts, 0 traces" in capsys.readouterr().out


def ask_versions(server: str, wanted: str) -> list[dict]:
    answer = httpx.get(f"{server}/api/2.0/mlflow/model-versions/search", params={"filter": wanted}).raise_for_status().json()
    return answer.get("model_versions", [])


def test_a_server_that_is_not_there_is_named(small_home):
    space = Workspace.find("invoices", small_home, ROOT)
    with pytest.raises(BadInput, match="no MLflow server answers"):
        watching.to_mlflow(space, f"http://127.0.0.1:{free_port()}")
    with pytest.raises(BadInput, match="expected the address of an MLflow server"):
        watching.to_mlflow(space, "file:///tmp")

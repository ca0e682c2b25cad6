"""Releases and decisions in MLflow: runs, metrics, models, prompts and traces, by its REST API. Entry point: `export`.

A release is a run with its parameters, its evaluation's metrics and its parts as artifacts; its model and each of its prompts
are versions in the registry. A decision is a trace, with the attributes that `traces` sends to any collector.
Covered: a second export, which adds what is new; MLflow 3 with a database, whose server takes traces.
Not covered: signing in by anything but a user and password in the URL.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from proveout.errors import BadInput, BadModel, NoRelease, OtherCode
from proveout.journal import Journal
from proveout.live.traces import attributes_of
from proveout.records import Decided
from proveout.release import Release, Releases

SECONDS = 60.0  # that one request may take
BATCH = 100  # traces of one request
RELEASE = "proveout.release"  # the tag of a run by which it is found again
EXPORTED = "proveout.exported"  # the tag of an experiment: the journal's position up to which its traces are there
ARTIFACTS = ("mission", "policy", "steps", "calibration", "prompts", "model")


@dataclass
class Counts:
    """What an export added."""

    runs: int = 0
    models: int = 0
    prompts: int = 0
    traces: int = 0


def export(uri: str, mission: str, releases: Releases, journal: Journal) -> Counts:
    """Write what MLflow does not have yet. Raises BadInput if it cannot be reached or refuses something, with its reason."""
    if not uri.startswith(("http://", "https://")):
        raise BadInput(
            f"{uri}: expected the address of an MLflow server, such as http://127.0.0.1:5000; start one: mlflow server"
        )
    with httpx.Client(base_url=uri.rstrip("/"), timeout=SECONDS) as client:
        server, counts = _Server(client), Counts()
        experiment = server.experiment(f"proveout {mission}")
        for summary in reversed(releases.list()):
            try:
                release = releases.open(summary.id)
            except (BadModel, NoRelease, OtherCode):
                continue
            if not server.has_run(experiment, release.id):
                _export_release(server, experiment, release, counts)
        counts.traces = _export_traces(server, experiment, mission, journal)
    return counts


class _Server:
    """The calls of MLflow's REST API that an export needs."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def call(self, name: str, body: Mapping[str, Any], also: tuple[str, ...] = ()) -> dict[str, Any]:
        """The answer of a call; {} for an error code that is in `also`."""
        answer = self.send("POST", f"/api/2.0/mlflow/{name}", json=body, also=also)
        return dict(answer.json()) if answer.is_success else {}

    def send(self, method: str, path: str, also: tuple[str, ...] = (), **content: Any) -> httpx.Response:
        try:
            answer = self._client.request(method, path, **content)
        except httpx.HTTPError as error:
            raise BadInput(f"{self._client.base_url}: no MLflow server answers ({error}); start one: mlflow server") from error
        if not answer.is_success and not any(code in answer.text for code in also):
            raise BadInput(
                f"{self._client.base_url}: MLflow refuses {path} with status {answer.status_code}: {answer.text[:300]}"
            )
        return answer

    def experiment(self, name: str) -> str:
        answer = self.send(
            "GET", "/api/2.0/mlflow/experiments/get-by-name", ("RESOURCE_DOES_NOT_EXIST",), params={"experiment_name": name}
        )
        if answer.is_success:
            return str(answer.json()["experiment"]["experiment_id"])
        return str(self.call("experiments/create", {"name": name})["experiment_id"])

    def exported(self, experiment: str) -> int:
        """The journal's position up to which an experiment has traces."""
        about = self.send("GET", "/api/2.0/mlflow/experiments/get", params={"experiment_id": experiment}).json()["experiment"]
        return next((int(tag["value"]) for tag in about.get("tags", ()) if tag["key"] == EXPORTED), 0)

    def has_run(self, experiment: str, release: str) -> bool:
        wanted = {"experiment_ids": [experiment], "filter": f"tags.`{RELEASE}` = '{release}'", "max_results": 1}
        return bool(self.call("runs/search", wanted).get("runs"))

    def registered(self, name: str, source: str, run: str, tags: Mapping[str, str], about: Mapping[str, str]) -> None:
        """A new version of a registered model, or of a prompt, which MLflow keeps as one."""
        self.call("registered-models/create", {"name": name, "tags": _pairs(about)}, ("RESOURCE_ALREADY_EXISTS",))
        self.call("model-versions/create", {"name": name, "source": source, "run_id": run, "tags": _pairs({**about, **tags})})


def _export_release(server: _Server, experiment: str, release: Release, counts: Counts) -> None:
    frozen = _milliseconds(release.manifest["frozen"])
    tags = _pairs({RELEASE: release.id, "mlflow.note.content": release.manifest["headline"]})
    body = {"experiment_id": experiment, "run_name": release.id[:12], "start_time": frozen, "tags": tags}
    info = server.call("runs/create", body)["run"]["info"]
    run, artifacts = info["run_id"], info["artifact_uri"]
    slo, parts = release.mission.slo.model_dump(), release.manifest["content"]["parts"]
    params = {f"slo.{name}": str(value) for name, value in slo.items()} | {f"part.{name}": id for name, id in parts.items()}
    params |= {f"pin.{name}": version for name, version in release.manifest["content"]["environment"].items()}
    measured = [{"key": key, "value": value, "timestamp": frozen, "step": 0} for key, value in _metrics(release)]
    server.call("runs/log-batch", {"run_id": run, "metrics": measured, "params": _pairs(params)[:100]})
    for place, file in _files(release):
        root = artifacts.removeprefix("mlflow-artifacts:/")
        server.send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{root}/{place}", content=file.read_bytes())
    server.registered(f"proveout {release.mission.mission}", f"{artifacts}/model", run, {RELEASE: release.id}, {})
    for file in sorted(release.path("prompts").iterdir()) if release.has("prompts") else ():
        text = {"mlflow.prompt.text": file.read_text(encoding="utf-8"), RELEASE: release.id}
        name = f"{release.mission.mission}-{file.name}".replace(".", "_")
        server.registered(name, "prompt-template", run, text, {"mlflow.prompt.is_prompt": "true"})
        counts.prompts += 1
    server.call("runs/update", {"run_id": run, "status": "FINISHED", "end_time": frozen})
    counts.runs, counts.models = counts.runs + 1, counts.models + 1


def _metrics(release: Release) -> Iterator[tuple[str, float]]:
    """Every number of the evaluation, by its path."""

    def flat(prefix: str, value: Any) -> Iterator[tuple[str, float]]:
        if isinstance(value, Mapping):
            for name, inner in value.items():
                yield from flat(f"{prefix}/{name}" if prefix else name, inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield prefix, float(value)

    try:
        yield from flat("", json.loads(release.path("evidence/metrics").read_text(encoding="utf-8")))
    except BadModel:
        return


def _files(release: Release) -> Iterator[tuple[str, Path]]:
    for part in ARTIFACTS:
        if part in release.manifest["content"]["parts"]:
            path = release.path(part)
            files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
            yield from ((file.relative_to(release.folder).as_posix(), file) for file in files)


def _export_traces(server: _Server, experiment: str, mission: str, journal: Journal) -> int:
    """Send the decisions after the last export, and note how far that went."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    sent, decisions = 0, journal.decisions(after=server.exported(experiment))
    headers = {"x-mlflow-experiment-id": experiment, "Content-Type": "application/x-protobuf"}
    while batch := [one for one, _ in zip(decisions, range(BATCH), strict=False)]:
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for one in batch:
            _add_spans(scope.spans, one, mission)
        server.send("POST", "/v1/traces", headers=headers, content=request.SerializeToString())
        last = {"experiment_id": experiment, "key": EXPORTED, "value": str(batch[-1].position)}
        server.call("experiments/set-experiment-tag", last)
        sent += len(batch)
    return sent


def _add_spans(spans: Any, decided: Decided, mission: str) -> None:
    """A decision as a trace: the case, and each action that it proposes. Its id follows from the case and the run."""
    trace = hashlib.sha256(f"{decided.run} {decided.case.key}".encode()).digest()[:16]
    end = int(datetime.fromisoformat(decided.at).timestamp() * 1e9)
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": mission, **attributes_of(decided.decision)}
    root = spans.add(trace_id=trace, span_id=trace[:8], name=f"invoke_agent {mission}", kind=1)
    root.start_time_unix_nano, root.end_time_unix_nano = end - int(decided.seconds * 1e9), end
    _describe(root, attributes | {"proveout.run": decided.run})
    for number, ruling in enumerate(decided.rulings, 1):
        child = spans.add(
            trace_id=trace, span_id=(int.from_bytes(trace[:8]) + number).to_bytes(9)[-8:], parent_span_id=trace[:8]
        )
        child.name, child.kind = f"execute_tool {ruling.action.name}", 1
        child.start_time_unix_nano = child.end_time_unix_nano = end
        about = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": ruling.action.name}
        _describe(child, about | {"gen_ai.tool.call.id": ruling.action.key, "proveout.allowed": ruling.verdict.allowed})


def _describe(span: Any, attributes: Mapping[str, Any]) -> None:
    for name, value in attributes.items():
        pair = span.attributes.add(key=name)
        if isinstance(value, bool):
            pair.value.bool_value = value
        elif isinstance(value, int):
            pair.value.int_value = value
        elif isinstance(value, float):
            pair.value.double_value = value
        else:
            pair.value.string_value = value if isinstance(value, str) else json.dumps(value)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": name, "value": value} for name, value in values.items()]


def _milliseconds(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)

"""Spans of decisions arrive at an OTLP/HTTP collector, also when it was down for a whole run, and no decision waits for it."""

import json
import shutil
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from program import PATIENCE, ROOT, free_port
from proveout.cli import acting
from proveout.journal import Journal
from proveout.live import traces
from proveout.live.traces import Spool, tracing
from proveout.records import Route
from proveout.workspace import Workspace
from test_loop import hand_in

STEPS = ["recall", "ranker", "check", "route", "propose"]


class Collector(ThreadingHTTPServer):
    """What an OTLP/HTTP collector does with traces: it decodes and keeps them, or answers as it is told to."""

    def __init__(self, port: int = 0) -> None:
        self.spans, self.status, self.pause, self.headers, self.resource = [], 200, 0.0, {}, {}
        super().__init__(("127.0.0.1", port), Receiver)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        time.sleep(self.server.pause)
        if self.server.status == 200:
            request = ExportTraceServiceRequest.FromString(body)
            assert self.path == "/v1/traces" and self.headers["Content-Type"] == "application/x-protobuf"
            for resource in request.resource_spans:
                self.server.resource = plain(resource.resource.attributes)
                self.server.spans += [span for scope in resource.scope_spans for span in scope.spans]
            self.server.headers = dict(self.headers)
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


def plain(attributes) -> dict[str, object]:
    def value(one):
        kind = one.WhichOneof("value")
        return [value(each) for each in one.array_value.values] if kind == "array_value" else getattr(one, kind)

    return {one.key: value(one.value) for one in attributes}


@pytest.fixture
def collector(monkeypatch) -> Iterator[Collector]:
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.close()


@pytest.fixture(scope="module")
def space(bills) -> Workspace:
    return Workspace.find("bills", start=bills)


def waiting(space) -> list:
    return Spool(space.home / "traces").waiting()


def decide(space, *numbers: int) -> dict[str, object]:
    for number in numbers:
        hand_in(space, number)
    return acting.run(space, None)


def roots(collector) -> list:
    return [span for span in collector.spans if not span.parent_span_id]


def test_every_case_is_a_trace_with_a_span_for_each_step(space, collector, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20abc")
    decide(space, 1, 2)
    with Journal(space.home / "journal.db") as journal:
        decided = {one.case.key: one.decision for one in journal.decisions()}
    assert collector.resource["service.name"] == "proveout" and collector.headers["authorization"] == "Bearer abc"
    assert len(roots(collector)) == len(decided) == 2 and waiting(space) == []
    for root in roots(collector):
        about = plain(root.attributes)
        decision = decided[about["gen_ai.conversation.id"]]
        assert root.name == "invoke_agent bills" and about["gen_ai.operation.name"] == "invoke_agent"
        assert about["gen_ai.agent.id"] == decision.release and about["proveout.route"] == decision.route.value
        children = [span for span in collector.spans if span.parent_span_id == root.span_id]
        assert [span.name for span in children if not span.name.startswith("execute_tool")] == STEPS
        tools = [plain(span.attributes) for span in children if span.name.startswith("execute_tool")]
        assert [tool["gen_ai.tool.call.id"] for tool in tools] == [action.key for action in decision.actions]
        assert {span.trace_id for span in children} == {root.trace_id} and root.end_time_unix_nano > root.start_time_unix_nano
    sent = b"".join(span.SerializeToString() for span in collector.spans)
    values = {output.text for decision in decided.values() for output in decision.fields.values()}
    assert values and not [value for value in values if value.encode() in sent], "no span has a value of a document"


def test_a_collector_that_is_down_for_a_whole_run_gets_every_span_later(space, monkeypatch):
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    summary = decide(space, 3, 4)
    assert summary["decided"] == 2 and waiting(space)
    assert all(file.stat().st_mode & 0o077 == 0 for file in waiting(space)[0].parents[:1])
    collector = Collector(port)
    try:
        decide(space, 5)
        assert len(roots(collector)) == 3 and waiting(space) == []
        assert len(collector.spans) >= 3 * (1 + len(STEPS))
    finally:
        collector.close()


@pytest.mark.parametrize("demo", ["demo_once", pytest.param("month_once", marks=pytest.mark.slow)])
def test_a_collector_that_is_down_for_a_whole_demo_loses_no_decision_and_no_span(request, tmp_path, monkeypatch, demo):
    demo_home, home, port = request.getfixturevalue(demo) / "home", tmp_path / "home", free_port()
    for part in ("inbox", "releases"):
        shutil.copytree(demo_home / part, home / part)
    space = Workspace.find("invoices", home, ROOT)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    acting.run(space, None)
    with Journal(home / "journal.db") as journal, Journal(demo_home / "journal.db") as before:
        decided = {one.case.key: one.decision for one in journal.decisions()}
        assert decided.keys() == {one.case.key for one in before.decisions()}, "no decision is lost"
    assert 0 < sum(file.stat().st_size for file in waiting(space)) < traces.MOST_BYTES
    collector = Collector(port)
    try:
        with tracing(home, "invoices"):  # as the next run begins
            until = time.monotonic() + PATIENCE
            while waiting(space) and time.monotonic() < until:
                time.sleep(0.1)
    finally:
        collector.close()
    cases = {plain(root.attributes)["gen_ai.conversation.id"]: root for root in roots(collector)}
    assert cases.keys() == decided.keys() and len(roots(collector)) == len(cases) and waiting(space) == []
    ids = [span.span_id for span in collector.spans]
    assert len(ids) == len(set(ids)), "none was sent twice"
    names: dict[bytes, list[str]] = {}
    for span in collector.spans:
        names.setdefault(span.parent_span_id, []).append(span.name)
    for key, root in cases.items():
        tools = [f"execute_tool {action.name}" for action in decided[key].actions]
        steps = STEPS if decided[key].route is not Route.REFUSE else []
        assert sorted(names.get(root.span_id, [])) == sorted([*steps, *tools])


def test_a_collector_that_hangs_delays_no_decision(space, collector, monkeypatch):
    collector.pause = 20.0
    monkeypatch.setattr(traces, "AT_THE_END", 0.5)
    seconds = {}
    for name, number in (("hangs", 6), ("nowhere", 7)):
        if name == "nowhere":
            monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT")
        decide(space, number)
        with Journal(space.home / "journal.db") as journal:
            seconds[name] = list(journal.decisions())[-1].seconds
    assert seconds["hangs"] < seconds["nowhere"] + 5 and waiting(space), "the request takes 20 s"


@pytest.mark.parametrize(("status", "stays"), [(503, True), (429, True), (400, False), (404, False)])
def test_what_may_be_sent_again_stays_and_what_is_refused_goes(tmp_path, collector, status, stays, caplog):
    collector.status = status
    with tracing(tmp_path, "bills") as handler:
        handler.on_chain_start({}, {}, run_id=1)
        handler.on_chain_end({}, run_id=1)
    assert bool(Spool(tmp_path / "traces").waiting()) is stays
    assert ("refuses traces" in caplog.text) is not stays


def test_what_waits_stays_within_its_bound_and_the_oldest_go_first(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(traces, "MOST_BYTES", 1000)
    spool = Spool(tmp_path / "traces")
    for number in range(8):
        spool.add(bytes([number]) * 300)
    assert [file.read_bytes()[0] for file in spool.waiting()] == [5, 6, 7]
    assert "300 bytes of traces were dropped" in caplog.text


def test_calls_of_a_language_model_are_spans_with_their_tokens(tmp_path, collector):
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.runnables import RunnableLambda

    usage = {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    model = GenericFakeChatModel(messages=iter([AIMessage(json.dumps({"total": "secret"}), usage_metadata=usage)]))
    with tracing(tmp_path, "bills") as handler:
        RunnableLambda(lambda text, config: model.invoke(text, config)).invoke("a secret page", {"callbacks": [handler]})
        with pytest.raises(ZeroDivisionError):
            RunnableLambda(lambda x: 1 / 0).invoke(1, {"callbacks": [handler]})
    chat = next(span for span in collector.spans if span.name.startswith("chat "))
    about = plain(chat.attributes)
    assert (about["gen_ai.usage.input_tokens"], about["gen_ai.usage.output_tokens"]) == (7, 5)
    assert chat.kind == 3 and chat.parent_span_id, "a client's call, within the case"
    failed = next(span for span in collector.spans if span.status.code == 2)
    assert plain(failed.attributes)["error.type"] == "ZeroDivisionError"
    assert b"secret" not in b"".join(span.SerializeToString() for span in collector.spans)


def test_without_an_endpoint_nothing_is_traced(tmp_path, monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with tracing(tmp_path, "bills") as handler:
        assert handler is None
    assert not (tmp_path / "traces").exists()

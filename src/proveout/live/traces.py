"""OpenTelemetry spans of a run, with the semantic conventions for generative AI, to any OTLP/HTTP endpoint. Entry: `tracing`.

A case is a span `invoke_agent`, with a child for each step, `chat` for each call of a language model, and `execute_tool` for
each action that it proposes. No span has a value of a document, a prompt or an answer, but ids, routes, confidences, tokens,
verdicts. The standard's own variables say where to: `OTEL_EXPORTER_OTLP_ENDPOINT` or `..._TRACES_ENDPOINT`, and `..._HEADERS`;
without one, nothing is traced. Spans go to `<home>/traces` first, then a thread sends them: no decision waits for a collector.
Covered: a collector that is down, hangs or answers with an error (the spans wait on disk for the next run, within `MOST_BYTES`;
beyond it the oldest are dropped, with a warning); a kill (what is written is sent later, perhaps twice).
Not covered: gRPC. Collectors take OTLP/HTTP on port 4318.
"""

import logging
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from langchain_core.callbacks import BaseCallbackHandler

from proveout.files import write_whole
from proveout.records import Decided, Decision

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Span, Tracer

LOG = logging.getLogger(__name__)
MOST_BYTES = 64 << 20  # of spans that wait on disk: some 100,000 cases
SECONDS = 5.0  # that one request may take
AT_THE_END = 3.0  # seconds that the end of a run waits for what is not sent yet
AGAIN = 1.0  # seconds until the next attempt
LATER = frozenset({408, 429, 502, 503, 504})  # answers after which OTLP sends again
ANSWERED = range(200, 300)


def endpoint() -> str:
    """Where spans go, by the variables of the OTLP specification; "" for nowhere."""
    if traces := os.environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return traces
    base = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").rstrip("/")
    return f"{base}/v1/traces" if base else ""


@contextmanager
def tracing(home: Path, mission: str) -> Iterator["Traces | None"]:
    """Trace what is decided within the block, if an endpoint is set. What cannot be sent stays in `<home>/traces`."""
    if not (url := endpoint()):
        yield None
        return
    spool = Spool(home / "traces")
    traces = Traces(spool, mission)
    sender = Sender(spool, url)
    try:
        yield traces
    finally:
        traces.close()
        sender.stop()


class Spool:
    """Batches of spans that wait on disk, oldest first."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder, self.arrived = folder, threading.Event()

    def waiting(self) -> list[Path]:
        return sorted(self.folder.glob("*.otlp"))

    def add(self, batch: bytes) -> None:
        """Keep a batch. The oldest give way where all together would take more than `MOST_BYTES`."""
        write_whole(self.folder / f"{time.time_ns():020}-{uuid.uuid4().hex[:8]}.otlp", batch)
        sizes = {file: file.stat().st_size for file in self.waiting()}
        gone = 0
        for file, size in sizes.items():
            if sum(sizes.values()) - gone <= MOST_BYTES:
                break
            file.unlink(missing_ok=True)
            gone += size
        if gone:
            LOG.warning("%d bytes of traces were dropped: the collector was not reached, and %d may wait", gone, MOST_BYTES)
        self.arrived.set()


class Sender:
    """A thread that sends what waits, and tries again until it is stopped."""

    def __init__(self, spool: Spool, url: str) -> None:
        self.spool, self.url = spool, url
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, name="traces", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send what still waits if that takes no longer than `AT_THE_END`; the rest waits for the next run."""
        self._stopped.set()
        self.spool.arrived.set()
        self._thread.join(AT_THE_END)

    def _work(self) -> None:
        import httpx

        with httpx.Client(timeout=SECONDS, headers=_headers()) as client:
            while True:
                self.spool.arrived.clear()
                reached = all(self._sent(client, file) for file in self.spool.waiting())
                if self._stopped.is_set():
                    return
                self.spool.arrived.wait(None if reached else AGAIN)

    def _sent(self, client: Any, file: Path) -> bool:
        """Whether a batch is done with: delivered, or refused for good."""
        import httpx

        try:
            answer = client.post(self.url, content=file.read_bytes())
        except FileNotFoundError:  # it gave way
            return True
        except httpx.HTTPError:
            return False
        if answer.status_code in LATER:
            return False
        if answer.status_code not in ANSWERED:
            LOG.warning("the collector refuses traces with HTTP status %d: %s", answer.status_code, answer.text[:200])
        file.unlink(missing_ok=True)
        return True


class Traces(BaseCallbackHandler):
    """LangChain callbacks that make a span of every run of the agent, of its steps and of the models that they call."""

    def __init__(self, spool: Spool, mission: str) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.mission = mission
        resource = Resource.create({"service.name": "proveout", "proveout.mission": mission})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._processor = BatchSpanProcessor(_ToSpool(spool), max_queue_size=1 << 16, schedule_delay_millis=500)
        self._provider.add_span_processor(self._processor)
        self._tracer: Tracer = self._provider.get_tracer("proveout")
        self._spans: dict[object, Span] = {}  # by the id of the LangChain run
        self._cases: dict[str, Span] = {}  # ended roots, until their actions are judged; by `Case.key`

    def close(self) -> None:
        for span in self._spans.values():
            span.end()
        self._provider.shutdown()

    def judged(self, decided: Sequence[Decided]) -> None:
        """Add the verdict on each action that cases propose."""
        from opentelemetry.trace import set_span_in_context

        for one in decided:
            if not (root := self._cases.pop(one.case.key, None)):
                continue
            for ruling in one.rulings:
                attributes = {
                    "gen_ai.operation.name": "execute_tool",
                    "gen_ai.tool.name": ruling.action.name,
                    "gen_ai.tool.call.id": ruling.action.key,
                    "proveout.allowed": ruling.verdict.allowed,
                }
                name = f"execute_tool {ruling.action.name}"
                self._tracer.start_span(name, set_span_in_context(root), attributes=attributes).end()
        self._cases.clear()

    def on_chain_start(self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, **about: Any) -> None:
        if parent_run_id is None:
            attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": self.mission}
            self._start(run_id, None, f"invoke_agent {self.mission}", attributes)
        else:
            self._start(run_id, parent_run_id, str(about.get("name") or "step"), {})

    def on_chain_end(self, outputs: Any, *, run_id: Any, **_: Any) -> None:
        span = self._spans.pop(run_id, None)
        if span and isinstance(outputs, Decision):
            span.set_attributes(attributes_of(outputs))
            self._cases[outputs.key] = span
        elif span and isinstance(outputs, Mapping):
            fields: Mapping[str, Any] = outputs.get("fields") or {}
            span.set_attribute("proveout.fields", sorted(fields))
        if span:
            span.end()

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, **about: Any
    ) -> None:
        asked: Mapping[str, Any] = about.get("metadata") or {}
        model, provider = str(asked.get("ls_model_name") or "model"), str(asked.get("ls_provider") or "local")
        attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": model, "gen_ai.provider.name": provider}
        self._start(run_id, parent_run_id, f"chat {model}", attributes, is_call=True)

    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
        if span := self._spans.pop(run_id, None):
            for generation in (one for batch in response.generations for one in batch):
                usage = getattr(getattr(generation, "message", None), "usage_metadata", None) or {}
                span.set_attribute("gen_ai.usage.input_tokens", int(usage.get("input_tokens", 0)))
                span.set_attribute("gen_ai.usage.output_tokens", int(usage.get("output_tokens", 0)))
            span.end()

    def on_chain_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        self._failed(error, run_id)

    def on_llm_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        self._failed(error, run_id)

    def _failed(self, error: BaseException, run_id: Any) -> None:
        from opentelemetry.trace import StatusCode

        if span := self._spans.pop(run_id, None):
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)  # without the message, which may quote the document
            span.end()

    def _start(self, run: Any, parent: Any, name: str, attributes: Mapping[str, Any], is_call: bool = False) -> None:
        from opentelemetry.trace import SpanKind, set_span_in_context

        above = self._spans.get(parent)
        context = set_span_in_context(above) if above else None
        kind = SpanKind.CLIENT if is_call else SpanKind.INTERNAL
        self._spans[run] = self._tracer.start_span(name, context, kind=kind, attributes=dict(attributes))


class _ToSpool:
    """A `SpanExporter` that writes to disk; it fails only if the disk does."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def export(self, spans: "Sequence[ReadableSpan]") -> Any:
        from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            self._spool.add(encode_spans(spans).SerializeToString())
        except OSError as error:
            LOG.warning("traces cannot be written: %s", error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None: ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return True


def attributes_of(decision: Decision) -> dict[str, Any]:
    """What a span says of a decision."""
    confidences = [output.confidence for output in decision.fields.values() if output.calibrated]
    lowest = {"proveout.lowest_confidence": min(confidences)} if confidences else {}
    return {
        "gen_ai.agent.id": decision.release,
        "gen_ai.conversation.id": decision.key,
        "proveout.route": decision.route.value,
        "proveout.class": decision.document_class,
        "proveout.automated": sorted(decision.automated),
        "proveout.failed_checks": [check.name for check in decision.checks if check.passed is False],
        "proveout.memory_position": decision.memory_position,
        "proveout.dollars": decision.dollars,
        **lowest,
    }


def _headers() -> dict[str, str]:
    """Of each request: the content type, and what OTEL_EXPORTER_OTLP_HEADERS (`name=value,…`) says."""
    written = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_HEADERS") or os.environ.get("OTEL_EXPORTER_OTLP_HEADERS", "")
    pairs = (part.partition("=") for part in written.split(",") if "=" in part)
    return {"Content-Type": "application/x-protobuf"} | {name.strip(): unquote(value.strip()) for name, _, value in pairs}

"""An OpenAI-compatible endpoint on this machine that answers from a script or by rules, for tests, notebooks and tours.

    with ScriptedEndpoint(script=[Fault(429), '{"document_class": "invoice", "fields": {}}']) as endpoint:
        chat_model(ModelSettings(endpoint=endpoint.url)).invoke("...")

A script is played turn by turn; without one, or after its end, `rules` read the document inside the prompt's fence.
`python -m proveout.models.scripted_endpoint --port 8000` serves the rules until it is stopped.
Covered: /v1/chat/completions, streamed or not, with usage; 429, 5xx, delays, truncated answers, a body that is not JSON;
log-probabilities of tokens, the same for all, of answers that are not streamed.
Not covered: understanding. The rules find only what follows a few well-known labels.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

from proveout.prompts import unfenced

_DATE = r"(\d{1,2}/\d{1,2}/\d{2,4}|\d{4}-\d{2}-\d{2})"
FIELDS: Mapping[str, str] = {
    "contract_num": r"(?:contract|order|invoice)(?: number|\s*/\s*rev\w*)?\s*[:#]?\s*([A-Z]{0,3}\d{4,}(?:-\d+)?)",
    "advertiser": r"(?:advertiser|client)(?: name)?\s*:?[ \t]+([^\n]+?)(?=\s{2,}|\n|$|\s+(?:print date|order|agency)\b)",
    "gross_amount": r"(?:gross total|gross amount|grand total|totals?)[^\n$]*?(\$\s?[\d,]+\.\d{2})",
    "flight_from": rf"(?:flight|contract)[ \t]*(?:dates?|start)?\s*:?\s*{_DATE}",
    "flight_to": rf"(?:flight|contract)[ \t]*(?:dates?|end)?\s*:?\s*{_DATE.replace('(', '(?:')}\s*(?:-|to|–)\s*{_DATE}",
}
CLASSES: Mapping[str, str] = {"invoice": r"\binvoice\b", "contract": r"\bcontract\b", "order": r"\border\b"}


def read_by_rules(text: str) -> str:
    """The answer of a model that finds values by a few labels.

    >>> read_by_rules("INVOICE # 4711\\nGross Total $5.00")
    '{"document_class": "invoice", "fields": {"contract_num": "4711", "gross_amount": "$5.00"}}'
    """
    matches = {name: re.search(pattern, text, re.IGNORECASE) for name, pattern in FIELDS.items()}
    fields = {name: match[1].strip() for name, match in matches.items() if match}
    document_class = next((name for name, pattern in CLASSES.items() if re.search(pattern, text, re.IGNORECASE)), "other")
    return json.dumps({"document_class": document_class, "fields": fields}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Fault:
    """A turn that goes wrong: an HTTP status, a delay before the answer, or a body that is cut off."""

    status: int = 200
    message: str = "a scripted fault"
    silence: float = 0.0  # seconds
    malformed: bool = False


Messages = Sequence[Mapping[str, Any]]
Turn = str | Fault | Callable[[Messages], str]


class ScriptedEndpoint:
    """Serves inside a `with` block. `requests` holds the body of every call, in order."""

    def __init__(
        self,
        script: Sequence[Turn] = (),
        rules: Callable[[str], str] = read_by_rules,
        port: int = 0,
        logprob: float | None = None,  # of every token, where a request asks for it
    ) -> None:
        self.requests: list[dict[str, Any]] = []
        self.logprob = logprob
        self._script = list(script)
        self._rules = rules
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler_for(self))
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "ScriptedEndpoint":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: dict[str, Any]) -> str | Fault:
        """The next turn of the script, or else the answer of the rules."""
        with self._lock:
            self.requests.append(body)
            turn = self._script.pop(0) if self._script else None
        if isinstance(turn, (str, Fault)):
            return turn
        messages: Messages = body["messages"]
        return turn(messages) if turn else self._rules(_document_in(messages))


def _document_in(messages: Messages) -> str:
    """The fenced document of the last user message that has one."""
    fenced = (unfenced(str(message["content"])) for message in reversed(messages) if message["role"] == "user")
    return next((text for text in fenced if text), "")


def _tokens(text: str) -> int:
    """Words and punctuation marks, as an approximation.

    >>> _tokens("Gross Total: $5")
    5
    """
    return len(re.findall(r"\w+|[^\w\s]", text))


def _handler_for(endpoint: ScriptedEndpoint) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.path != "/v1/chat/completions":
                return self._send(404, json.dumps({"error": {"message": f"unknown path {self.path}"}}).encode())
            turn = endpoint.answer(body)
            if isinstance(turn, Fault):
                time.sleep(turn.silence)
                if turn.status != 200:
                    error = {"message": turn.message, "type": "scripted", "code": turn.status}
                    return self._send(turn.status, json.dumps({"error": error}).encode())
                turn = "{}" if not turn.malformed else turn  # a slow answer is still an answer
            if isinstance(turn, Fault):
                return self._send(200, b'{"id": "scripted-1", "choices": [{"mess')
            if body.get("stream"):
                return self._send(200, b"".join(_events(body, turn)), "text/event-stream")
            self._send(200, json.dumps(_completion(body, turn, endpoint.logprob)).encode())

        def _send(self, status: int, content: bytes, kind: str = "application/json") -> None:
            try:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(content)))
                if status == 429:
                    self.send_header("Retry-After-Ms", "10")
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                self.close_connection = True  # the client gave up

    return Handler


def _usage(body: dict[str, Any], text: str) -> dict[str, int]:
    read = sum(_tokens(str(message["content"])) for message in body["messages"])
    return {"prompt_tokens": read, "completion_tokens": _tokens(text), "total_tokens": read + _tokens(text)}


def _frame(body: dict[str, Any], kind: str) -> dict[str, Any]:
    return {"id": "scripted-1", "object": kind, "created": 0, "model": str(body.get("model", "scripted"))}


def _completion(body: dict[str, Any], text: str, logprob: float | None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    if logprob is not None and body.get("logprobs"):
        tokens = re.findall(r"\w+|\W", text)
        choice["logprobs"] = {"content": [{"token": token, "logprob": logprob, "top_logprobs": []} for token in tokens]}
    return {**_frame(body, "chat.completion"), "choices": [choice], "usage": _usage(body, text)}


def _events(body: dict[str, Any], text: str) -> Iterator[bytes]:
    frame = _frame(body, "chat.completion.chunk")
    deltas: list[dict[str, str]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": piece} for piece in re.findall(r"\s*\S+|\s+$", text)]
    for delta in deltas:
        yield _event({**frame, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield _event({**frame, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (body.get("stream_options") or {}).get("include_usage"):
        yield _event({**frame, "choices": [], "usage": _usage(body, text)})
    yield b"data: [DONE]\n\n"


def _event(data: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(data, ensure_ascii=False).encode() + b"\n\n"


def main() -> None:
    import argparse

    parser = argparse.ArgumentParser(description="An OpenAI-compatible endpoint that answers by rules.")
    parser.add_argument("--port", type=int, default=8000)
    with ScriptedEndpoint(port=parser.parse_args().port) as endpoint:
        print(f"answering at {endpoint.url}; stop with Ctrl-C", flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopped")


if __name__ == "__main__":
    main()

"""The language-model tier: a chat model reads a document, and every answer is checked.

Entry point: `LanguageModelTier.read`. Answers are checked against the mission's schema, and a value that is not printed on the
document is dropped; the model gets the reasons and one chance to repair its answer. A document's text is fenced data
(`prompts.fenced`): whatever it orders, an answer can only be a class of the mission and texts printed on its pages.
Covered: a slow, broken or unavailable endpoint costs its own answer, never the batch; tokens and dollars of every call.
Not covered: whether a value is the right one among those printed. `calibration` and `control` decide that.
"""

import json
import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, cast

from proveout.errors import BadPrompts
from proveout.mission import Mission
from proveout.models.tiers import Extraction, Parts, ScoredValue
from proveout.prompts import ModelSettings, Prompts
from proveout.records import Box, Document, Page, Place, Word
from proveout.values import conventions, value_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

CHARACTERS = 12_000  # of a document that the model sees: three full pages, about 4,000 tokens
LONGEST_VALUE = 200  # characters
CONCURRENT_CALLS = 8
LABEL_WINDOW = 6  # words before a value that are searched for its label
LABELLED, UNLABELLED = 0.9, 0.6  # raw scores, before calibration: of a value with a label before it, and without
REPAIRED = 0.8  # factor for an answer after a repair
AFTER_REPAIR = "given only after the first answer was refused"


@dataclass(frozen=True, slots=True)
class Call:
    """The cost of one call."""

    tokens_in: int
    tokens_out: int
    dollars: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The model's extraction from one document, and the calls that it took."""

    extraction: Extraction
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class _CheckedAnswer:
    """The valid part of an answer, and the problems with the rest."""

    document_class: str
    fields: Mapping[str, ScoredValue]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class LanguageModelTier:
    """A chat model as a tier of the cascade."""

    trained: ClassVar[bool] = False
    model: "BaseChatModel"
    prompts: Prompts
    mission: Mission
    settings: ModelSettings = field(default_factory=ModelSettings)  # prices

    @classmethod
    def load(cls, parts: Parts) -> "LanguageModelTier":
        """Raises BadPrompts without a `model.yaml`, and whatever `chat_model` raises."""
        settings = parts.prompts.model
        if settings is None:
            raise BadPrompts(
                "the mission lists the tier `language_model`, but its prompts have no model.yaml; add one with "
                "`endpoint: http://...` or `local: <folder>`, or remove the tier from mission.yaml"
            )
        return cls(chat_model(settings), parts.prompts, parts.mission, settings)

    def extract(self, contents: Sequence[Document], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        return [reply.extraction for reply in self.read_many(contents, configs)]

    def read(self, document: Document) -> ModelReply:
        return self.read_many([document])[0]

    def read_many(self, documents: Sequence[Document], configs: "Sequence[RunnableConfig] | None" = None) -> list[ModelReply]:
        """One reply per document, in order. A failed call gives an abstention with the reason."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(CONCURRENT_CALLS, max(1, len(documents)))) as pool:
            return list(pool.map(self._read, documents, cast("Any", configs) or [None] * len(documents)))

    def _read(self, document: Document, config: "RunnableConfig | None" = None) -> ModelReply:
        messages: list[Any] = list(self.prompts.messages(document_text(document), schema_of(self.mission)))
        calls: list[Call] = []
        checked = _CheckedAnswer("", {}, ())
        for attempt in range(2):
            try:
                answer, call = self._call(messages, config)
            except Exception as error:  # an endpoint or a model may raise anything
                problems = (*checked.problems, f"no answer: {_first_line(error)}")
                checked = _CheckedAnswer(checked.document_class, checked.fields, problems)
                break
            calls.append(call)
            checked = self._check(document, answer, repaired=bool(attempt))
            if not checked.problems:
                break
            listed = "\n".join(f"- {problem}" for problem in checked.problems)
            repair = f"Your answer was refused:\n{listed}\nAnswer again, with one JSON object and nothing else."
            messages = [*messages, ("assistant", answer), ("user", repair)]
        is_class = checked.document_class in self.mission.classes
        name, confidence = (checked.document_class, UNLABELLED) if is_class else ("", 0.0)
        dollars = sum(call.dollars for call in calls)
        extraction = Extraction(document.sha256, name, confidence, checked.fields, dollars=dollars, refused=checked.problems)
        return ModelReply(extraction, tuple(calls))

    def _call(self, messages: Sequence[Any], config: "RunnableConfig | None") -> tuple[str, Call]:
        began = time.perf_counter()
        answer = self.model.invoke(list(messages), config)
        return answer.text, cost_of(answer, time.perf_counter() - began, self.settings)

    def _check(self, document: Document, answer: str, repaired: bool) -> _CheckedAnswer:
        try:
            parsed = json_of(answer)
        except ValueError as error:
            return _CheckedAnswer("", {}, (f"not one JSON object: {error}",))
        problems = list(_schema_errors(schema_of(self.mission), parsed))
        fields = parsed.get("fields")
        values: dict[str, ScoredValue] = {}
        for name, text in (fields if isinstance(fields, dict) else {}).items():
            if name not in self.mission.fields or not isinstance(text, str) or not 0 < len(text) <= LONGEST_VALUE:
                continue  # already among the schema errors
            try:
                values[name] = self._scored_value(document, name, text, repaired)
            except ValueError as error:
                problems.append(f"`{name}`: {error}")
        document_class = parsed.get("document_class")
        return _CheckedAnswer(document_class if isinstance(document_class, str) else "", values, tuple(problems))

    def _scored_value(self, document: Document, name: str, text: str, repaired: bool) -> ScoredValue:
        """The value with its place. Raises ValueError if it is not printed or is not of the field's kind."""
        if self.mission.kinds[name] == "flag":
            return self._flag_value(document, name, text, repaired)
        places = list(places_of(document, text))
        if not places:
            raise ValueError(f"{text!r} is not printed on the document")
        labels = [_squeezed(label) for label in self.prompts.fields[name].labels]
        labelled = [place for place in places if any(label in _before(place) for label in labels)]
        page, words, before = (labelled or places)[0]
        score = (LABELLED if labelled else UNLABELLED) * (REPAIRED if repaired else 1)
        against = (
            *([f"printed in {len(places)} places"] if len(places) > 1 else []),
            *([AFTER_REPAIR] if repaired else []),
        )
        return ScoredValue(
            text=text.strip(),
            value=value_of(self.mission.kinds[name], text, conventions(document, self.mission.dates)),
            score=score,
            place=Place(page.number, Box.around(words)),
            speaks_for=(
                "a language model read it",
                *([f"printed after '{' '.join(w.text for w in before)}'"] if labelled else []),
            ),
            speaks_against=against,
        )

    def _flag_value(self, document: Document, name: str, text: str, repaired: bool) -> ScoredValue:
        """A flag, placed at the first prompt phrase that supports the answer, or else on the whole first page with words."""
        value, prompt = value_of("flag", text), self.prompts.fields[name]
        phrases = prompt.labels if value == "yes" else prompt.not_labels
        match = next((place for phrase in phrases for place in places_of(document, phrase)), None)
        page = match[0] if match else next((page for page in document.pages if page.words), None)
        if page is None:
            raise ValueError("the document has no words, so it supports no answer")
        quote = [f"says “{' '.join(word.text for word in match[1])}”"] if match else []
        return ScoredValue(
            text=str(value),
            value=value,
            score=(LABELLED if match else UNLABELLED) * (REPAIRED if repaired else 1),
            place=Place(page.number, Box.around(match[1] if match else page.words)),
            speaks_for=("a language model read it", *quote),
            speaks_against=(AFTER_REPAIR,) if repaired else (),
        )


def chat_model(settings: ModelSettings) -> "BaseChatModel":
    """The chat model that `model.yaml` describes: an OpenAI-compatible endpoint, or a folder with a transformers model.

    Raises BadPrompts if the key is not in the environment, BadModel if the folder holds no model.
    """
    if settings.local:
        from proveout.models.local_chat import LocalChatModel

        return LocalChatModel.load(settings.local, settings.max_tokens, settings.temperature)
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    key = os.environ.get(settings.key_variable, "") if settings.key_variable else "none"
    if not key:
        hint = f"export {settings.key_variable}=<key>, or remove `key_variable` from model.yaml"
        raise BadPrompts(f"the environment variable {settings.key_variable} holds no key for {settings.endpoint}; {hint}")
    return ChatOpenAI(
        model=settings.model or "default",
        base_url=settings.endpoint,
        api_key=SecretStr(key),
        temperature=settings.temperature,
        timeout=settings.timeout_seconds,
        max_retries=max(0, settings.attempts - 1),
        extra_body={"max_tokens": settings.max_tokens},  # the name that every compatible server accepts
        use_responses_api=False,
        stream_usage=True,
    )


def schema_of(mission: Mission) -> dict[str, Any]:
    """The JSON schema of an answer. A field that is not printed is left out; a flag is yes or no."""
    value = {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE}
    properties = {name: {"enum": ["yes", "no"]} if kind == "flag" else value for name, kind in mission.kinds.items()}
    fields = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"document_class": {"enum": list(mission.classes)}, "fields": fields},
        "required": ["document_class", "fields"],
        "additionalProperties": False,
    }


def document_text(document: Document) -> str:
    """The text that a model sees: printed lines, a blank line between pages, cut off after CHARACTERS."""
    pages = []
    for page in document.pages:
        lines: dict[int, list[str]] = {}
        for word in page.words:
            lines.setdefault(word.line, []).append(word.text)
        pages.append("\n".join(" ".join(words) for words in lines.values()))
    return "\n\n".join(pages)[:CHARACTERS]


def json_of(answer: str) -> dict[str, Any]:
    """The JSON object in an answer, which may be in a code fence or between words. Raises ValueError if there is not one.

    >>> json_of('Here: ```json\\n{"fields": {}}\\n```')
    {'fields': {}}
    """
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start:
        raise ValueError("the answer has no { and }")
    parsed = json.loads(answer[start : end + 1], object_pairs_hook=_unique)
    assert isinstance(parsed, dict)  # it begins with {
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)


def cost_of(answer: "BaseMessage", seconds: float, settings: ModelSettings) -> Call:
    """Tokens as the model reports them, at the settings' prices; 0 if it reports none."""
    usage = getattr(answer, "usage_metadata", None) or {}
    read, wrote = int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0))
    return Call(read, wrote, (read * settings.price_in + wrote * settings.price_out) / 1e6, seconds)


Match = tuple[Page, tuple[Word, ...], tuple[Word, ...]]  # the page, the words that contain the value, the words before them


def places_of(document: Document, text: str) -> Iterator[Match]:
    """Where a text is printed, ignoring spaces. It has to begin and end where a word or a number does."""
    pattern = re.escape(_squeezed(text))
    if not pattern:
        return
    for page in document.pages:
        starts, run = [], ""
        for word in page.words:
            starts.append(len(run))
            run += _squeezed(word.text)
        edges = {*starts, len(run)}
        for match in re.finditer(pattern, run):
            start, end = match.span()
            if (start in edges or _is_edge(run, start)) and (end in edges or _is_edge(run, end)):
                first, last = bisect_right(starts, start) - 1, bisect_left(starts, end) - 1
                yield page, page.words[first : last + 1], page.words[max(0, first - LABEL_WINDOW) : first]


def _is_edge(run: str, at: int) -> bool:
    """Whether a word or a number begins or ends at this position inside a printed word.

    >>> [_is_edge("#4,711-2", at) for at in (1, 3, 6)], _is_edge("17", 1)
    ([True, False, True], False)
    """
    before, after = run[at - 1], run[at]
    if (before.isdigit() and after in ".,/") or (before in ".,/" and after.isdigit()):
        return False  # inside a number or a date
    return not (before.isalnum() and after.isalnum())


def _squeezed(text: str) -> str:
    return "".join(text.casefold().split())


def _before(place: Match) -> str:
    return _squeezed(" ".join(word.text for word in place[2]))


def _schema_errors(schema: Mapping[str, Any], answer: Mapping[str, Any]) -> Iterator[str]:
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    for error in Draft202012Validator(schema).iter_errors(answer):
        place = ".".join(str(part) for part in error.absolute_path)
        yield f"`{place}`: {error.message[:200]}" if place else error.message[:200]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}".rstrip(": ")

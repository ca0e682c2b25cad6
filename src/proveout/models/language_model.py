"""The language-model tier: a chat model reads a document, and every answer is checked.

Entry point: `LanguageModelTier.read`. The model is made to answer in JSON of the mission's schema; a local model can only
choose among the values of a field's kind that are printed on the document. Answers are checked against the schema, and a value
that is not printed is dropped; the model gets the reasons and one chance to repair its answer. A document's text is fenced data
(`prompts.fenced`): whatever it orders, an answer can only be a class of the mission and texts printed on its pages.
The raw score of a value is the probability that the model gives its tokens, where it says so.
Covered: a slow, broken or unavailable endpoint costs its own answer, never the batch; tokens and dollars of every call, with a
budget that is reserved before a call; the same question is asked once (`answer_cache`).
Not covered: whether a value is the right one among those printed. `calibration` and `control` decide that.
"""

import json
import math
import os
import re
import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, cast

from langchain_core.callbacks import BaseCallbackHandler

from proveout.errors import BadPrompts
from proveout.mission import Mission
from proveout.models.candidates import candidates_of
from proveout.models.past_examples import example_of
from proveout.models.text_segments import text_segments
from proveout.models.tiers import Extraction, Parts, PastCases, ScoredValue
from proveout.prompts import ModelSettings, Prompts
from proveout.records import Box, Document, Page, Place, Word
from proveout.retrieval import MemoryRecord
from proveout.values import conventions, value_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

LONGEST_VALUE = 200  # characters
CONCURRENT_CALLS = 8
LABEL_WINDOW = 6  # words before a value that are searched for its label
# Raw scores, before calibration, if the model gives no probabilities: of a value with a label before it, and without.
LABELLED, UNLABELLED = 0.9, 0.6
REPAIRED = 0.8  # factor for an answer after a repair
AFTER_REPAIR = "given only after the first answer was refused"
CHARACTERS_A_TOKEN = 2  # few; what a call may take is estimated by this and reserved before it is made
# Of JSON: a key and its text, with the mark that ends it.
_TEXTS = re.compile(rb'"(?P<key>\w+)"\s*:\s*"(?P<text>(?:[^"\\]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Call:
    """The cost of one call; for an answer that was kept, what it cost when it was given."""

    tokens_in: int
    tokens_out: int
    dollars: float
    seconds: float
    kept: bool = False

    @property
    def tokens(self) -> int:
        return self.tokens_in + self.tokens_out


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
    class_score: float = UNLABELLED


class Budget:
    """The tokens that a run may still take, shared by its calls. No limit is 0."""

    def __init__(self, limit: int = 0) -> None:
        self._left = limit or math.inf
        self._lock = threading.Lock()

    def reserve(self, tokens: int) -> None:
        """Raises OverBudget if that many are not left."""
        with self._lock:
            if tokens > self._left:
                raise OverBudget(f"the call may take {tokens:,} tokens, {self._left:,.0f} of the run's are left (`run_tokens`)")
            self._left -= tokens

    def give_back(self, tokens: int) -> None:
        with self._lock:
            self._left += tokens


class OverBudget(Exception):
    """A call that may take more tokens than its case or its run has left."""


@dataclass(frozen=True)
class LanguageModelTier:
    """A chat model as a tier of the cascade."""

    trained: ClassVar[bool] = False
    model: "BaseChatModel"
    prompts: Prompts
    mission: Mission
    settings: ModelSettings = field(default_factory=ModelSettings)
    budget: Budget = field(default_factory=Budget)  # of the run
    learned_from: frozenset[str] = frozenset()  # ids of documents that the model was fine-tuned on

    @classmethod
    def load(cls, parts: Parts) -> "LanguageModelTier":
        """Raises BadPrompts without a `model.yaml`, and whatever `chat_model` raises."""
        settings = parts.prompts.model
        if settings is None:
            raise BadPrompts(
                "the mission lists the tier `language_model`, but its prompts have no model.yaml; add one with "
                "`endpoint: http://...` or `local: <folder>`, or remove the tier from mission.yaml"
            )
        from proveout.models.local_chat import learned_from

        model, learned = chat_model(settings, parts.cache), learned_from(settings.local) if settings.local else frozenset()
        return cls(model, parts.prompts, parts.mission, settings, Budget(settings.run_tokens), learned)

    @property
    def past_cases(self) -> int:
        return self.settings.past_cases

    def extract(
        self,
        contents: Sequence[Document],
        configs: "Sequence[RunnableConfig] | None" = None,
        past: PastCases | None = None,
    ) -> list[Extraction]:
        return [reply.extraction for reply in self.read_many(contents, configs, past)]

    def read(self, document: Document, past: Sequence[MemoryRecord] = (), config: "RunnableConfig | None" = None) -> ModelReply:
        return self.read_many([document], [config or {}], [past])[0]

    def read_many(
        self,
        documents: Sequence[Document],
        configs: "Sequence[RunnableConfig] | None" = None,
        past: PastCases | None = None,
    ) -> list[ModelReply]:
        """One reply per document, in order. A failed call gives an abstention with the reason.

        `past`: the answered cases that each document's prompt shows as examples.
        """
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(CONCURRENT_CALLS, max(1, len(documents)))) as pool:
            n = len(documents)
            return list(pool.map(self._read, documents, cast("Any", configs) or [None] * n, past or [()] * n))

    def _read(self, document: Document, config: "RunnableConfig | None", past: Sequence[MemoryRecord]) -> ModelReply:
        messages: list[Any] = list(messages_about(document, self.prompts, self.mission, past, self.settings))
        settings = self._call_settings(document)
        calls: list[Call] = []
        checked = _CheckedAnswer("", {}, ())
        for attempt in range(2):
            try:
                answer, call = self._call(messages, settings, config, sum(call.tokens for call in calls))
            except Exception as error:  # an endpoint or a model may raise anything
                problems = (*checked.problems, f"no answer: {_first_line(error)}{_hint(error)}")
                checked = _CheckedAnswer(checked.document_class, checked.fields, problems)
                break
            calls.append(call)
            checked = self._check(document, answer, repaired=bool(attempt))
            if not checked.problems:
                break
            listed = "\n".join(f"- {problem}" for problem in checked.problems)
            repair = f"Your answer was refused:\n{listed}\nAnswer again, with one JSON object and nothing else."
            messages = [*messages, ("assistant", answer.text), ("user", repair)]
        is_class = checked.document_class in self.mission.classes
        name, confidence = (checked.document_class, checked.class_score) if is_class else ("", 0.0)
        dollars = sum(call.dollars for call in calls)
        extraction = Extraction(document.sha256, name, confidence, checked.fields, dollars=dollars, refused=checked.problems)
        return ModelReply(extraction, tuple(calls))

    def _call_settings(self, document: Document) -> dict[str, Any]:
        """How the model is held to the schema, and asked for the probabilities of its tokens."""
        if self.settings.local:
            return {"schema": self._printed_schema(document)} if self.settings.structured else {}
        settings: dict[str, Any] = {"logprobs": True} if self.settings.logprobs else {}
        if self.settings.structured:
            schema = {"name": "answer", "strict": True, "schema": _complete(schema_of(self.mission))}
            settings["response_format"] = {"type": "json_schema", "json_schema": schema}
        return settings

    def _printed_schema(self, document: Document) -> dict[str, Any]:
        """The schema in which a value is one of the document's printed values, or null."""
        printed = printed_values(document, self.mission, self.prompts)
        return _complete(schema_of(self.mission, {name: {"enum": [*texts, None]} for name, texts in printed.items()}))

    def _call(
        self, messages: Sequence[Any], settings: Mapping[str, Any], config: "RunnableConfig | None", taken: int
    ) -> "tuple[BaseMessage, Call]":
        """Ask once. `taken`: tokens that this case has taken before. Raises OverBudget before a call that may be too dear."""
        characters = sum(len(text) for _, text in messages)
        most = characters // CHARACTERS_A_TOKEN + self.settings.max_tokens
        if self.settings.case_tokens and taken + most > self.settings.case_tokens:
            limit = f"{self.settings.case_tokens:,} (`case_tokens`)"
            raise OverBudget(f"the call may take {most:,} tokens, the case has taken {taken:,}, its limit is {limit}")
        self.budget.reserve(most)
        used, began = 0, time.perf_counter()
        try:
            answer = self.model.invoke(list(messages), config, **settings)
            call = cost_of(answer, time.perf_counter() - began, self.settings)
            used = 0 if call.kept else call.tokens
            return answer, call
        finally:
            self.budget.give_back(most - used)

    def _check(self, document: Document, message: "BaseMessage", repaired: bool) -> _CheckedAnswer:
        try:
            parsed = json_of(message.text)
        except ValueError as error:
            return _CheckedAnswer("", {}, (f"not one JSON object: {error}",))
        problems = list(_schema_errors(schema_of(self.mission), parsed))
        scores = probabilities(message)
        fields = parsed.get("fields")
        values: dict[str, ScoredValue] = {}
        for name, text in (fields if isinstance(fields, dict) else {}).items():
            if name not in self.mission.fields or not isinstance(text, str):
                continue  # null says that it is not printed; everything else is among the schema errors
            try:
                values[name] = self._scored_value(document, name, text, repaired, scores.get(name))
            except ValueError as error:
                problems.append(f"`{name}`: {error}")
        document_class = parsed.get("document_class")
        name = document_class if isinstance(document_class, str) else ""
        return _CheckedAnswer(name, values, tuple(problems), scores.get("document_class", UNLABELLED))

    def _scored_value(self, document: Document, name: str, text: str, repaired: bool, probability: float | None) -> ScoredValue:
        """The value with its place. Raises ValueError if it is not printed or is not of the field's kind."""
        if not 0 < len(text) <= LONGEST_VALUE:
            raise ValueError(f"a value has 1 to {LONGEST_VALUE} characters, this one has {len(text)}")
        if self.mission.kinds[name] == "flag":
            return self._flag_value(document, name, text, repaired, probability)
        places = list(places_of(document, text))
        if not places:
            raise ValueError(f"{text!r} is not printed on the document")
        labels = [_squeezed(label) for label in self.prompts.fields[name].labels]
        labelled = [place for place in places if any(label in _before(place) for label in labels)]
        page, words, before = (labelled or places)[0]
        against = (
            *([f"printed in {len(places)} places"] if len(places) > 1 else []),
            *([AFTER_REPAIR] if repaired else []),
        )
        return ScoredValue(
            text=text.strip(),
            value=value_of(self.mission.kinds[name], text, conventions(document, self.mission.dates)),
            score=_score(probability, bool(labelled), repaired),
            place=Place(page.number, Box.around(words)),
            speaks_for=(
                "a language model read it",
                *([f"printed after '{' '.join(w.text for w in before)}'"] if labelled else []),
            ),
            speaks_against=against,
        )

    def _flag_value(self, document: Document, name: str, text: str, repaired: bool, probability: float | None) -> ScoredValue:
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
            score=_score(probability, bool(match), repaired),
            place=Place(page.number, Box.around(match[1] if match else page.words)),
            speaks_for=("a language model read it", *quote),
            speaks_against=(AFTER_REPAIR,) if repaired else (),
        )


def chat_model(settings: ModelSettings, cache: Path | None = None) -> "BaseChatModel":
    """The chat model that `model.yaml` describes: an OpenAI-compatible endpoint, or a model on this machine.

    `cache`: a folder for its answers, which are kept if they do not depend on chance.
    Raises BadPrompts if the key is not in the environment, BadModel if there is no such model or it is not the pinned one.
    """
    from proveout.models.answer_cache import AnswerCache

    kept = AnswerCache(cache / "answers") if cache and not settings.temperature else None
    if settings.local:
        from proveout.models.local_chat import LocalChatModel

        return LocalChatModel.load(settings.local, settings.max_tokens, settings.temperature, settings.sha256, cache=kept)
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
        cache=kept,
    )


def messages_about(
    document: Document,
    prompts: Prompts,
    mission: Mission,
    past: Sequence[MemoryRecord] = (),
    settings: ModelSettings | None = None,
) -> list[tuple[str, str]]:
    """What a model reads of a document: (role, content) pairs. Past cases take the place of the prompts' own examples.

    `settings`: by default those of the prompts.
    """
    characters = (settings or prompts.model or ModelSettings()).characters
    examples = [one for record in past if (one := example_of(record, mission, prompts))]
    return prompts.messages(document_text(document, characters), schema_of(mission), examples or None)


def printed_values(document: Document, mission: Mission, prompts: Prompts) -> dict[str, list[str]]:
    """For each field that is no flag, the different texts of its kind that are printed on a document, in reading order."""
    read, segments = conventions(document, mission.dates), text_segments(document)
    values = {}
    for name, kind in mission.kinds.items():
        if kind != "flag":
            candidates = candidates_of(segments, kind, prompts.fields[name].labels, read, mission.lines)
            texts = dict.fromkeys(candidate.text for candidate in candidates if len(candidate.text) <= LONGEST_VALUE)
            values[name] = [text for text in texts if any(places_of(document, text))]
    return values


class Cancel(BaseCallbackHandler):
    """A LangChain callback that stops a local model at its next token once `asked` says so. An endpoint is not stopped."""

    raise_error = True

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        if self._asked():
            raise Cancelled("the question was withdrawn")


class Cancelled(Exception):
    """Nobody waits for the answer any longer."""


def pinned(prompts: Prompts) -> Prompts:
    """The prompts with the hash of their local model's weights, so that no other weights take their place unseen."""
    if prompts.model is None or not prompts.model.local:
        return prompts
    from proveout.models.local_chat import located, weights_of

    return replace(prompts, model=replace(prompts.model, sha256=weights_of(located(prompts.model.local))))


def schema_of(mission: Mission, values: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
    """The JSON schema of an answer. A field that is not printed is null or left out; a flag is yes or no.

    `values`: narrower schemas of the values of some fields.
    """
    text, flag = {"type": ["string", "null"]}, {"enum": ["yes", "no", None]}
    properties = {name: values.get(name, flag if kind == "flag" else text) for name, kind in mission.kinds.items()}
    fields = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"document_class": {"enum": list(mission.classes)}, "fields": fields},
        "required": ["document_class", "fields"],
        "additionalProperties": False,
    }


def _complete(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema in which every field has to be given, if only as null, as servers ask that enforce one."""
    fields = schema["properties"]["fields"]
    fields = {**fields, "required": list(fields["properties"])}
    return {**schema, "properties": {**schema["properties"], "fields": fields}}


def probabilities(message: "BaseMessage") -> dict[str, float]:
    """The probability of each text of an answer in JSON by its key: that of its tokens up to the closing quotation mark.

    Empty if the message has no log-probabilities in the form of OpenAI, or not those of its text.
    """
    tokens = ((getattr(message, "response_metadata", None) or {}).get("logprobs") or {}).get("content") or []
    pieces = [bytes(token["bytes"]) if token.get("bytes") else token["token"].encode() for token in tokens]
    raw = message.text.encode()
    if not pieces or not b"".join(pieces).startswith(raw):
        return {}
    ends = list(accumulate(map(len, pieces)))
    chances = {}
    for match in _TEXTS.finditer(raw):
        first, last = bisect_right(ends, match.start("text")), bisect_left(ends, match.end("text"))
        chances[match["key"].decode()] = math.exp(min(0.0, sum(token["logprob"] for token in tokens[first : last + 1])))
    return chances


def _score(probability: float | None, labelled: bool, repaired: bool) -> float:
    score = (LABELLED if labelled else UNLABELLED) if probability is None else probability
    return round(score * (REPAIRED if repaired else 1), 6)


def document_text(document: Document, characters: int = ModelSettings.characters) -> str:
    """The text that a model sees: printed lines, a blank line between pages, cut off after so many characters."""
    pages = []
    for page in document.pages:
        lines: dict[int, list[str]] = {}
        for word in page.words:
            lines.setdefault(word.line, []).append(word.text)
        pages.append("\n".join(" ".join(words) for words in lines.values()))
    return "\n\n".join(pages)[:characters]


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
    kept = usage.get("total_cost") == 0  # LangChain's sign that the answer comes from a cache
    return Call(read, wrote, (read * settings.price_in + wrote * settings.price_out) / 1e6, seconds, kept)


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


def _hint(error: Exception) -> str:
    """What to do if an endpoint does not know the settings that make it answer in JSON, with probabilities."""
    refused = [name for name, sent in (("structured", "response_format"), ("logprobs", "logprobs")) if sent in str(error)]
    return "".join(f"; write `{name}: false` in model.yaml for an endpoint that does not offer it" for name in refused)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}".rstrip(": ")

"""The language-model tier: a chat model reads a document, and nothing that it says is taken on trust.

One door: `LanguageModelTier.read`. Its answer is held to the mission's schema; a value that does not stand on the page is
dropped; what was refused is said back to the model once, for one repair. A document's text is data inside a fence
(`prompts.fenced`): whatever it orders, the answer can only be a class of the mission and texts printed on its pages.
Covered: an endpoint that is slow, broken or down costs its answer and never the batch; tokens and dollars of every call.
Not covered: whether a value is the right one among those printed. `calibration` and `control` decide that.
"""

import json
import os
import re
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from proveout.errors import BadPrompts
from proveout.mission import Mission
from proveout.models.tiers import Extraction, Parts, ScoredValue
from proveout.prompts import ModelSettings, Prompts
from proveout.records import Box, Document, Page, Place, Word
from proveout.values import value_of

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import BaseMessage
    from langchain_core.runnables import RunnableConfig

CHARACTERS = 12_000  # of a document that are shown: three full pages, about 4,000 tokens
LONGEST_VALUE = 200  # characters
AT_ONCE = 8  # calls under way
BESIDE = 6  # words before a value in which its label is looked for
LABELLED, BARE, REPAIRED = 0.9, 0.6, 0.8  # raw scores, before calibration: beside its label, not so; times, after a repair


@dataclass(frozen=True, slots=True)
class Call:
    """What one call cost."""

    tokens_in: int
    tokens_out: int
    dollars: float
    seconds: float


@dataclass(frozen=True, slots=True)
class ModelReply:
    """What the model made of one document, and the calls that it took."""

    extraction: Extraction
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class _Said:
    """An answer that was checked."""

    document_class: str
    fields: Mapping[str, ScoredValue]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class LanguageModelTier:
    model: "BaseChatModel"
    prompts: Prompts
    mission: Mission
    settings: ModelSettings = field(default_factory=ModelSettings)  # prices

    @classmethod
    def load(cls, parts: Parts) -> "LanguageModelTier":
        """Raises BadPrompts where no `model.yaml` names a model, and what `chat_model` raises."""
        settings = parts.prompts.model
        if settings is None:
            raise BadPrompts(
                "the mission's tiers name `language_model`, and its prompts hold no model.yaml; add one with "
                "`endpoint: http://...` or `local: <folder>`, or take the tier out of mission.yaml"
            )
        return cls(chat_model(settings), parts.prompts, parts.mission, settings)

    def extract(self, contents: Sequence[Document], configs: "Sequence[RunnableConfig] | None" = None) -> list[Extraction]:
        return [reading.extraction for reading in self.read_many(contents, configs)]

    def read(self, document: Document) -> ModelReply:
        return self.read_many([document])[0]

    def read_many(self, documents: Sequence[Document], configs: "Sequence[RunnableConfig] | None" = None) -> list[ModelReply]:
        """One reading for each document, in their order; a call that fails is an abstention with its reason."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(AT_ONCE, max(1, len(documents)))) as pool:
            return list(pool.map(self._read, documents, cast("Any", configs) or [None] * len(documents)))

    def _read(self, document: Document, config: "RunnableConfig | None" = None) -> ModelReply:
        messages: list[Any] = list(self.prompts.messages(printed(document), schema_of(self.mission)))
        calls: list[Call] = []
        said = _Said("", {}, ())
        for attempt in range(2):
            try:
                answer, call = self._call(messages, config)
            except Exception as error:  # whatever an endpoint or a model raises, it gave no answer
                said = _Said(said.document_class, said.fields, (*said.problems, f"no answer: {_first_line(error)}"))
                break
            calls.append(call)
            said = self._checked(document, answer, repaired=bool(attempt))
            if not said.problems:
                break
            faults = "\n".join(f"- {problem}" for problem in said.problems)
            again = f"Your answer was refused:\n{faults}\nAnswer once more, with one JSON object and nothing else."
            messages = [*messages, ("assistant", answer), ("user", again)]
        known = said.document_class in self.mission.classes
        name, confidence = (said.document_class, BARE) if known else ("", 0.0)
        dollars = sum(call.dollars for call in calls)
        extraction = Extraction(document.sha256, name, confidence, said.fields, dollars=dollars, refused=said.problems)
        return ModelReply(extraction, tuple(calls))

    def _call(self, messages: Sequence[Any], config: "RunnableConfig | None") -> tuple[str, Call]:
        began = time.perf_counter()
        answer = self.model.invoke(list(messages), config)
        return answer.text, cost_of(answer, time.perf_counter() - began, self.settings)

    def _checked(self, document: Document, answer: str, repaired: bool) -> _Said:
        """What of an answer counts, and what does not and why."""
        try:
            said = json_of(answer)
        except ValueError as error:
            return _Said("", {}, (f"not one JSON object: {error}",))
        problems = list(_against(schema_of(self.mission), said))
        fields = said.get("fields")
        proposals: dict[str, ScoredValue] = {}
        for name, text in (fields if isinstance(fields, dict) else {}).items():
            if name not in self.mission.fields or not isinstance(text, str) or not 0 < len(text) <= LONGEST_VALUE:
                continue  # the schema has said so
            try:
                proposals[name] = self._proposal(document, name, text, repaired)
            except ValueError as error:
                problems.append(f"`{name}`: {error}")
        document_class = said.get("document_class")
        return _Said(document_class if isinstance(document_class, str) else "", proposals, tuple(problems))

    def _proposal(self, document: Document, name: str, text: str, repaired: bool) -> ScoredValue:
        """The value where it stands. Raises ValueError where it stands nowhere or is not of the field's kind."""
        if self.mission.kinds[name] == "flag":
            return self._answer(document, name, text, repaired)
        places = list(places_of(document, text))
        if not places:
            raise ValueError(f"{text!r} is not printed on the document")
        labels = [_squeezed(label) for label in self.prompts.fields[name].labels]
        labelled = [place for place in places if any(label in _before(place) for label in labels)]
        page, words, before = (labelled or places)[0]
        score = (LABELLED if labelled else BARE) * (REPAIRED if repaired else 1)
        against = (
            *([f"printed at {len(places)} places"] if len(places) > 1 else []),
            *(["said only after a correction"] if repaired else []),
        )
        return ScoredValue(
            text=text.strip(),
            value=value_of(self.mission.kinds[name], text),
            score=score,
            place=Place(page.number, _around(words)),
            speaks_for=(
                "a language model read it",
                *([f"stands after '{' '.join(w.text for w in before)}'"] if labelled else []),
            ),
            speaks_against=against,
        )

    def _answer(self, document: Document, name: str, text: str, repaired: bool) -> ScoredValue:
        """A flag, beside the first phrase of the prompts that speaks for the answer, or beside all of the first page."""
        value, told = value_of("flag", text), self.prompts.fields[name]
        phrases = told.labels if value == "yes" else told.not_labels
        found = next((place for phrase in phrases for place in places_of(document, phrase)), None)
        page = found[0] if found else next((page for page in document.pages if page.words), None)
        if page is None:
            raise ValueError("the document has no word, so nothing speaks for an answer")
        score = (LABELLED if found else BARE) * (REPAIRED if repaired else 1)
        said = [f"says “{' '.join(word.text for word in found[1])}”"] if found else []
        return ScoredValue(
            text=str(value),
            value=value,
            score=score,
            place=Place(page.number, _around(found[1] if found else page.words)),
            speaks_for=("a language model read it", *said),
            speaks_against=("said only after a correction",) if repaired else (),
        )


def chat_model(settings: ModelSettings) -> "BaseChatModel":
    """LangChain's chat model for `model.yaml`: an OpenAI-compatible endpoint, or a folder with a transformers model.

    Raises BadPrompts where the key is not in the environment, BadModel where the folder holds no model.
    """
    if settings.local:
        from proveout.models.local_chat import LocalChatModel

        return LocalChatModel.load(settings.local, settings.max_tokens, settings.temperature)
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    key = os.environ.get(settings.key_variable, "") if settings.key_variable else "none"
    if not key:
        hint = f"export {settings.key_variable}=<key>, or leave `key_variable` out of model.yaml"
        raise BadPrompts(f"the environment variable {settings.key_variable} holds no key for {settings.endpoint}; {hint}")
    return ChatOpenAI(
        model=settings.model or "default",
        base_url=settings.endpoint,
        api_key=SecretStr(key),
        temperature=settings.temperature,
        timeout=settings.timeout_seconds,
        max_retries=max(0, settings.attempts - 1),
        extra_body={"max_tokens": settings.max_tokens},  # the name that every compatible server knows
        use_responses_api=False,
        stream_usage=True,
    )


def schema_of(mission: Mission) -> dict[str, Any]:
    """The JSON schema of an answer; a field that is not printed is left out, a flag is yes or no."""
    value = {"type": "string", "minLength": 1, "maxLength": LONGEST_VALUE}
    each = {name: {"enum": ["yes", "no"]} if kind == "flag" else value for name, kind in mission.kinds.items()}
    fields = {"type": "object", "properties": each, "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"document_class": {"enum": list(mission.classes)}, "fields": fields},
        "required": ["document_class", "fields"],
        "additionalProperties": False,
    }


def printed(document: Document) -> str:
    """The document's text as a model sees it: a line a line, a blank line between pages, cut off where it is long."""
    pages = []
    for page in document.pages:
        lines: dict[int, list[str]] = {}
        for word in page.words:
            lines.setdefault(word.line, []).append(word.text)
        pages.append("\n".join(" ".join(words) for words in lines.values()))
    return "\n\n".join(pages)[:CHARACTERS]


def json_of(answer: str) -> dict[str, Any]:
    """The one JSON object of an answer, also inside a code fence or between words. Raises ValueError.

    >>> json_of('Here: ```json\\n{"fields": {}}\\n```')
    {'fields': {}}
    """
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start:
        raise ValueError("no { and } in the answer")
    said = json.loads(answer[start : end + 1], object_pairs_hook=_once)
    assert isinstance(said, dict)  # it begins with {
    return said


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def cost_of(answer: "BaseMessage", seconds: float, settings: ModelSettings) -> Call:
    """Tokens as the model counted them, at the prices of the settings; 0 where it counts none."""
    usage = getattr(answer, "usage_metadata", None) or {}
    read, wrote = int(usage.get("input_tokens", 0)), int(usage.get("output_tokens", 0))
    return Call(read, wrote, (read * settings.price_in + wrote * settings.price_out) / 1e6, seconds)


Printed = tuple[Page, tuple[Word, ...], tuple[Word, ...]]  # the page, the words that print the value, the words before them


def places_of(document: Document, text: str) -> Iterator[Printed]:
    """Where a text is printed, whatever the spaces in it; it has to begin and end where a word or a number does."""
    wanted = _squeezed(text)
    if not wanted:
        return
    for page in document.pages:
        starts, run = [], ""
        for word in page.words:
            starts.append(len(run))
            run += _squeezed(word.text)
        edges = {*starts, len(run)}
        for found in re.finditer(re.escape(wanted), run):
            start, end = found.span()
            if (start in edges or _parts(run, start)) and (end in edges or _parts(run, end)):
                first, last = bisect_right(starts, start) - 1, bisect_left(starts, end) - 1
                yield page, page.words[first : last + 1], page.words[max(0, first - BESIDE) : first]


def _parts(run: str, at: int) -> bool:
    """Whether something ends and something else begins here, inside one printed word.

    >>> [_parts("#4,711-2", at) for at in (1, 3, 6)], _parts("17", 1)
    ([True, False, True], False)
    """
    before, after = run[at - 1], run[at]
    if (before.isdigit() and after in ".,/") or (before in ".,/" and after.isdigit()):
        return False  # within a number or a date
    return not (before.isalnum() and after.isalnum())


def _squeezed(text: str) -> str:
    return "".join(text.casefold().split())


def _before(place: Printed) -> str:
    return _squeezed(" ".join(word.text for word in place[2]))


def _around(words: Sequence[Word]) -> Box:
    boxes = [word.box for word in words]
    return Box(min(b.x0 for b in boxes), min(b.y0 for b in boxes), max(b.x1 for b in boxes), max(b.y1 for b in boxes))


def _against(schema: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    """What of an answer the schema does not allow."""
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

    for error in Draft202012Validator(schema).iter_errors(said):
        place = ".".join(str(part) for part in error.absolute_path)
        yield f"`{place}`: {error.message[:200]}" if place else error.message[:200]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else ''}".rstrip(": ")

"""The search for descriptions lets the model propose from its mistakes, scores on other documents, and stays in its limits."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proveout.agent.description_search import Description, PastExamples, search_descriptions
from proveout.errors import BadModel, BadPrompts
from proveout.models.language_model import LanguageModelTier, chat_model
from proveout.models.scripted_endpoint import Fault, ScriptedEndpoint
from proveout.prompts import ClassPrompt, FieldPrompt, ModelSettings, Prompts, unfenced
from proveout.retrieval import MemoryRecord
from test_prompt_search import LABELS, MISSION, NOTES

NOTES = NOTES[:12]
TEMPLATE = """# system
{% for name, field in fields.items() %}{{ name }}: {{ field.description }}
{% endfor %}{% for example in examples %}{{ example.document }} {{ example.answer }}
{% endfor %}# user
{{ document }}"""
PROMPTS = Prompts({"total": FieldPrompt("a number", ("Total",))}, {"note": ClassPrompt("a note")}, TEMPLATE)
MISSION = MISSION.model_copy(update={"classes": ("note",), "never_act_on": ()})
BETTER = "The amount payable, printed at its label."


class Reader(ScriptedEndpoint):
    """Reads the weight, until the prompt says "payable"; proposes descriptions one after the other."""

    def __init__(self, *proposals: str) -> None:
        super().__init__()
        self.proposals, self.questions = list(proposals), list[str]()
        self.down: Callable[[], bool] = lambda: False

    def answer(self, body: dict[str, Any]) -> str | Fault:
        super().answer(body)
        prompt = "\n".join(message["content"] for message in body["messages"])
        if "Write a better description" in prompt:
            self.questions.append(prompt)
            return self.proposals.pop(0) if self.proposals else "no"
        if self.down():
            return Fault(500)
        label = "Amount Payable" if "payable" in prompt.split("Note ")[0] else "Total Weight"
        value = re.search(rf"{label} (\S+)", unfenced(prompt))
        return json.dumps({"document_class": "note", "fields": {"total": value[1] if value else None}})


def tier(endpoint: ScriptedEndpoint, **settings: Any) -> LanguageModelTier:
    asked = ModelSettings(endpoint=endpoint.url, past_cases=0, attempts=1, **settings)
    return LanguageModelTier(chat_model(asked), PROMPTS, MISSION, asked)


def test_a_proposal_from_mistakes_is_scored_on_other_documents(tmp_path: Path):
    with Reader(f'"{BETTER}"') as endpoint:
        base, better = search_descriptions(tier(endpoint), NOTES, LABELS, 2, tmp_path / "trials.jsonl")
    assert (base.changes, base.f1, base.certified) == ([], 0.0, {"total": 0.0})
    assert better.changes == [str(Description("total", BETTER))] and better.tokens > 0
    assert (better.f1, better.turned_right, better.turned_wrong) == (1.0, len(NOTES) // 2, 0)
    (question,) = endpoint.questions
    in_question = {n for n in range(len(NOTES)) if f"$7{n}.50" in question}
    scored = {
        int(number) for body in endpoint.requests[-6:] for number in re.findall(r"Note (\d+)", body["messages"][-1]["content"])
    }
    assert len(in_question) == 4 and len(scored) == 6 and not in_question & scored
    assert "answered: $1" in question and "a number" in question


def test_what_is_no_description_or_repeats_a_value_is_not_tried(tmp_path: Path):
    with Reader("The one that is $70.50 or $71.50 or $72.50 or $73.50, $74.50 to $711.50", "Total") as endpoint:
        trials = search_descriptions(tier(endpoint), NOTES, LABELS, 5, tmp_path / "trials.jsonl")
    assert [trial.changes for trial in trials] == [[]] and len(endpoint.questions) == 2


def test_the_second_question_has_the_first_proposal(tmp_path: Path):
    with Reader("The weight of all of it.", BETTER) as endpoint:
        trials = search_descriptions(tier(endpoint), NOTES, LABELS, 5, tmp_path / "trials.jsonl")
    assert [trial.f1 for trial in trials] == [0.0, 0.0, 1.0]
    assert "Proposed before: The weight of all of it." in endpoint.questions[1]


def test_numbers_of_past_cases_are_tried_where_there_is_a_memory(tmp_path: Path):
    def past(documents: Any, k: int) -> Any:
        return [[MemoryRecord("9", "Note 9 Amount Payable $9.50", {"total": "9.50"}, "note")] * k for _ in documents]

    with Reader() as endpoint:
        trials = search_descriptions(tier(endpoint), NOTES, LABELS, 3, tmp_path / "trials.jsonl", past=past)
    assert [trial.changes for trial in trials] == [[], [str(PastExamples(1))], [str(PastExamples(3))]]
    assert trials[0].tokens < trials[1].tokens < trials[2].tokens
    shown = [body["messages"][0]["content"].count("$9.50") for body in endpoint.requests]
    assert (shown[0], shown[6], shown[-1]) == (0, 2, 6)  # in the text and in the answer


def test_no_trial_begins_that_may_take_too_many_tokens(tmp_path: Path):
    with Reader(BETTER) as endpoint:
        (base,) = search_descriptions(tier(endpoint), NOTES, LABELS, 5, tmp_path / "a.jsonl", tokens=1)
        asked = len(endpoint.requests)
        limit = 3 * base.tokens  # the base, the mistakes and their question, but no trial
        few = search_descriptions(tier(endpoint), NOTES, LABELS, 5, tmp_path / "b.jsonl", tokens=limit)
    assert asked == len(NOTES) // 2 and len(few) == 1 and len(endpoint.questions) == 1


def test_a_trial_is_not_made_twice(tmp_path: Path):
    with Reader(BETTER, BETTER) as endpoint:
        first = search_descriptions(tier(endpoint), NOTES, LABELS, 2, tmp_path / "trials.jsonl")
        asked = len(endpoint.requests)
        again = search_descriptions(tier(endpoint), NOTES, LABELS, 2, tmp_path / "trials.jsonl")
    assert again[1] == first[1]
    assert len(endpoint.requests) - asked == len(NOTES) + 1  # the base, the mistakes, the proposal


def test_an_endpoint_that_fails_is_no_score(tmp_path: Path):
    file = tmp_path / "trials.jsonl"
    with Reader(BETTER) as endpoint:
        endpoint.down = lambda: len(endpoint.questions) > 0
        with pytest.raises(BadModel, match=r"6 of 6 documents got no answer: .*500.*; what was scored before is kept"):
            search_descriptions(tier(endpoint), NOTES, LABELS, 2, file)
    assert [json.loads(line)["changes"] for line in file.read_text().splitlines()] == [[]]


def test_one_labelled_document_is_too_few(tmp_path: Path):
    with Reader() as endpoint, pytest.raises(BadPrompts, match="1 of 12 documents have labels"):
        search_descriptions(tier(endpoint), NOTES, {NOTES[0].id: LABELS[NOTES[0].id]}, 2, tmp_path / "trials.jsonl")


def test_of_two_descriptions_of_a_field_that_help_only_the_better_counts(tmp_path: Path):
    with Reader(BETTER, f"{BETTER} Really.") as endpoint:
        trials = search_descriptions(tier(endpoint), NOTES, LABELS, 9, tmp_path / "trials.jsonl")
    assert [trial.f1 for trial in trials] == [0.0, 1.0, 1.0]  # nothing is tried together


def test_a_torn_line_and_a_model_that_fails_when_asked_to_write(tmp_path: Path):
    file = tmp_path / "trials.jsonl"
    file.write_text('{"about": "x", "chan')
    with Reader() as endpoint:
        endpoint.proposals = [Fault(500)]  # type: ignore[list-item]
        with pytest.raises(BadModel, match=r"asked for a description, the model gave no answer .*500"):
            search_descriptions(tier(endpoint), NOTES, LABELS, 2, file)
    assert [json.loads(line)["changes"] for line in file.read_text().splitlines()[1:]] == [[]]
    with Reader(f"<think>It is 5.</think>\n{BETTER}") as endpoint:
        _, better = search_descriptions(tier(endpoint), NOTES, LABELS, 2, file)
    assert better.changes == [str(Description("total", BETTER))]

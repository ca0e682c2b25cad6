"""The packaged language model reads cases that wait for a person, or others if none does. Entry point: `read_waiting`.

It shows, offline, what a language model answers, beside the release's answers and the labels. It decides nothing, because
nothing was calibrated for it.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from proveout.cli.output import say
from proveout.mission import Mission
from proveout.workspace import Workspace

CASES = 3  # half a minute each
READERS = ("release", "language model")


@dataclass(frozen=True, slots=True)
class Value:
    """A labelled field of a case, and the text that each of READERS read, "" for none."""

    case: str
    field: str
    texts: tuple[str, str]
    right: tuple[bool, bool]

    def __str__(self) -> str:
        answers = zip(READERS, self.texts, self.right, strict=True)
        spoken = (f"{reader}: {text or 'nothing'}{'' if right else ' (wrong)'}" for reader, text, right in answers)
        return f"  {self.case[:8]}  {self.field:14} {';  '.join(spoken)}"


def read_waiting(space: Workspace) -> None:
    """Print what the release and SmolLM2 read in the cases that wait longest, then others, as far as they have labels.

    Raises BadPrompts if SmolLM2 is not installed.
    """
    from proveout.corpus import Dataset
    from proveout.journal import Journal
    from proveout.models.language_model import LanguageModelTier
    from proveout.models.tiers import Parts
    from proveout.progress import bar
    from proveout.prompts import ModelSettings, Prompts
    from proveout.review import waiting

    settings = ModelSettings(local="smollm2", characters=6000)
    prompts = replace(Prompts.load(space.design / "prompts"), model=settings)
    tier = LanguageModelTier.load(Parts(space.mission, prompts, space.build / "models" / "model", cache=space.cache))
    dataset = Dataset.load(space.build / "curate" / "dataset")
    labels = dataset.labels("stream", "test")
    with Journal(space.home / "journal.db") as journal:
        first = {decided.case.key: decided for decided in (*waiting(journal), *journal.decisions())}
    cases = [decided for decided in first.values() if labels.get(decided.case.id)][:CASES]
    values: list[Value] = []
    tokens, began = 0, time.perf_counter()
    with bar("Reading", len(cases)) as step:
        for decided in cases:
            reply = tier.read(dataset.document(decided.case.id))
            tokens += sum(call.tokens for call in reply.calls)
            read = [
                {name: value.text for name, value in fields.items()}
                for fields in (decided.decision.fields, reply.extraction.fields)
            ]
            values += _values(decided.case.id, space.mission, labels[decided.case.id], *read)
            step()
    seconds = time.perf_counter() - began
    for value in values:
        say(str(value))
    release, model = (sum(value.right[reader] for value in values) for reader in (0, 1))
    each = max(len(cases), 1)
    say(f"  Of {len(values)} values the release read {release} right, the language model {model};")
    say(f"  {seconds / each:.0f} seconds and {tokens / each:,.0f} tokens a document.")
    say("  It decided nothing; docs/language_model.md says how one takes part.")


def _values(
    case: str, mission: Mission, labels: Mapping[str, str], release: Mapping[str, str], model: Mapping[str, str]
) -> Iterator[Value]:
    from proveout.values import has_value, same

    for name, kind in mission.kinds.items():
        if has_value(kind, label := labels.get(name, "")):
            texts = release.get(name, ""), model.get(name, "")
            first, second = (bool(text) and same(kind, label, text) for text in texts)
            yield Value(case, name, texts, (first, second))

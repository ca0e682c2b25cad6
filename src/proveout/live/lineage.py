"""Where a decision comes from, and where a document or a label went. Entry points: `backward`, `forward`.

Backward, from each field: the tier and model that read it, the prompt, the calibration, the documents that these learned from,
the similar cases that it saw, and the corrections that the extractor had been taught.
Forward, from a document or a person's answer: the releases that learned from it or were calibrated on it, how much each of them
decided, and the decisions that recalled it.
Covered: documents of labels.csv and live cases alike, by the SHA-256 of their bytes.
Not covered: how much one training document moved one value; a model learns from all of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from proveout.errors import BadModel, NoRelease, OtherCode
from proveout.journal import LABEL, Journal
from proveout.prompts import Prompts
from proveout.records import Decided
from proveout.release import Release, Releases
from proveout.retrieval import Memory

if TYPE_CHECKING:
    from proveout.workspace import Workspace

SHORT = 12


@dataclass(frozen=True)
class Origin:
    """Where one field of a decision comes from."""

    field: str
    value: str
    tier: str
    prompt: str  # what it was looked for by
    certificate: str  # what the calibration proves about it


@dataclass(frozen=True)
class Backward:
    """What a decision comes from."""

    decided: Decided
    release: Release
    origins: Sequence[Origin]
    learned: frozenset[str]  # ids of the documents that the model and the memory learned from
    calibrated: frozenset[str]  # ids of the documents that the thresholds rest on
    corrections: Sequence[str]  # ids of the cases whose corrections the extractor had been taught

    def lines(self) -> Iterator[str]:
        parts = self.release.manifest["content"]["parts"]
        for one in self.origins:
            yield f"{one.field} {one.value!r}"
            yield f"  read by      {one.tier}, model {parts['model'][:SHORT]}"
            yield f"  looked for   {one.prompt}, prompts {parts.get('prompts', 'none')[:SHORT]}"
            yield f"  certificate  {one.certificate}, calibration {parts['calibration'][:SHORT]}"
        yield f"release {self.release.id[:SHORT]}"
        yield f"  learned from   {_some(self.learned)}"
        yield f"  calibrated on  {_some(self.calibrated)}"
        yield f"  corrected by   {_some(self.corrections)}"
        recalled = self.decided.decision.similar
        for past in recalled:
            origin = "learned by the release" if past.case in self.learned else "a live case"
            yield f"  recalled       {past.case[:SHORT]}, {past.similarity:.2f} similar, {origin}"


@dataclass(frozen=True)
class Use:
    """One release that a document went into."""

    release: str
    learned: bool
    calibrated: bool
    decisions: int


@dataclass(frozen=True)
class Forward:
    """Where a document or a label went."""

    case: str
    answered: Sequence[str]  # by whom and when, in words
    uses: Sequence[Use]
    recalled: Sequence[Decided]  # decisions that saw it as a similar case
    taught: int  # decisions of runs that began after a person's answer, whose extractor may have been taught by it
    unread: Sequence[str]  # releases that cannot be opened, with the reason

    def lines(self) -> Iterator[str]:
        yield f"document {self.case}"
        yield from (f"  {text}" for text in self.answered)
        for use in self.uses:
            what = " and ".join(["learned from it"] * use.learned + ["was calibrated on it"] * use.calibrated)
            yield f"  release {use.release[:SHORT]} {what}; it decided {use.decisions} cases"
        if not self.uses:
            yield "  no release learned from it or was calibrated on it"
        yield f"  recalled by {len(self.recalled)} decisions{': ' if self.recalled else ''}" + ", ".join(
            one.case.id[:SHORT] for one in self.recalled
        )
        if self.answered:
            yield f"  {self.taught} decisions came after the answer"
        yield from (f"  release {text}" for text in self.unread)


class Lineage:
    """The lineage of one workspace; it reads each release once."""

    def __init__(self, space: "Workspace", journal: Journal) -> None:
        self.space, self.journal = space, journal

    @cached_property
    def releases(self) -> tuple[dict[str, Release], list[str]]:
        """Every release that can be opened, and the others with the reason."""
        store, opened, unread = Releases(self.space.releases), dict[str, Release](), []
        for summary in store.list():
            try:
                opened[summary.id] = store.open(summary.id)
            except (BadModel, NoRelease, OtherCode) as error:
                unread.append(f"{summary.id[:SHORT]} cannot be read: {error}")
        return opened, unread

    def backward(self, decided: Decided) -> Backward:
        """Raises BadModel or NoRelease if the release that decided it cannot be opened."""
        release = Releases(self.space.releases).open(decided.decision.release)
        prompts = Prompts.load(release.path("prompts")) if release.has("prompts") else Prompts({}, {}, "")
        origins = [
            Origin(
                name,
                output.text,
                output.tier,
                ", ".join(prompts.fields[name].labels) or prompts.fields[name].description
                if name in prompts.fields
                else "nothing",
                release.calibrations.because(name),
            )
            for name, output in decided.in_order(release.mission.fields).decision.fields.items()
        ]
        memory = Memory.open(self.space.memory) if self.space.memory.exists() else None
        position = decided.decision.memory_position
        corrected = memory.corrections(position) if memory and position else []
        taught = [answer.case for answer, _ in corrected if answer.case not in release.learned]
        return Backward(decided, release, origins, release.learned, calibrated(release), taught)

    def forward(self, case: str) -> Forward:
        """`case`: the whole id of a case, the SHA-256 of a document."""
        opened, unread = self.releases
        decisions = list(self.journal.decisions())
        labels = [event for event in self.journal.events(case) if event.kind == LABEL]
        uses = [
            Use(id, case in release.learned, case in calibrated(release), sum(one.decision.release == id for one in decisions))
            for id, release in opened.items()
        ]
        return Forward(
            case,
            [f"answered by {event.payload['by']} on {event.at[:10]}" for event in labels],
            [use for use in uses if use.learned or use.calibrated],
            [one for one in decisions if any(similar.case == case for similar in one.decision.similar)],
            sum(one.position > labels[0].position for one in decisions) if labels else 0,
            unread,
        )


def calibrated(release: Release) -> frozenset[str]:
    """The cases of the calibration split, which the release's reference has."""
    import pyarrow.parquet as parquet  # type: ignore[import-untyped]

    try:
        return frozenset(parquet.read_table(release.path("evidence/reference"), columns=["case"])["case"].to_pylist())
    except BadModel:
        return frozenset()


def _some(cases: Sequence[str] | frozenset[str]) -> str:
    """How many, and the first of them."""
    listed = ", ".join(case[:SHORT] for case in sorted(cases)[:3])
    return f"{len(cases)} documents" + (f": {listed}{' …' if len(cases) > 3 else ''}" if cases else "")

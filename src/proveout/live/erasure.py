"""Erase what a workspace holds of a case. Entry points: `plan`, then `erase`.

The journal keeps that the case was, and an event that says who erased its content, when and why. In an encrypted workspace its
keys are destroyed, so backups of everything but keys.db become unreadable, too; events from before encryption are emptied.
Files about the case are removed. What learned from it is named, not changed: a release is what it was frozen as.
Covered: a kill at any point (the next run, or `erase` again, completes it), several turns, repeating it.
Not covered: what left the workspace, such as exports and the counterparties of effects; `plan` names those that are known.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from proveout.cases import design_of, kind_of
from proveout.corpus import Dataset
from proveout.documents import Originals
from proveout.documents.batch import cached
from proveout.errors import BadInput, BadModel, UnreadableDocument
from proveout.journal import DECISION, ERASED, ERASURE, LABEL, SETTLED, Event, Journal
from proveout.journal.intentions import State
from proveout.live import alone, label_export
from proveout.live.inbox import cases_in, documents_in
from proveout.records import Person
from proveout.release import Releases
from proveout.retrieval import memory
from proveout.vault import Vault
from proveout.workspace import Workspace

NAMED = (".json", ".jsonl", ".csv")  # files of a build that may name the cases they were made of
SMALL = 1 << 20  # bytes of a file of an effect that is not a document
SHORT = 12


@dataclass(frozen=True)
class Plan:
    """What erasing a case means, in lines for people."""

    case: str
    files: tuple[str, ...]  # SHA-256 of the files that its turns were decided on
    removed: tuple[str, ...]
    derived: tuple[str, ...]  # what learned from it and stays
    beyond: tuple[str, ...]  # what cannot be reached from here


def plan(space: Workspace, journal: Journal, case: str) -> Plan:
    """What erasing a case would remove, and what stays. `case`: its id.

    Raises BadInput if the case is not decided, was erased, or has effects that wait.
    """
    events = list(journal.events(case))
    if any(event.kind == ERASURE for event in events):
        raise BadInput(f"case {case[:SHORT]} was erased already")
    if not any(event.kind == DECISION for event in events):
        raise BadInput(f"no decided case has the id {case[:64]!r}; `proveout export cases.csv` lists them")
    if open_effects := [one.action.name for one in journal.unsettled() if one.case == case]:
        raise BadInput(f"{', '.join(open_effects)} of case {case[:SHORT]} waits; carry it out (proveout run) or undo it first")
    files = {event.payload["case"].get("content") or case: None for event in events if event.kind == DECISION}
    removed = [f"{len(events)} events of the journal: their content, not that they happened"]
    removed += [f"the document {file[:SHORT]}, its text, pictures and place in memory" for file in files]
    removed += [f"{path.relative_to(space.home)}" for path in [*_submitted(space, case), *_effects(space, case)]]
    return Plan(
        case, tuple(files), tuple(removed), tuple(_derived(space, case, events)), tuple(_beyond(space, journal, case, events))
    )


def erase(space: Workspace, journal: Journal, planned: Plan, person: Person, reason: str) -> None:
    """Erase a case. Only while no other process works in the workspace (`alone`). Raises BadInput without a reason."""
    if not reason.strip():
        raise BadInput("say why the case is erased; the journal keeps it, so name nothing there that is to be erased")
    payload = {"by": person.name, "role": person.role.value, "because": reason.strip(), "files": list(planned.files)}
    journal.append([Event(planned.case, ERASURE, payload, key=planned.case)])
    _remove(space, journal, planned.case, planned.files)


def complete(space: Workspace, journal: Journal) -> None:
    """Complete erasures that a kill interrupted, or that an older copy of the keys undid.

    Raises Busy if another process works in the workspace.
    """
    vault, done = Vault.at(space.home), {event.case for event in journal.of_kind(ERASED)}
    events = list(journal.of_kind(ERASURE))
    if vault:
        done &= {event.case for event in events if all(map(vault.erased, (event.case, *event.payload["files"])))}
    if todo := [event for event in events if event.case not in done]:
        with alone(space.home):
            for event in todo:
                _remove(space, journal, event.case, event.payload["files"])


def _remove(space: Workspace, journal: Journal, case: str, files: Sequence[str]) -> None:
    if vault := Vault.at(space.home):
        vault.destroy({case, *files})
    journal.empty(case)
    originals = Originals(space.originals)
    for path in [*_submitted(space, case), *_effects(space, case), *(space.answers / "files").glob(f"{case}*")]:
        path.unlink(missing_ok=True)
    for file in files:
        originals.remove(file)
        for path in cached(space.cache, file):
            path.unlink(missing_ok=True)
    memory.erase(space.memory, case)
    if space.answers.is_dir() and any(space.answers.iterdir()):
        _export(space)(space)
    if (space.logs / "decisions.parquet").exists():
        journal.to_parquet(space.logs, space.mission)
    journal.append([Event(case, ERASED, {}, key=case)])


def _submitted(space: Workspace, case: str) -> Iterator[Path]:
    """The files of a case in the workspace's own inbox."""
    kind = kind_of(space.mission)
    for file in documents_in(space.home / "inbox") if (space.home / "inbox").is_dir() else ():
        with suppress(OSError, UnreadableDocument):
            if {id for id, _, _ in cases_in(kind, file.path)} == {case}:
                yield file.path


def _shared(space: Workspace, case: str) -> Iterator[str]:
    """The files of the inbox that hold a case beside others."""
    kind = kind_of(space.mission)
    for file in documents_in(space.home / "inbox") if (space.home / "inbox").is_dir() else ():
        with suppress(OSError, UnreadableDocument):
            if case in (cases := {id for id, _, _ in cases_in(kind, file.path)}) and len(cases) > 1:
                yield file.name


def _export(space: Workspace) -> Callable[[Workspace], tuple[int, int]]:
    """What writes people's answers for the next build."""
    export: Callable[[Workspace], tuple[int, int]] = label_export.write
    return getattr(design_of(space.design / "mission.yaml"), "export", export)


def _effects(space: Workspace, case: str) -> Iterator[Path]:
    """The files that effects wrote about a case in the workspace; each connector names the case in them, or in their name."""
    for path in sorted(space.effects.rglob("*")):
        if path.is_file() and (case in path.name or (path.stat().st_size < SMALL and case.encode() in path.read_bytes())):
            yield path


def _derived(space: Workspace, case: str, events: Iterable[Event]) -> Iterator[str]:
    if any(event.kind == LABEL for event in events) and any((space.answers / "files").glob(f"{case}*")):
        yield "its answer is among the labels of the next build, and is removed from them"
    elif any(event.kind == LABEL for event in events) and _export(space) is not label_export.write:
        yield "its answer is removed from those of the next build; what the last one learned from it stays until then"
    yield from (f"inbox/{name} holds it beside other cases; take it out of that file" for name in _shared(space, case))
    dataset = space.build / "curate" / "dataset"
    if (dataset / "dataset.json").exists() and any(entry.case.id == case for entry in Dataset.load(dataset).entries):
        yield "the last build's data set holds it; to build without it, take it out of the data, then: proveout build"
    for path in sorted(space.build.rglob("*")):
        if path.suffix in NAMED and case.encode() in path.read_bytes():
            yield f"{path.relative_to(space.home)} names it, until the next build"
    store = Releases(space.releases)
    for entry in store.list():
        with suppress(BadModel):
            if case in store.open(entry.id).learned:
                name = f"release {entry.id[:SHORT]}"
                yield f"{name} learned from it; build and promote another, then remove the folder {space.releases / entry.id}"


def _beyond(space: Workspace, journal: Journal, case: str, events: Iterable[Event]) -> Iterator[str]:
    home = str(space.home)
    if count := journal.recalled(case):
        yield f"{count} decisions from before the journal was encrypted, which show its values among their similar cases"
    for event in events:
        payload = event.payload
        if event.kind == SETTLED and payload["state"] == State.DONE.value and not payload["because"].startswith(home):
            yield f"{payload['name']} was done outside of the workspace: {payload['because']}"
    yield "files that a person exported or printed, backups made before, and the folder that the document came from"

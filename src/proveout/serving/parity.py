"""The server as one more way to decide, for the parity test: every document through its own door, `POST /api/v1/preview`."""

import asyncio
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from proveout.identity import Accounts
from proveout.records import Action, Box, Check, Decision, Output, Place, Role, SimilarCase
from proveout.release import Release, Releases
from proveout.serving import application
from proveout.serving.answers import DecisionAnswer, FieldAnswer
from proveout.serving.guards import Limits
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from httpx import AsyncClient

UNBOUNDED = Limits(document=1 << 40, per_second=1e9, burst=1e9)
PASSWORD = "nobody signs in here"


def decided_by_server(space: Workspace, release: Release, paths: Sequence[Path]) -> list[Decision]:
    """What a server answers whose home holds this release and nothing else."""
    with tempfile.TemporaryDirectory(prefix="proveout-server-") as folder:
        home = replace(space, home=Path(folder))
        home.releases.mkdir()
        (home.releases / release.id).symlink_to(release.folder.resolve())
        Releases(home.releases).promote(release.id, by="parity")
        with Accounts(home.accounts) as accounts:
            accounts.add("parity", Role.OPERATOR, PASSWORD)
            token = accounts.new_token("parity", "parity")
            return asyncio.run(_asked(home, accounts, token, paths))


async def _asked(space: Workspace, accounts: Accounts, token: str, paths: Sequence[Path]) -> list[Decision]:
    import httpx

    app = application(space, accounts, UNBOUNDED)
    transport, sign = httpx.ASGITransport(app), {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=sign) as client:
        return [await _decision(client, path) for path in paths]


async def _decision(client: "AsyncClient", path: Path) -> Decision:
    answer = await client.post("/api/v1/preview", params={"memory": "release"}, files={"file": (path.name, path.read_bytes())})
    return from_answer(DecisionAnswer.model_validate(answer.raise_for_status().json()))


def from_answer(said: DecisionAnswer) -> Decision:
    """The decision that an answer tells of, as far as it does: values as text, actions without their keys."""
    return Decision(
        case=said.case,
        release=said.release,
        document_class=said.document_class,
        class_confidence=_number(said.class_confidence),
        fields={name: _field(field) for name, field in said.fields.items()},
        automated=frozenset(name for name, field in said.fields.items() if field.automated),
        checks=tuple(Check(one.name, one.passed, one.because) for one in said.checks),
        similar=tuple(SimilarCase(one.case, _number(one.similarity), one.fields) for one in said.similar),
        route=said.route,
        because=(said.because[0], said.because[1]),
        actions=tuple(Action(one.name, one.arguments, key="") for one in said.actions),
        memory_position=said.memory_position,
        descriptors={name: _number(value) for name, value in said.descriptors.items()},
        dollars=said.dollars,
        turn=said.turn,
    )


def _field(said: FieldAnswer) -> Output:
    place = Place(said.page, Box(**said.box.model_dump())) if said.box and said.page is not None else None
    for_it, against_it = tuple(said.speaks_for), tuple(said.speaks_against)
    return Output(said.text, said.value, _number(said.confidence), place, said.tier, for_it, against_it)


def _number(said: float | None) -> float:
    return float("nan") if said is None else said

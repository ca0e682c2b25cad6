"""The server as one of the four ways of the parity test: every document goes through `POST /api/v1/preview`."""

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
from proveout.values import value_of
from proveout.workspace import Workspace

if TYPE_CHECKING:
    from httpx import AsyncClient

UNBOUNDED = Limits(document=1 << 40, per_second=1e9, burst=1e9)
PASSWORD = "nobody signs in here"


def decided_by_server(space: Workspace, release: Release, paths: Sequence[Path]) -> list[Decision]:
    """The answers of a server on a temporary workspace that holds only this release."""
    with tempfile.TemporaryDirectory(prefix="proveout-server-") as folder:
        home = replace(space, home=Path(folder))
        home.releases.mkdir()
        (home.releases / release.id).symlink_to(release.folder.resolve())
        Releases(home.releases).promote(release.id, by="parity")
        with Accounts(home.accounts) as accounts:
            accounts.add("parity", Role.OPERATOR, PASSWORD)
            token = accounts.new_token("parity", "parity")
            return asyncio.run(_decisions(home, accounts, token, paths))


async def _decisions(space: Workspace, accounts: Accounts, token: str, paths: Sequence[Path]) -> list[Decision]:
    import httpx

    app = application(space, accounts, UNBOUNDED)
    transport, headers = httpx.ASGITransport(app), {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers) as client:
        return [await _decision(client, path) for path in paths]


async def _decision(client: "AsyncClient", path: Path) -> Decision:
    answer = await client.post("/api/v1/preview", params={"memory": "release"}, files={"file": (path.name, path.read_bytes())})
    return from_answer(DecisionAnswer.model_validate(answer.raise_for_status().json()))


def from_answer(answer: DecisionAnswer) -> Decision:
    """The decision in an answer. The API leaves some of it out: actions have no keys."""
    return Decision(
        case=answer.case,
        release=answer.release,
        document_class=answer.document_class,
        class_confidence=_number(answer.class_confidence),
        fields={name: _field(field) for name, field in answer.fields.items()},
        automated=frozenset(name for name, field in answer.fields.items() if field.automated),
        checks=tuple(Check(check.name, check.passed, check.because) for check in answer.checks),
        similar=tuple(SimilarCase(case.case, _number(case.similarity), case.fields) for case in answer.similar),
        route=answer.route,
        because=(answer.because[0], answer.because[1]),
        actions=tuple(Action(action.name, action.arguments, key="") for action in answer.actions),
        memory_position=answer.memory_position,
        descriptors={name: _number(value) for name, value in answer.descriptors.items()},
        dollars=answer.dollars,
        turn=answer.turn,
    )


def _field(field: FieldAnswer) -> Output:
    place = Place(field.page, Box(**field.box.model_dump())) if field.box and field.page is not None else None
    speaks_for, speaks_against = tuple(field.speaks_for), tuple(field.speaks_against)
    value = value_of(field.kind, field.value)
    return Output(field.text, value, _number(field.confidence), place, field.tier, speaks_for, speaks_against)


def _number(number: float | None) -> float:
    return float("nan") if number is None else number

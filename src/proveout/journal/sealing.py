"""Events whose content is encrypted with the key of their case, so that it can be erased and the chain stays whole.

The journal stores an envelope in place of the payload, and hashes that: a commitment (SHA-256 over a secret salt and the
payload), the encrypted salt and payload, and in the clear only which run and turn it was. A receipt opens the commitment for
those who have no key. What other cases remember of a case is encrypted with the key of that case: see `SIMILAR`.
"""

import base64
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from proveout.errors import BadInput, BadJournal
from proveout.journal.codec import canonical, parse
from proveout.records import case_of
from proveout.vault import Vault, open_sealed, seal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from sqlalchemy import Row

SALT = 16  # bytes
WORKSPACE = "workspace"  # the key of events without a case
SIMILAR = "similar"  # of a decision: [case, similarity, fields], whose fields are that case's content


def sealed(ciphers: "Mapping[str, AESGCM | None]", case: str, kind: str, key: str, payload: Mapping[str, Any]) -> str:
    """The text to store for an event. `ciphers`: of its case, and of the similar ones that have any."""
    cipher = ciphers[case or WORKSPACE]
    if cipher is None:
        raise BadInput(f"case {case[:12]} was erased, so nothing can be added to it")
    if similar := payload.get("decision", {}).get(SIMILAR):
        others = [_similar_sealed(ciphers, *one) for one in similar]
        payload = {**payload, "decision": {**payload["decision"], SIMILAR: others}}
    content = os.urandom(SALT) + canonical(payload).encode()
    run = f'"run":{canonical(payload["run"])},' if "run" in payload else ""
    turn = f',"turn":{payload["turn"]}' if "turn" in payload else ""
    encrypted = base64.b64encode(seal(cipher, content, f"{case} {kind} {key}")).decode()
    return f'{{"commitment":"{hashlib.sha256(content).hexdigest()}",{run}"sealed":"{encrypted}"{turn}}}'


def needed(payload: Mapping[str, Any]) -> Iterator[str]:
    """The similar cases whose keys `sealed` uses where they exist."""
    return (case_of(one[0]) for one in payload.get("decision", {}).get(SIMILAR, ()))


def opened(vault: Vault | None, rows: "Sequence[Row[Any]]") -> "Iterator[tuple[Row[Any], dict[str, Any]]]":
    """The rows with their payloads, without those that were erased. Raises BadJournal if there are no keys."""
    stored = [(row, parse(row.payload)) for row in rows if row.payload]
    names = {row.case or WORKSPACE for row, payload in stored if "sealed" in payload}
    if not names:
        yield from stored
        return
    if vault is None:
        raise BadJournal(
            "the journal is encrypted, and its keys.db is missing; put it back, or give the vault of its workspace"
        )
    ciphers, plain = vault.ciphers(names), []
    for row, payload in stored:
        if "sealed" not in payload:
            plain.append((row, payload))
        elif (content := _content(ciphers, row, payload)) is not None:
            plain.append((row, parse(content[SALT:].decode())))
    others = vault.ciphers({name for _, payload in plain for name in needed(payload)})
    for row, payload in plain:
        if similar := payload.get("decision", {}).get(SIMILAR):
            payload["decision"][SIMILAR] = [_similar_opened(others, *one) for one in similar]
        yield row, payload


def is_plain(row: "Row[Any]") -> bool:
    """Whether an event's content stands in the database as it is."""
    return bool(row.payload) and "sealed" not in parse(row.payload)


def opening(vault: Vault | None, row: "Row[Any]") -> dict[str, str]:
    """What opens the commitment of an event to somebody without keys; nothing if it was erased or has none."""
    payload = parse(row.payload) if row.payload else {}
    if "sealed" not in payload or vault is None:
        return {}
    content = _content(vault.ciphers([row.case or WORKSPACE]), row, payload)
    return {} if content is None else {"salt": content[:SALT].hex(), "payload": content[SALT:].decode()}


def _content(ciphers: "Mapping[str, AESGCM | None]", row: "Row[Any]", payload: Mapping[str, Any]) -> bytes | None:
    """Salt and payload; None if the key was destroyed."""
    name = row.case or WORKSPACE
    if name not in ciphers:
        raise BadJournal(f"event {row.position}: keys.db has no key for case {name[:12]}; put the right one back")
    cipher = ciphers[name]
    if cipher is None:
        return None
    try:
        return open_sealed(cipher, base64.b64decode(payload["sealed"]), f"{row.case} {row.kind} {row.key}")
    except (BadInput, ValueError) as error:
        raise BadJournal(f"event {row.position} cannot be read: {error}") from error


def _similar_sealed(ciphers: "Mapping[str, AESGCM | None]", key: str, similarity: Any, fields: Mapping[str, str]) -> list[Any]:
    cipher = ciphers.get(case_of(key))
    if cipher is None or not fields:  # learned by the release, or erased
        return [key, similarity, fields]
    content = seal(cipher, canonical(fields).encode(), f"similar {key}")
    return [key, similarity, {}, base64.b64encode(content).decode()]


def _similar_opened(
    ciphers: "Mapping[str, AESGCM | None]", key: str, similarity: Any, fields: Mapping[str, str], content: str = ""
) -> list[Any]:
    cipher = ciphers.get(case_of(key))
    if not content or cipher is None:
        return [key, similarity, fields]
    return [key, similarity, parse(open_sealed(cipher, base64.b64decode(content), f"similar {key}").decode())]

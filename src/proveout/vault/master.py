"""Where the master key is: in a file outside of every workspace, in the environment, or in a key service at a URL.

PROVEOUT_MASTER_KEY is unset (the file ~/.config/proveout/master-key, made when first needed), the name of another file, the key
itself in 64 hexadecimal digits, the address of a key service, `none` (new workspaces are not encrypted), or `NAME:anything` for
a class that a package offers by an entry point of the group `proveout.keys`. Entry point: `master_key`.
"""

import base64
import hashlib
import json
import os
import re
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Protocol

from proveout import plugins
from proveout.errors import BadInput

SETTING = "PROVEOUT_MASTER_KEY"
TIMEOUT = 10.0  # seconds


class MasterKey(Protocol):
    """Encrypts the key of a workspace, 32 bytes."""

    name: str  # for people; tells this key from others, and nothing else about it

    def wrap(self, key: bytes) -> bytes: ...

    def unwrap(self, wrapped: bytes) -> bytes | None:
        """None if another master key wrapped it."""


def master_key(setting: str | None = None, create: bool = False) -> MasterKey | None:
    """The master key that a setting names, by default PROVEOUT_MASTER_KEY; None for `none`.

    `create`: make the file if it is not there. Raises BadInput if there is no such key, or others can read its file.
    """
    setting = os.environ.get(SETTING, "") if setting is None else setting
    if setting == "none":
        return None
    if re.fullmatch("[0-9a-fA-F]{64}", setting):
        return LocalKey(bytes.fromhex(setting))
    group, colon, _ = setting.partition(":")
    if colon and group in plugins.names("keys"):
        service: MasterKey = plugins.find("keys", group)(setting)
        return service
    named = os.path.expanduser(setting or "~/.config/proveout/master-key")  # noqa: PTH111  (Path.expanduser fails without a home)
    return _of_file(Path(named), create)


def _of_file(file: Path, create: bool) -> MasterKey:
    if create and not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as new:
                new.write(os.urandom(32).hex() + "\n")
                new.flush()
                os.fsync(handle)
            print(f"proveout: new master key {file}; keep a copy: without it the workspaces cannot be read", file=sys.stderr)
        except FileExistsError:
            pass  # another process was first
        except OSError as error:
            how = f"name another file, or `none` for workspaces without encryption: {SETTING}"
            raise BadInput(f"{file}: the master key cannot be made ({error.strerror}); {how}") from error
    try:
        text = file.read_text(encoding="ascii").strip()
        mode = file.stat().st_mode
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{file}: the master key cannot be read ({error}); put it back, or name it: {SETTING}") from error
    if not re.fullmatch("[0-9a-fA-F]{64}", text):
        raise BadInput(f"{file}: expected a master key of 64 hexadecimal digits, found {len(text)} characters")
    if mode & 0o077:
        raise BadInput(f"{file}: others can read the master key; chmod 600 {file}")
    return LocalKey(bytes.fromhex(text))


class LocalKey:
    """A master key of 32 bytes on this machine."""

    def __init__(self, key: bytes) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM(key)
        self.name = hashlib.sha256(b"proveout master key" + key).hexdigest()[:12]

    def wrap(self, key: bytes) -> bytes:
        nonce = os.urandom(12)
        return nonce + self._cipher.encrypt(nonce, key, b"workspace")

    def unwrap(self, wrapped: bytes) -> bytes | None:
        from cryptography.exceptions import InvalidTag

        try:
            return self._cipher.decrypt(wrapped[:12], wrapped[12:], b"workspace")
        except InvalidTag:
            return None


class KeyService:
    """A service that never hands its key out: POST {"plaintext": base64} to URL/wrap, {"ciphertext": base64} to URL/unwrap.

    It answers with the other one of the two, or with status 400 to what another key wrapped. PROVEOUT_KEY_SERVICE_TOKEN, if
    set, is sent as a bearer token.
    """

    def __init__(self, url: str) -> None:
        self.name = self._url = url.rstrip("/")

    def wrap(self, key: bytes) -> bytes:
        wrapped = self._ask("wrap", "plaintext", key, "ciphertext")
        if wrapped is None:
            raise BadInput(f"{self._url}/wrap: refuses to encrypt; see the service's log")
        return wrapped

    def unwrap(self, wrapped: bytes) -> bytes | None:
        return self._ask("unwrap", "ciphertext", wrapped, "plaintext")

    def _ask(self, what: str, given: str, content: bytes, wanted: str) -> bytes | None:
        headers = {"Content-Type": "application/json"}
        if token := os.environ.get("PROVEOUT_KEY_SERVICE_TOKEN"):
            headers["Authorization"] = f"Bearer {token}"
        body = json.dumps({given: base64.b64encode(content).decode()}).encode()
        request = urllib.request.Request(f"{self._url}/{what}", body, headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                answer: Any = json.load(response)
            return base64.b64decode(answer[wanted], validate=True)
        except urllib.error.HTTPError as error:
            if error.code == 400:
                return None
            raise BadInput(f"{self._url}/{what}: {error.code} {error.reason}; the key service has to answer first") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(f"{self._url}/{what}: no answer of a key service ({error}); start it, or see its log") from error

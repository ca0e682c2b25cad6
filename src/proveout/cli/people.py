"""`proveout user`: accounts and tokens, from a terminal or a script.

A name or label that is invalid, taken or does not exist raises BadInput.
"""

import sys
from datetime import UTC, datetime

from proveout.cli.output import say, short
from proveout.errors import BadInput
from proveout.identity import Accounts
from proveout.records import Role
from proveout.workspace import Workspace


def add(space: Workspace, name: str, role: str, from_stdin: bool) -> None:
    """Add an account, and claim the workspace for its mission."""
    if role not in list(Role):
        raise BadInput(f"no role {role!r}; expected one of: {', '.join(Role)}. What each may do: proveout user --help")
    space.claim()
    with Accounts(space.accounts) as accounts:
        account = accounts.add(name, Role(role), _password(from_stdin))
    say(f"added {account.name} with the role {account.role}; to start the server: proveout serve")


def show(space: Workspace) -> None:
    """List the accounts with their roles and the labels of their tokens."""
    with Accounts(space.accounts) as accounts:
        for account in accounts:
            tokens = f"  tokens: {', '.join(account.tokens)}" if account.tokens else ""
            say(f"{account.name:32} {account.role:10} since {datetime.fromtimestamp(account.since, UTC):%Y-%m-%d}{tokens}")
        if not len(accounts):
            say(f"no account in {short(space.accounts)}; to add one: proveout user add NAME --role operator")


def remove(space: Workspace, name: str) -> None:
    """Remove an account, its sessions and its tokens."""
    with Accounts(space.accounts) as accounts:
        accounts.remove(name)
    say(f"removed {name} with all sessions and tokens")


def password(space: Workspace, name: str, from_stdin: bool) -> None:
    """Set a new password and end the account's sessions."""
    with Accounts(space.accounts) as accounts:
        accounts.change_password(name, _password(from_stdin))
    say(f"changed the password of {name} and ended all sessions of the account")


def token(space: Workspace, name: str, label: str) -> None:
    """Create a token. Only the token goes to standard output, so that a script can capture it."""
    with Accounts(space.accounts) as accounts:
        secret = accounts.new_token(name, label)
    print("save this token now; it is not shown again:", file=sys.stderr)
    say(secret)


def revoke(space: Workspace, name: str, label: str) -> None:
    """Revoke a token immediately."""
    with Accounts(space.accounts) as accounts:
        accounts.revoke(name, label)
    say(f"revoked token {label!r} of {name}")


def _password(from_stdin: bool) -> str:
    """The password: typed twice and not shown, or the first line of standard input."""
    import getpass

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput("no terminal to ask for a password; pass it on standard input with --password-stdin")
    first = getpass.getpass("password (at least 12 characters): ")
    if getpass.getpass("repeat the password: ") != first:
        raise BadInput("the two passwords differ; nothing was changed; try again")
    return first

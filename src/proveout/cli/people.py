"""What `proveout user ...` does: accounts and tokens, from a terminal or a script."""

import sys
from datetime import UTC, datetime

from proveout.cli.output import say, short
from proveout.errors import BadInput
from proveout.identity import Accounts
from proveout.records import Role
from proveout.workspace import Workspace


def add(space: Workspace, name: str, role: str, from_stdin: bool) -> None:
    if role not in list(Role):
        raise BadInput(f"no role {role!r}; there are: {', '.join(Role)}. What each may do: proveout user --help")
    space.claim()
    with Accounts(space.accounts) as accounts:
        made = accounts.add(name, Role(role), _password(from_stdin))
    say(f"{made.name} may sign in as {made.role}; start the server: proveout serve")


def show(space: Workspace) -> None:
    with Accounts(space.accounts) as accounts:
        for account in accounts:
            tokens = f"  tokens: {', '.join(account.tokens)}" if account.tokens else ""
            say(f"{account.name:32} {account.role:10} since {datetime.fromtimestamp(account.since, UTC):%Y-%m-%d}{tokens}")
        if not len(accounts):
            say(f"no account in {short(space.accounts)}; make one: proveout user add NAME --role operator")


def remove(space: Workspace, name: str) -> None:
    with Accounts(space.accounts) as accounts:
        accounts.remove(name)
    say(f"{name} is removed, with every session and token")


def password(space: Workspace, name: str, from_stdin: bool) -> None:
    with Accounts(space.accounts) as accounts:
        accounts.change_password(name, _password(from_stdin))
    say(f"{name} has a new password; every session of this account is ended")


def token(space: Workspace, name: str, label: str) -> None:
    with Accounts(space.accounts) as accounts:
        made = accounts.new_token(name, label)
    print("keep it now, it is not shown again:", file=sys.stderr)
    say(made)


def revoke(space: Workspace, name: str, label: str) -> None:
    with Accounts(space.accounts) as accounts:
        accounts.revoke(name, label)
    say(f"token {label!r} of {name} is worthless now")


def _password(from_stdin: bool) -> str:
    """As typed twice without being shown, or the first line of standard input."""
    import getpass

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise BadInput("no terminal to ask for a password on; give it on standard input with --password-stdin")
    first = getpass.getpass("password, 12 characters at least: ")
    if getpass.getpass("once more: ") != first:
        raise BadInput("the two passwords differ; nothing was changed, try again")
    return first

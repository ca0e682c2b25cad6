"""All errors, as one tree. Each message says what was found, what was expected and what to do.

ProveoutError
├── BadInput              invalid input from a person
│   ├── BadMission        mission.yaml
│   ├── BadLabels         labels.csv
│   ├── BadPrompts        prompts/
│   ├── BadSpec           pipeline.*.yaml, or a notebook that the pipeline cannot run
│   └── NoDocuments       a folder without a readable document
├── UnreadableDocument    one file; its case is refused and the batch continues
├── StillWritten          one file that changes while it is copied; it waits for the next run
├── BadModel              a model or release folder that is incomplete or was not written by Proveout
│   └── OtherCode         a release that pins other code or versions than those that are running
├── TaskFailed            a pipeline step; the message names notebook, cell and line
├── NoRelease             no release is promoted, or none has this id
├── Busy                  another process holds the lock
├── Changed               a case that changed after it was displayed, for example by another answer
├── StaleIndex            an index built from other records
├── BadJournal            a journal that cannot be opened or written, or has a newer schema
└── NoEntry               a failed sign-in: wrong name or password, or too many attempts
"""

import difflib
from collections.abc import Iterable


class ProveoutError(Exception):
    """Base of all errors that Proveout raises itself. The command line prints the message and exits with `exit_code`."""

    exit_code = 1


class BadInput(ProveoutError):
    pass


class BadMission(BadInput):
    pass


class BadLabels(BadInput):
    pass


class BadPrompts(BadInput):
    pass


class BadSpec(BadInput):
    pass


class NoDocuments(BadInput):
    exit_code = 66  # EX_NOINPUT of sysexits.h; a scheduler may treat it as "nothing to do"


class UnreadableDocument(ProveoutError):
    pass


class StillWritten(ProveoutError):
    exit_code = 75  # EX_TEMPFAIL: try again later


class BadModel(ProveoutError):
    pass


class OtherCode(BadModel):
    pass


class TaskFailed(ProveoutError):
    pass


class NoRelease(ProveoutError):
    pass


class Busy(ProveoutError):
    exit_code = 75  # EX_TEMPFAIL: try again later


class Changed(ProveoutError):
    exit_code = 75  # EX_TEMPFAIL: reload, then try again


class StaleIndex(ProveoutError):
    pass


class BadJournal(ProveoutError):
    pass


class NoEntry(ProveoutError):
    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait  # seconds until the next attempt is accepted


def hint(name: str, candidates: Iterable[str]) -> str:
    """The end of a message about an unknown name: the closest candidate, or all of them.

    >>> hint("rankr", ["ranker", "person"]), hint("x", ["ranker", "person"])
    ('did you mean `ranker`?', 'expected one of: ranker, person')
    """
    candidates = list(candidates)
    near = difflib.get_close_matches(str(name), candidates, n=1)
    return f"did you mean `{near[0]}`?" if near else f"expected one of: {', '.join(candidates) or 'none'}"

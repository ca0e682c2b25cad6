"""What can go wrong, as one tree. Each message says what was found, what was expected and what to do now.

ProveoutError
├── BadInput              something that a person gave us
│   ├── BadMission        mission.yaml
│   ├── BadLabels         labels.csv
│   ├── BadPrompts        prompts/
│   ├── BadSpec           pipeline.*.yaml, or a notebook that the pipeline cannot take
│   └── NoDocuments       a folder in which nothing can be read
├── UnreadableDocument    one file; it becomes a refused case and the batch goes on
├── BadModel              a model or release folder that is not ours, or not whole
│   └── OtherCode         a release that pins other code or versions than run here
├── TaskFailed            a step of a pipeline; names notebook, cell and line
├── NoRelease             nothing is promoted, or no release has this id
├── Busy                  another process is at work here
├── Changed               a case that somebody else answered since it was shown, or that changed otherwise
├── StaleIndex            an index built from other records than these
├── BadJournal            a journal that does not verify, or of a newer schema
└── NoEntry               a name, password or number of tries with which nobody is let in
"""

import difflib
from collections.abc import Iterable


class ProveoutError(Exception):
    """Everything that Proveout raises on purpose. The command line prints it as one message and exits with `exit_code`."""

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
    exit_code = 66  # no input, as sysexits.h numbers it: who calls by the clock may take it for "nothing to do"


class UnreadableDocument(ProveoutError):
    pass


class BadModel(ProveoutError):
    pass


class OtherCode(BadModel):
    pass


class TaskFailed(ProveoutError):
    pass


class NoRelease(ProveoutError):
    pass


class Busy(ProveoutError):
    exit_code = 75  # try again later


class Changed(ProveoutError):
    exit_code = 75  # look again, then try again


class StaleIndex(ProveoutError):
    pass


class BadJournal(ProveoutError):
    pass


class NoEntry(ProveoutError):
    def __init__(self, message: str, wait: float = 0.0) -> None:
        super().__init__(message)
        self.wait = wait  # seconds until the next try is looked at


def hint(name: str, known: Iterable[str]) -> str:
    """What an unknown name may have meant, for the end of a message.

    >>> hint("rankr", ["ranker", "person"]), hint("x", ["ranker", "person"])
    ('did you mean `ranker`?', 'known here: ranker, person')
    """
    known = list(known)
    near = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean `{near[0]}`?" if near else f"known here: {', '.join(known) or 'none'}"

"""A kind of case that is no document: conversations of several turns, with a tier, a check and a connector of its own.

All of it is brought by a package of the user's, by entry points; nothing of Proveout knows it.
"""

import json
from collections import Counter
from datetime import date
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from frozen import frozen
from proveout import mission as missions
from proveout import plugins
from proveout.agent import Agent
from proveout.cases import kind_of
from proveout.errors import BadInput, OtherCode
from proveout.journal import Journal
from proveout.live import Live
from proveout.models import tiers
from proveout.prompts import Prompts
from proveout.records import Route
from proveout.release import Releases
from proveout.retrieval import Memory
from proveout.serving.case_index import CaseIndex, CaseStatus, Search

PACKAGE = '''
import hashlib, html, json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from proveout.connectors import Connector, Outcome, State
from proveout.errors import UnreadableDocument
from proveout.models.tiers import Extraction, ScoredValue
from proveout.records import Check


@dataclass(frozen=True)
class Talk:
    id: str
    turns: tuple[str, ...]

    @property
    def text(self):
        return " ".join(self.turns)


class Conversation:
    descriptors = {"turns": int, "characters": int}

    def identify(self, path):
        said = json.loads(path.read_bytes())
        return hashlib.sha256(said["customer"].encode()).hexdigest(), len(said["turns"]) - 1

    def read(self, paths, cache=None):
        return [self._read(path.read_bytes()) for path in paths]

    def _read(self, content):
        try:
            return Talk(hashlib.sha256(content).hexdigest(), tuple(json.loads(content)["turns"]))
        except (ValueError, KeyError) as error:
            return UnreadableDocument(f"not a conversation: {error}")

    def describe(self, talk):
        return {"turns": len(talk.turns), "characters": len(talk.text)}

    def check(self, talk):
        return iter(())

    def confirm(self, cases, cache=None):
        return [talk for talk, _, _ in cases]

    def show(self, decision, path, cache=None):
        return "".join(f"<p>{html.escape(turn)}</p>" for turn in json.loads(path.read_bytes())["turns"])


class Keywords:
    """Reads the wish of the last turn."""

    @classmethod
    def load(cls, parts):
        words = json.loads((parts.model / "keywords.json").read_text())
        return cls(words)

    def __init__(self, words):
        self.words = words

    def extract(self, contents, configs=None):
        return [self._read(talk) for talk in contents]

    def _read(self, talk):
        for wish, words in self.words.items():
            if (hits := sum(word in talk.turns[-1].lower() for word in words)):
                score = min(1.0, 0.5 + 0.25 * hits)
                value = ScoredValue(wish, wish, score, speaks_for=(f"{hits} words",))
                return Extraction(talk.id, "request", 0.9, {"wish": value})
        return Extraction(talk.id, "chat", 0.9, {})


class Polite:
    def __init__(self, settings, kinds):
        self.word = str(settings)

    def __call__(self, subject):
        yield Check("polite", self.word in subject.content.text.lower() or None, f"the customer says {self.word}")


class Ticket(Connector):
    class Settings(BaseModel):
        model_config = {"extra": "forbid"}
        file: str

    takes = {"wish": "text"}

    @property
    def path(self):
        return Path(self.settings.file)

    def done(self, case, action):
        return str(self.path) if self.path.exists() and action.key in self.path.read_text() else None

    def perform(self, case, action):
        with self.path.open("a") as file:
            file.write(json.dumps([action.key, action.arguments["wish"]]) + "\\n")
        return Outcome(State.DONE, str(self.path))
'''
ENTRY_POINTS = """[proveout.cases]
conversation = talk:Conversation
[proveout.tiers]
keywords = talk:Keywords
[proveout.checks]
polite = talk:Polite
[proveout.connectors]
ticket = talk:Ticket
"""
MISSION = """
mission: worker
purpose: Hear what a customer wishes, and open a ticket.
case: conversation
classes: [request, chat]
never_act_on: [chat]
fields:
  wish: {kind: name}
slo: {precision: 0.9, confidence: 0.9}
tiers: [keywords, person]
checks: {polite: please}
actions:
  ticket: {settings: {file: TICKETS}, arguments: {wish: wish}}
"""
POLICY = """permit (principal is Release, action == Action::"ticket", resource)
when { resource.known.automated.containsAll(resource.known.required) };"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The mission's files, with the package installed beside them."""
    packages = tmp_path / "packages"
    (packages / "talk-1.0.dist-info").mkdir(parents=True)
    (packages / "talk.py").write_text(PACKAGE)
    (packages / "talk-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: talk\nVersion: 1.0\n")
    (packages / "talk-1.0.dist-info" / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(packages)
    plugins._points.cache_clear()
    (tmp_path / "mission.yaml").write_text(MISSION.replace("TICKETS", str(tmp_path / "tickets.jsonl")))
    (tmp_path / "policy.cedar").write_text(POLICY)
    prompts = tmp_path / "prompts"
    prompts.mkdir()
    (prompts / "fields.yaml").write_text("wish: {description: what the customer wishes}\n")
    (prompts / "classes.yaml").write_text("request: {description: a wish}\nchat: {description: no wish}\n")
    (prompts / "extract.md").write_text("{{ document }}\n")
    (tmp_path / "model").mkdir()
    words = {"refund": ["money", "back", "refund"], "delivery": ["where", "parcel", "delivery"]}
    (tmp_path / "model" / "keywords.json").write_text(json.dumps(words))
    yield tmp_path
    plugins._points.cache_clear()


def says(inbox: Path, customer: str, *turns: str) -> Path:
    inbox.mkdir(exist_ok=True)
    path = inbox / f"{customer}.json"
    path.write_text(json.dumps({"customer": customer, "turns": turns}))
    return path


def freeze(worker: Path) -> Releases:
    """Calibrate the tier on labelled conversations, and freeze a release of what a build would have made."""
    from talk import Conversation  # the package that the fixture installed

    mission = missions.load(worker / "mission.yaml")
    paths = [says(worker / "labelled", f"past{n}", f"please give my money back, order {n}") for n in range(60)]
    contents = Conversation().read(paths)
    labels = {content.id: {"wish": "refund"} for content in contents}
    loaded = tiers.load(tiers.Parts(mission, Prompts.load(worker / "prompts"), worker / "model"))
    return frozen(worker, mission, loaded, contents, labels)


def test_each_turn_of_a_conversation_is_decided_once_and_keeps_its_own_effects(worker: Path) -> None:
    release = freeze(worker).promoted()
    inbox, home = worker / "inbox", worker / "home"
    says(inbox, "ada", "please send my money back")
    says(inbox, "bob", "hello")
    first = Live(release, inbox, home).run()
    assert (first["decided"], first["routes"]) == (2, {"act": 1, "review": 1, "refuse": 0})
    says(inbox, "ada", "please send my money back", "and where is my other parcel, please?")
    second = Live(release, inbox, home).run()
    assert second["decided"] == 1
    assert Live(release, inbox, home).run()["decided"] == 0
    with Journal(home / "journal.db") as journal:
        decided = [one for one in journal.decisions() if one.case.path == "ada.json"]
        assert [(one.case.turn, one.decision.turn) for one in decided] == [(0, 0), (1, 1)]
        assert decided[0].case.id == decided[1].case.id
        assert [one.decision.fields["wish"].value for one in decided] == ["refund", "delivery"]
        assert all(one.decision.fields["wish"].place is None for one in decided)
        happened = Counter((event.kind, event.turn) for event in journal.events(decided[0].case.id))
        assert happened["decision", 0] == happened["decision", 1] == 1
        assert journal.verify().whole
    tickets = [json.loads(line) for line in (worker / "tickets.jsonl").read_text().splitlines()]
    assert [wish for _, wish in tickets] == ["refund", "delivery"] and len({key for key, _ in tickets}) == 2


def test_a_new_turn_waits_in_the_servers_list_until_it_is_decided(worker: Path) -> None:
    release, inbox, home = freeze(worker).promoted(), worker / "inbox", worker / "home"
    says(inbox, "ada", "please send my money back")
    Live(release, inbox, home).run()
    with Journal(home / "journal.db") as journal:
        register = CaseIndex(journal, inbox, kind_of(release.mission))
        assert register.newest(Search(status=CaseStatus.WAITING)) == []
        says(inbox, "ada", "please send my money back", "hello?")
        (waiting,) = register.newest(Search(status=CaseStatus.WAITING))
        assert waiting.case == register.newest(Search(status=CaseStatus.DECIDED))[0].case
        Live(release, inbox, home).run()
        assert register.newest(Search(status=CaseStatus.WAITING)) == []


def test_the_log_holds_the_descriptors_of_its_kind_of_case(worker: Path) -> None:
    release = freeze(worker).promoted()
    says(worker / "inbox", "ada", "please send my money back")
    Live(release, worker / "inbox", worker / "home").run()
    log = parquet.read_table(worker / "home" / "logs" / "decisions.parquet")
    assert log.column("turns").to_pylist() == [1] and "pages" not in log.column_names
    assert [name for name in log.column_names if (log.schema.field(name).metadata or {}).get(b"descriptor")] == [
        "turns",
        "characters",
    ]


def test_a_check_that_had_nothing_to_compare_is_neither_passed_nor_failed(worker: Path, tmp_path: Path) -> None:
    agent: Agent = freeze(worker).promoted().agent(Memory.open(tmp_path / "memory", store=""))
    (decision,) = agent.batch([says(worker / "other", "eve", "where is my parcel, my delivery?")])
    assert next(check for check in decision.checks if check.name == "polite").passed is None
    assert decision.route is Route.ACT


def test_a_name_that_no_package_brings_is_refused(worker: Path) -> None:
    assert plugins.find("tiers", "keywords").__name__ == "Keywords"
    with pytest.raises(BadInput, match="unknown tier `keyword`; did you mean `keywords`"):
        plugins.find("tiers", "keyword")


def test_a_class_that_lacks_a_member_of_its_contract_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(plugins.BUILT_IN["tiers"], "paths", "pathlib:Path")
    with pytest.raises(BadInput, match=r"the tier `paths` is pathlib:Path, which has no load, extract; see `proveout\.models"):
        plugins.find("tiers", "paths")


def test_a_release_pins_the_version_of_a_package_that_its_mission_needs(worker: Path) -> None:
    releases = freeze(worker)
    assert releases.promoted().manifest["content"]["environment"]["talk"] == "1.0"
    about = worker / "packages" / "talk-1.0.dist-info" / "METADATA"
    about.write_text(about.read_text().replace("Version: 1.0", "Version: 2.0"))
    with pytest.raises(OtherCode, match=r"talk 1\.0 then, 2\.0 now"):
        releases.promoted().agent(Memory.open(worker / "memory", store=""))


def test_a_day_of_a_turn_is_the_day_of_its_file(worker: Path) -> None:
    release = freeze(worker).promoted()
    says(worker / "inbox", "ada", "please send my money back")
    Live(release, worker / "inbox", worker / "home").run()
    with Journal(worker / "home" / "journal.db") as journal:
        assert next(journal.decisions()).case.day == date.today()

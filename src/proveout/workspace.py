"""Where a mission keeps its files: the design in the project, products and live state in one home folder.

pipelines/<mission>/   mission.yaml  policy.cedar  prompts/  pipeline.*.yaml      (kept in git)
work/<mission>/        build/  releases/  journal.db  originals/  memory/  logs/  effects/  reports/   (written by commands)

A home belongs to one mission: the first command that writes there notes it in `workspace.json`, and `find` refuses any other.
That command also makes the home's keys, so that what follows is encrypted (`vault`).
Covered: a home without that note belongs to the mission of its oldest release.
Not covered: a home without note or release; the first mission that writes there gets it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path

from proveout.errors import BadInput, hint
from proveout.files import read_object, write_whole
from proveout.mission import Mission, load
from proveout.vault import Vault

NOTE = "workspace.json"


def project_root(start: Path | None = None) -> Path:
    """The nearest folder, from `start` upwards, that holds `pipelines/`."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "pipelines").is_dir():
            return folder
    raise BadInput(f"{start}: not inside a Proveout project (no folder `pipelines/` here or above); `cd` into one")


@dataclass(frozen=True)
class Workspace:
    root: Path  # the project
    name: str  # the mission
    home: Path  # what commands write

    @classmethod
    def find(cls, name: str = "invoices", home: Path | None = None, start: Path | None = None) -> Workspace:
        """The workspace of a mission. Raises BadInput outside a project, and for an unknown mission or another one's home."""
        root = project_root(start)
        missions = sorted(path.parent.name for path in (root / "pipelines").glob("*/mission.yaml"))
        if name not in missions:
            raise BadInput(f"no mission `{name}` in {root / 'pipelines'}; {hint(name, missions)}")
        is_exported = home is not None and str(home) == os.environ.get("PROVEOUT_HOME")
        if home and not home.is_absolute() and not home.exists() and (root / home).exists():
            home = root / home  # so that PROVEOUT_HOME=work/demo means the same in every folder of the project
        space = cls(root, name, (home or root / "work" / name).resolve())
        if (other := owner(space.home)) not in ("", name):
            unset = "unset PROVEOUT_HOME, or " if is_exported else ""
            raise BadInput(
                f"{space.home} is the workspace of mission `{other}`, not of `{name}`; "
                f"{unset}choose another home: --home {root / 'work' / name}"
            )
        return space

    @classmethod
    def from_environment(cls) -> Workspace:
        """The workspace that PROVEOUT_MISSION and PROVEOUT_HOME name; the server sets both for its pages."""
        home = os.environ.get("PROVEOUT_HOME")
        return cls.find(os.environ.get("PROVEOUT_MISSION", "invoices"), Path(home) if home else None)

    def claim(self) -> None:
        """Note which mission this home belongs to, before anything else is written there.

        A new home is encrypted, unless PROVEOUT_MASTER_KEY is `none`. Raises BadInput without a master key.
        """
        if not (self.home / NOTE).exists():
            self.home.mkdir(parents=True, exist_ok=True)
            self.home.chmod(0o700)
            if not (self.home / "journal.db").exists():
                Vault.create(self.home)
            write_whole(self.home / NOTE, json.dumps({"mission": self.name}) + "\n")

    @property
    def design(self) -> Path:
        return self.root / "pipelines" / self.name

    @cached_property
    def mission(self) -> Mission:
        return load(self.design / "mission.yaml")

    def spec(self, pipeline: str) -> Path:
        """The pipeline file of `build`, `run` or `monitor`."""
        return self.design / f"pipeline.{pipeline}.yaml"

    @property
    def build(self) -> Path:
        return self.home / "build"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def originals(self) -> Path:
        """One file for each decided case, named by its id, so that a decision outlives the inbox."""
        return self.home / "originals"

    @property
    def answers(self) -> Path:
        """People's answers about live cases, in the form that a build reads."""
        return self.home / "answers"

    @property
    def memory(self) -> Path:
        return self.home / "memory"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def effects(self) -> Path:
        return self.home / "effects"

    @property
    def reports(self) -> Path:
        return self.home / "reports"

    @property
    def accounts(self) -> Path:
        return self.home / "accounts.db"

    @property
    def cache(self) -> Path:
        """The text of documents, keyed by their bytes: shared by all missions and homes, safe to delete."""
        return self.root / "work" / "cache"


def owner(home: Path) -> str:
    """The mission that a folder belongs to, by its note, else by its oldest release; "" without either."""
    if noted := read_object(home / NOTE).get("mission"):
        return str(noted)
    manifests = [read_object(path) for path in home.glob("releases/*/release.json")]
    frozen = [(str(item.get("frozen")), item["content"]) for item in manifests if isinstance(item.get("content"), dict)]
    return str(min(frozen, key=itemgetter(0))[1].get("mission", "")) if frozen else ""

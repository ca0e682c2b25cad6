"""Where a mission's things live: its design in the project, its products and its live state in one folder of work.

pipelines/<mission>/   mission.yaml  policy.cedar  prompts/  pipeline.*.yaml      (kept in git)
work/<mission>/        build/  releases/  journal.db  originals/  memory/  logs/  effects/  reports/   (made by commands)

A home belongs to one mission: the first command that writes there notes it in `workspace.json`, and `find` refuses any other.
Covered: a home without that note, by the releases in it.
Not covered: a home without a note and without a release; whoever builds there first has it.
"""

from __future__ import annotations

import difflib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

from proveout.errors import BadInput
from proveout.files import write_whole
from proveout.mission import Mission, load

NOTE = "workspace.json"


def project_root(start: Path | None = None) -> Path:
    """The nearest folder, from `start` upwards, that holds `pipelines/`."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "pipelines").is_dir():
            return folder
    raise BadInput(f"{start}: not inside a Proveout project (no folder `pipelines/` here or above); go to one with `cd`")


@dataclass(frozen=True)
class Workspace:
    root: Path  # the project
    name: str  # the mission
    home: Path  # what commands make

    @classmethod
    def find(cls, name: str = "invoices", home: Path | None = None, start: Path | None = None) -> Workspace:
        root = project_root(start)
        known = sorted(path.parent.name for path in (root / "pipelines").glob("*/mission.yaml"))
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"there are: {', '.join(known) or 'none'}"
            raise BadInput(f"no mission `{name}` in {root / 'pipelines'}; {hint}")
        is_exported = home is not None and str(home) == os.environ.get("PROVEOUT_HOME")
        if home and not home.is_absolute() and not home.exists() and (root / home).exists():
            home = root / home  # PROVEOUT_HOME=work/demo means the same in every folder of the project
        space = cls(root, name, (home or root / "work" / name).resolve())
        if (theirs := owner(space.home)) not in ("", name):
            unset = "unset PROVEOUT_HOME, or " if is_exported else ""
            raise BadInput(
                f"{space.home} is the workspace of mission `{theirs}`, not of `{name}`; "
                f"{unset}name another: --home {root / 'work' / name}"
            )
        return space

    @classmethod
    def from_environment(cls) -> Workspace:
        """The one that PROVEOUT_MISSION and PROVEOUT_HOME name, as the server sets them for its pages."""
        home = os.environ.get("PROVEOUT_HOME")
        return cls.find(os.environ.get("PROVEOUT_MISSION", "invoices"), Path(home) if home else None)

    def claim(self) -> None:
        """Note whose home this is, before the first thing is written there."""
        if not (self.home / NOTE).exists():
            write_whole(self.home / NOTE, json.dumps({"mission": self.name}) + "\n")

    @property
    def design(self) -> Path:
        return self.root / "pipelines" / self.name

    @cached_property
    def mission(self) -> Mission:
        return load(self.design / "mission.yaml")

    def spec(self, pipeline: str) -> Path:
        """The file of the pipeline `build`, `run` or `monitor`."""
        return self.design / f"pipeline.{pipeline}.yaml"

    @property
    def build(self) -> Path:
        return self.home / "build"

    @property
    def releases(self) -> Path:
        return self.home / "releases"

    @property
    def originals(self) -> Path:
        """A file for every decided case, named by its id, so that a decision outlives the inbox."""
        return self.home / "originals"

    @property
    def answers(self) -> Path:
        """What people answered about live cases, as a build reads it."""
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
        """What was read from documents, by their bytes: shared by every mission and home, safe to delete."""
        return self.root / "work" / "cache"


def owner(home: Path) -> str:
    """The mission whose workspace a folder is; "" where nothing says it. Without a note, the oldest release does."""
    if noted := _read(home / NOTE).get("mission"):
        return str(noted)
    manifests = [_read(path) for path in home.glob("releases/*/release.json")]
    frozen = [(str(about.get("frozen")), about["content"]) for about in manifests if isinstance(about.get("content"), dict)]
    return str(min(frozen, key=itemgetter(0))[1].get("mission", "")) if frozen else ""


def _read(path: Path) -> dict[str, Any]:
    """What cannot be read says nothing; a damaged release is named by whoever opens it."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return about if isinstance(about, dict) else {}

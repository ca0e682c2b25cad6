"""Where a mission's things live: its design in the project, its products and its live state in one folder of work.

pipelines/<mission>/   mission.yaml  policy.cedar  prompts/  pipeline.*.yaml      (kept in git)
work/<mission>/        build/  releases/  journal.db  originals/  memory/  logs/  effects/  reports/   (made by commands)
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from proveout.errors import BadInput
from proveout.mission import Mission, load


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
        if home and not home.is_absolute() and not home.exists() and (root / home).exists():
            home = root / home  # PROVEOUT_HOME=work/demo means the same in every folder of the project
        return cls(root, name, (home or root / "work" / name).resolve())

    @classmethod
    def here(cls) -> Workspace:
        """The one that PROVEOUT_MISSION and PROVEOUT_HOME name, as the server sets them for its pages."""
        home = os.environ.get("PROVEOUT_HOME")
        return cls.find(os.environ.get("PROVEOUT_MISSION", "invoices"), Path(home) if home else None)

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

"""What a build from documents needs before its notebooks run: a folder with labels that a mission can learn from."""

from collections.abc import Mapping
from pathlib import Path

from proveout.corpus.dataset import Dataset
from proveout.corpus.labels import check_labels
from proveout.errors import BadInput
from proveout.mission import load


class DocumentDesign:
    def draw(self, folder: Path) -> None:
        """Drawing documents takes minutes, so that it has a command of its own."""
        raise _missing(folder)

    def check(self, mission: Path, data: Path, answers: Path) -> None:
        if not data.is_dir():
            raise _missing(data)
        if (data / "labels.csv").exists():
            check_labels(data / "labels.csv", load(mission), answers / "labels.csv")

    def labelled(self, curated: Mapping[str, Path]) -> Dataset:
        return Dataset.load(curated["dataset"])


def _missing(folder: Path) -> BadInput:
    return BadInput(
        f"{folder}: no such folder; expected documents and a labels.csv. "
        f"Name a folder with --data, or generate one: proveout synthesize {folder}"
    )

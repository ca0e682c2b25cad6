"""The weights that a release decides with: what each file is for, its hash, where it is from, and what it learned from.

A release pins its own files by hash and refuses to open if one changed; installed weights are checked when they are loaded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import PurePosixPath

from proveout.documents import ocr
from proveout.files import read_object
from proveout.prompts import Prompts
from proveout.release import SHORT, Release
from proveout.retrieval import encoder

ROLES = {  # of a file of the extractor, by the start of its name
    "ranker": "ranks candidates",
    "flag": "answers a flag",
    "classes": "tells the class",
    "statistics": "knows layouts",
    "layout_encoder": "second opinion on candidates",
}
INSTALLED = {  # of installed files, by name
    "PP-OCRv6_det_small.onnx": "detects lines on scans",
    "PP-OCRv6_rec_small.onnx": "reads lines on scans",
    "ch_ppocr_mobile_v2.0_cls_mobile.onnx": "comes with them, not used",
    "model.safetensors": "turns texts into vectors",
    "tokenizer.json": "cuts texts for it",
}
LABELS = "learned from the labels of its build"
LICENCE = "Apache-2.0"  # of all that is installed


@dataclass(frozen=True, slots=True)
class Weights:
    """One file of weights."""

    file: str
    sha256: str
    role: str
    source: str  # and its licence
    learned: str  # from what

    def __str__(self) -> str:
        return f"{self.file:38} {self.sha256[:SHORT]:14} {self.role}; {self.source}; {self.learned}"


def inventory(release: Release) -> Iterator[Weights]:
    """Every file of weights of a release, its own first."""
    about = read_object(release.path("model") / "manifest.json").get("trained_on")
    learned = (
        f"learned from {about['documents']} documents of data set {about['dataset'][:SHORT] or 'unknown'}" if about else LABELS
    )
    for place, digest in sorted(release.manifest["files"].items()):
        path = PurePosixPath(place)
        role = ROLES.get(path.name.split(".")[0])
        if path.parts[0] == "model" and role:
            yield Weights(path.name, digest, role, "this build", learned)
    installed = {encoder.PACKAGE: encoder.SHA256}
    if release.mission.case == "document":
        installed[f"{ocr.PACKAGE}=={version(ocr.PACKAGE)}"] = ocr.SHA256
    for source, files in installed.items():
        for name, digest in files.items():
            yield Weights(name, digest, INSTALLED[name], f"{source}, {LICENCE}", "as published")
    if release.has("prompts") and (settings := Prompts.load(release.path("prompts")).model):
        name, source = (settings.local, "this machine") if settings.local else (settings.model, settings.endpoint)
        yield Weights(name, settings.sha256 or "not pinned", "language model", source, "as its publisher says")

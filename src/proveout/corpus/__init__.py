"""The corpus: documents with what people know of them, as a version that can be cited.

Doors: `build_dataset` reads a folder, `Dataset` opens what it left, `read_labels` reads a labels.csv (`check_labels` before
a build), `synthetic.generate` makes a folder to try.
"""

from proveout.corpus.building import build_dataset
from proveout.corpus.dataset import Dataset, LabelledDocument
from proveout.corpus.labels import Labels, Row, check_labels, read_labels

__all__ = ["Dataset", "LabelledDocument", "Labels", "Row", "build_dataset", "check_labels", "read_labels"]

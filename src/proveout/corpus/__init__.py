"""The corpus: documents and their labels, as a versioned data set.

Entry points: `build_dataset` reads a folder, `Dataset` opens the result, `read_labels` reads a labels.csv (`check_labels`
before a build), `synthetic.generate` creates a folder to try.
"""

from proveout.corpus.building import build_dataset
from proveout.corpus.dataset import Dataset, LabelledDocument
from proveout.corpus.labels import Labels, Row, check_labels, read_labels

__all__ = ["Dataset", "LabelledDocument", "Labels", "Row", "build_dataset", "check_labels", "read_labels"]

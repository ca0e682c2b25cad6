"""The corpus: documents with what people know of them, as a version that can be cited.

Three doors: `Dataset` builds and opens one, `read_labels` reads a labels.csv, `synthetic.generate` makes a folder to try.
"""

from proveout.corpus.dataset import Dataset, Entry
from proveout.corpus.labels import Labels, Row, read_labels

__all__ = ["Dataset", "Entry", "Labels", "Row", "read_labels"]

"""The extractor: values for a mission's fields and a class for the document, learned from labelled documents.

One door: `Extractor` with `train`, `extract`, `save` and `load`.
Data flows through the files in this order: `segments` cuts pages, `candidates` finds what could be a value, `labels` compares
texts with the prompts' phrases, `features` describes candidates, `statistics` adds what other documents taught, `ranker`
scores and chooses, `classes` names the document, `flags` answers yes or no, `wording` explains. `tiers` says what the
extractor, a language model and other readers have in common.
Not covered: whether an answer is sure enough to act on. `calibration` knows that.
"""

from proveout.models.extractor import Extractor
from proveout.models.ranker import Settings
from proveout.models.tiers import Correction, Extraction, ScoredValue

__all__ = ["Correction", "Extraction", "Extractor", "ScoredValue", "Settings"]

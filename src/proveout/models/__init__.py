"""The extractor: values for a mission's fields and a class for the document, learned from labelled documents.

Entry point: `Extractor` with `train`, `extract`, `save` and `load`.
Data flows through the files in this order: `text_segments` cuts pages into segments, `candidates` finds possible values,
`label_phrases` compares texts with the prompts' phrases, `features` describes candidates, `layout_statistics` adds what other
documents taught, `ranker` scores and chooses, `layout_encoder` gives a second opinion on the scores, `classes` classifies the
document, `flags` answers yes or no, `wording` explains.
`tiers` defines what the extractor, a language model and other tiers have in common.
Not covered: whether an answer is reliable enough to act on. `calibration` decides that.
"""

from proveout.models.extractor import Extractor
from proveout.models.ranker import Settings
from proveout.models.tiers import Correction, Extraction, ScoredValue

__all__ = ["Correction", "Extraction", "Extractor", "ScoredValue", "Settings"]

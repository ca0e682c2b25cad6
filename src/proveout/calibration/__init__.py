"""From raw scores to probabilities, and to thresholds with a guarantee.

Entry points: `Calibration.fit`, for one tier, from the (score, right) pairs of labelled documents, each field separately;
and `Calibrations`, one for each tier of a mission. `curves` has the probabilities, `thresholds` the guarantee, `plan` says
how many labels more would give one.
Covered: few points, ties, fields without an error, abstentions (score None: a case, but no answer), fields that were never
calibrated (their confidence is nan). No automated value is below the mission's lowest confidence.

What is promised, exactly: if the pairs were drawn independently from the distribution of live cases, and scored by the model
that is released, then the precision of what each threshold automates is at least the promised one, except with the stated
probability. Cross-fitted pairs (`models.tiers.save_folds`) are scored by models that learned from four fifths of the documents;
the released one learned from all. The certificate then speaks of this procedure, and holds for the released model as far as
its scores are as good as theirs; tests/test_cross_fitting.py measures how often the promise breaks.
Not covered: drift. When the stream changes, the certificate describes the old one; `monitoring` detects that.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proveout.calibration.curves import Curve, Quality, fit_curve, quality_of
from proveout.calibration.thresholds import (
    Certificate,
    Pair,
    Statement,
    answers_among,
    best_statement,
    certify,
    grid,
    statement,
    steps_of,
)
from proveout.errors import BadInput, BadModel
from proveout.files import write_whole
from proveout.records import BlindSample

if TYPE_CHECKING:
    from proveout.mission import SLO

FORMAT = 2  # of the file that `save` writes


@dataclass(frozen=True)
class Calibration:
    """Per field: score to confidence, the certified threshold, and the evidence for both."""

    precision: float  # promised, of the automated values of each field
    confidence_level: float  # of that promise
    lowest_confidence: float  # of any automated value
    evidence: Mapping[str, tuple[Pair, ...]]
    curves: Mapping[str, Curve]
    certificates: Mapping[str, Certificate]
    blind: BlindSample | None = None  # given if labels among the evidence were corrected in an audit
    whole: tuple[Pair, ...] = ()  # of each document: the least score of its required fields, and whether all of them are right

    @classmethod
    def fit(
        cls,
        scores: Mapping[str, Sequence[Pair]],
        slo: "SLO",
        error_budgets: Mapping[str, float] | None = None,
        blind: BlindSample | None = None,
        whole: Sequence[Pair] = (),
    ) -> "Calibration":
        """Fit the curves and test the thresholds. Raises BadInput for a score outside 0..1.

        `error_budgets`: field to the probability with which its promise may break; by default 1 - the SLO's confidence.

        >>> from proveout.mission import SLO
        >>> clean = [(i / 400, True) for i in range(400)]
        >>> fitted = Calibration.fit({"total": clean, "payee": clean[:52]}, SLO(precision=0.98, confidence=0.95))
        >>> fitted.threshold("total"), round(fitted.confidence("total", 0.9), 2)
        (0.0, 1.0)
        >>> print(fitted.certificates["payee"].because)
        not certifiable: 52 calibrated values, at least 149 are needed even without an error;
        the most they can certify: 94.4 % of all answers at 95 % confidence
        """
        evidence = {field: tuple(_checked(field, pair) for pair in pairs) for field, pairs in scores.items()}
        curves = {field: fit_curve(answers_among(pairs)) for field, pairs in evidence.items()}
        levels = {field: 1 - (error_budgets or {}).get(field, 1 - slo.confidence) for field in evidence}
        return cls(
            precision=slo.precision,
            confidence_level=slo.confidence,
            lowest_confidence=slo.lowest_confidence,
            evidence=evidence,
            curves=curves,
            certificates={
                field: certify(
                    field, pairs, slo.precision, levels[field], curves[field].least_score(slo.lowest_confidence), blind
                )
                for field, pairs in evidence.items()
            },
            blind=blind,
            whole=tuple(_checked("whole documents", pair) for pair in whole),
        )

    def promising(self, slo: "SLO") -> "Calibration":
        """The same evidence with the thresholds of another promise."""
        budgets = {field: 1 - self.slo_of(field, slo).confidence for field in self.evidence}
        return Calibration.fit(self.evidence, slo, budgets, self.blind, self.whole)

    def confidence(self, field: str, score: float) -> float:
        """Probability, 0..1, that a value with this raw score is right; nan for a field without calibrated values."""
        curve = self.curves.get(field)
        return math.nan if curve is None or not curve.n else curve(score if score == score else 0.0)

    def slo_of(self, field: str, slo: "SLO") -> "SLO":
        """An SLO as this tier has to keep it for a field: the tiers share the error budget, so its own confidence is higher.

        >>> from proveout.mission import SLO
        >>> shared = Calibration.fit({"total": [(0.9, True)]}, SLO(precision=0.98, confidence=0.95), {"total": 0.025})
        >>> [round(shared.slo_of("total", SLO(precision=0.9, confidence=level)).confidence, 3) for level in (0.95, 0.9)]
        [0.975, 0.95]
        """
        stricter = (1 - slo.confidence) / (1 - self.confidence_level)  # exactly 1 for the SLO that was calibrated for
        return slo.model_copy(update={"confidence": 1 - (1 - self._own_level(field)) * stricter})

    def threshold(self, field: str) -> float | None:
        """The lowest raw score that is automated; None if not certifiable or never calibrated."""
        certificate = self.certificates.get(field)
        return certificate.threshold if certificate else None

    def automates(self, field: str, score: float) -> bool:
        """Whether a value with this raw score needs no person."""
        threshold = self.threshold(field)
        return threshold is not None and score >= threshold

    def floor(self, field: str) -> float | None:
        """The lowest confidence of an automated value; None if nothing is automated."""
        threshold = self.threshold(field)
        return None if threshold is None else self.confidence(field, threshold)

    def at(self, field: str, threshold: float) -> Statement:
        """Coverage and precision at any threshold. No guarantee: unlike the certificate's, it may be chosen after looking."""
        pairs = self.evidence.get(field, ())
        above = [right for score, right in answers_among(pairs) if score >= threshold]
        return statement(threshold, len(above), above.count(False), len(pairs), self._own_level(field))

    def whole_documents(self) -> Certificate | None:
        """The same promise for all required fields of a document at once: above which least score, for which share.

        A promise of 98 % for each of five fields allows documents of which one in ten has an error. None without evidence, and
        after an audit, whose blind readings are of single values.
        """
        if not self.whole or self.blind:
            return None
        return certify("whole documents", self.whole, self.precision, self.confidence_level, 0.0)

    def best_statement(self, field: str) -> Statement | None:
        """The highest precision, in steps of 0.1 %, that these data would have certified if it had been promised.

        `lower` is that precision. It is no guarantee for these data: to promise it, collect new labels.
        None if not even 50 % can be certified.
        """
        return best_statement(self.evidence.get(field, ()), self._own_level(field), self.blind)

    def quality(self, field: str) -> Quality:
        """Calibration error and reliability by five-fold cross-fitting: no value is judged by a curve fitted on it."""
        answered = answers_among(self.evidence.get(field, ()))
        folds = min(5, len(answered))
        curves = [fit_curve([v for i, v in enumerate(answered) if i % folds != fold]) for fold in range(folds)]
        confidences = [curves[i % folds](score) for i, (score, _) in enumerate(answered)]
        return quality_of(confidences, [right for _, right in answered])

    def _own_level(self, field: str) -> float:
        """The confidence level of this tier's promise: with several tiers it is stricter than that of the mission."""
        return self.certificates[field].confidence if field in self.certificates else self.confidence_level

    def thresholds_tried(self, field: str) -> int:
        """The number of possible outcomes of the test: each threshold, or none. It depends on the scores, not on the labels."""
        certificate, steps = self.certificates[field], steps_of(answers_among(self.evidence[field]))
        return 1 + len(grid([n for _, n, _ in steps], self.precision, 1 - certificate.confidence, self.blind))

    def as_plain(self) -> dict[str, Any]:
        """For JSON; `from_plain` reads it."""
        return {
            "precision": self.precision,
            "confidence": self.confidence_level,
            "lowest_confidence": self.lowest_confidence,
            "blind": asdict(self.blind) if self.blind else None,
            "whole": [[score, right] for score, right in self.whole],
            "fields": {
                field: {
                    "certificate": asdict(self.certificates[field]),
                    "curve": asdict(self.curves[field]),
                    "evidence": [[score, right] for score, right in pairs],
                }
                for field, pairs in self.evidence.items()
            },
        }

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "Calibration":
        """Raises BadModel for a threshold that does not follow from its evidence. None automates nothing and needs no proof."""
        fields = content["fields"]
        loaded = cls(
            precision=float(content["precision"]),
            confidence_level=float(content["confidence"]),
            lowest_confidence=float(content["lowest_confidence"]),
            evidence={
                name: tuple(_checked(name, (score, right)) for score, right in f["evidence"]) for name, f in fields.items()
            },
            curves={name: Curve(**f["curve"]) for name, f in fields.items()},
            certificates={name: Certificate(**f["certificate"]) for name, f in fields.items()},
            blind=BlindSample(**blind) if (blind := content.get("blind")) else None,
            whole=tuple(_checked("whole documents", pair) for pair in content.get("whole", ())),
        )
        for field, stored in loaded.certificates.items():
            if stored.threshold is None:
                continue
            least = loaded.curves[field].least_score(loaded.lowest_confidence)
            proven = certify(field, loaded.evidence[field], loaded.precision, stored.confidence, least, loaded.blind)
            if (proven.threshold, proven.n, proven.errors) != (stored.threshold, stored.n, stored.errors):
                raise BadModel(
                    f"the threshold {stored.threshold} of {field!r} does not follow from its evidence, "
                    f"which gives {proven.threshold}; calibrate again"
                )
        return loaded


@dataclass(frozen=True)
class Calibrations:
    """The calibration of each tier of a mission, in the order of the cascade."""

    by_tier: Mapping[str, Calibration]

    def confidence(self, tier: str, field: str, score: float) -> float:
        """Probability, 0..1, that a value of this tier is right; nan if the tier was never calibrated."""
        calibration = self.by_tier.get(tier)
        return calibration.confidence(field, score) if calibration else math.nan

    def automates(self, tier: str, field: str, score: float) -> bool:
        """Whether a value with this raw score needs no person."""
        calibration = self.by_tier.get(tier)
        return calibration is not None and calibration.automates(field, score)

    def floor(self, tier: str, field: str) -> float | None:
        """The lowest confidence of an automated value of this tier; None if it automates nothing."""
        calibration = self.by_tier.get(tier)
        return calibration.floor(field) if calibration else None

    def certified(self, field: str) -> bool:
        """Whether any tier may answer this field without a person."""
        return any(calibration.threshold(field) is not None for calibration in self.by_tier.values())

    def because(self, field: str) -> str:
        """What the data prove about a field, by the first tier that was calibrated for it."""
        certificates = (calibration.certificates.get(field) for calibration in self.by_tier.values())
        return next((certificate.because for certificate in certificates if certificate), "not calibrated")

    def promising(self, slo: "SLO") -> "Calibrations":
        """The same evidence with the thresholds of another promise. Exact for one tier; of several, what reached a later one
        was decided by the thresholds of before.
        """
        return Calibrations({tier: part.promising(slo) for tier, part in self.by_tier.items()})

    def save(self, path: Path | str) -> None:
        """Write one JSON file with the evidence, atomically."""
        path = Path(path)
        content = {"format": FORMAT, "tiers": {tier: part.as_plain() for tier, part in self.by_tier.items()}}
        write_whole(path, json.dumps(content, indent=1))

    @classmethod
    def load(cls, path: Path | str) -> "Calibrations":
        """Read what `save` wrote. Raises BadModel for any other file, and as `from_plain` does."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise BadModel(f"calibration of format {content['format']}, expected {FORMAT}; calibrate again")
            return cls({tier: Calibration.from_plain(part) for tier, part in content["tiers"].items()})
        except BadModel as error:
            raise BadModel(f"{path}: {error}") from None
        except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError, BadInput) as error:
            raise BadModel(
                f"{path}: not a calibration ({type(error).__name__}: {error}); make one: notebooks/<mission>/calibrate.py"
            ) from error


def _checked(field: str, pair: Sequence[Any]) -> Pair:
    score, right = pair
    if score is not None and not 0 <= score <= 1:
        raise BadInput(f"calibration of {field!r}: found score {score!r}, expected 0..1, or None for an abstention")
    return (None if score is None else float(score), bool(right))

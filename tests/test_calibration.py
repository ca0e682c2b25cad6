"""A confidence is a probability, and a threshold is a guarantee or it is None."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

from proveout.calibration import Calibration, Calibrations
from proveout.calibration.plan import outlook
from proveout.calibration.thresholds import certify, fewest_values, grid, precision_bounds, risk_coverage, steps_of
from proveout.cli import planning
from proveout.errors import BadInput, BadModel
from proveout.mission import SLO
from proveout.records import BlindSample
from proveout.workspace import Workspace

PROMISE = SLO(precision=0.98, confidence=0.95)
Chance = Callable[[np.ndarray], np.ndarray]  # score to probability of being right


def draw(chance: Chance, n: int, seed: int, levels: int | None = None) -> list[tuple[float | None, bool]]:
    """A calibration split; with `levels` the scores fall on so many values, so that there are ties."""
    rng = np.random.default_rng(seed)
    scores = rng.random(n)
    if levels:
        scores = np.floor(scores * levels) / levels
    return list(zip(scores.tolist(), (rng.random(n) < chance(scores)).tolist(), strict=True))


def true_precision(chance: Chance, threshold: float, levels: int | None = None) -> float:
    grid = (np.arange(100_000) + 0.5) / 100_000
    if levels:
        grid = np.floor(grid * levels) / levels
    return float(chance(grid[grid >= threshold]).mean())


@pytest.mark.parametrize(
    ("chance", "n", "levels"),
    [
        pytest.param(lambda s: 1 - (1 - s) ** 3, 600, None, id="a score that ranks well"),
        pytest.param(
            lambda s: np.full_like(s, 0.9799), 200, None, id="a score that says nothing, precision just below the promise"
        ),
        pytest.param(lambda s: np.full_like(s, 0.9799), 900, None, id="the same with several starts"),
        pytest.param(lambda s: np.where(s > 0.5, 0.9799, 0.5), 500, None, id="a cliff just below the promise"),
        pytest.param(lambda s: 0.97 + 0.01 * s, 700, 10, id="ten distinct scores"),
        pytest.param(lambda s: 0.9799 + 0.001 * (s < 0.2), 400, 5, id="ties, and high scores a little worse"),
    ],
)
@pytest.mark.parametrize("draws", [60, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("lowest", [0.0, 0.9])
def test_the_guarantee_is_broken_in_at_most_five_percent_of_the_draws(
    chance: Chance, n: int, levels: int | None, lowest: float, draws: int
) -> None:
    broken = 0
    for seed in range(draws):
        pairs = draw(chance, n, seed, levels)
        slo = SLO(precision=0.98, confidence=0.95, lowest_confidence=lowest)
        threshold = Calibration.fit({"f": pairs}, slo).threshold("f")
        broken += threshold is not None and true_precision(chance, threshold, levels) < 0.98
    noise = 3 * math.sqrt(0.05 * 0.95 / draws)
    assert broken / draws <= 0.05 + noise


def test_a_reliable_score_is_automated_for_the_most_part() -> None:
    coverage = [certify("f", draw(lambda s: 1 - (1 - s) ** 12, 600, seed), 0.98, 0.95).coverage for seed in range(20)]
    assert np.mean(coverage) > 0.6  # 0.89 of the values lie above the ideal threshold


def test_fewer_values_than_the_statement_needs_are_not_certifiable_and_say_so() -> None:
    fitted = Calibration.fit({"advertiser": [(0.99, True)] * 52}, PROMISE)
    certificate = fitted.certificates["advertiser"]
    assert (certificate.threshold, certificate.n, certificate.errors) == (None, 52, 0)
    assert certificate.because == (
        "not certifiable: 52 calibrated values, at least 149 are needed even without an error; "
        "the most they can certify: 94.4 % of all answers at 95 % confidence"
    )
    best = fitted.best_statement("advertiser")
    assert best is not None and (best.lower, best.coverage) == (0.944, 1.0)
    assert not fitted.automates("advertiser", 1.0) and fitted.floor("advertiser") is None


def test_a_promise_for_whole_documents_is_kept_and_stricter_than_one_for_each_field(tmp_path: Path) -> None:
    chance: Chance = lambda s: 1 - (1 - s) ** 12  # noqa: E731
    fields = [[draw(chance, 600, seed=2 * n + field) for field in (0, 1)] for n in range(60)]
    coverage, broken = [], 0
    for first, last in fields:
        whole = [(min(a, b), x and y) for (a, x), (b, y) in zip(first, last, strict=True)]  # type: ignore[type-var]
        fitted = Calibration.fit({"a": first, "b": last}, PROMISE, whole=whole)
        certificate = fitted.whole_documents()
        assert certificate is not None
        coverage.append((certificate.coverage, fitted.certificates["a"].coverage))
        if certificate.threshold is not None:
            above = np.random.default_rng(5).uniform(certificate.threshold, 1, (2, 20_000))
            broken += float(np.prod([[chance(s) for s in row] for row in above], axis=0).mean()) < PROMISE.precision
    assert 0 < np.mean([both for both, _ in coverage]) < np.mean([single for _, single in coverage])
    assert broken <= 60 * 0.05 + 3 * math.sqrt(60 * 0.05 * 0.95)
    Calibrations({"ranker": fitted}).save(tmp_path / "calibration.json")
    assert Calibrations.load(tmp_path / "calibration.json").by_tier["ranker"].whole_documents() == certificate
    assert replace(fitted, blind=BlindSample(280, 1)).whole_documents() is None  # blind readings are of single values


@pytest.mark.filterwarnings("ignore::UserWarning:mapie")
@pytest.mark.parametrize("chance", [lambda s: 1 - (1 - s) ** 12, lambda s: 0.9 + 0.1 * s])
def test_an_independent_implementation_certifies_the_same_values(chance: Chance) -> None:
    """MAPIE's risk control, given the thresholds that are tested, one start, and scores of which higher ones are better.

    It counts one error more where a share of errors times their number is a little above a whole number in floating point.
    """
    from mapie.risk_control import BinaryClassificationController

    ours, theirs = [], []
    for seed in range(20):
        pairs = [(score, right) for score, right in draw(chance, 400, seed) if score is not None]
        steps = steps_of(pairs)
        tested = sorted(steps[index][0] for index, _ in grid([n for _, n, _ in steps], 0.98, 0.05))
        scores, right = np.array([[score] for score, _ in pairs]), np.array([int(right) for _, right in pairs])
        controller = BinaryClassificationController(
            lambda x: np.hstack([1 - x, x]),
            "precision",
            0.98,
            confidence_level=0.95,
            list_predict_params=np.array(tested),
            fwer_method="fixed_sequence",
        ).calibrate(scores, right)
        valid = controller.valid_predict_params
        theirs.append(int((scores >= min(valid)).sum()) if len(valid) else 0)
        certificate = certify("f", pairs, 0.98, 0.95)
        ours.append(certificate.n if certificate.threshold is not None else 0)
    assert all(mine >= other for mine, other in zip(ours, theirs, strict=True))
    assert sum(mine == other for mine, other in zip(ours, theirs, strict=True)) >= 18, (ours, theirs)


def test_fields_are_never_pooled() -> None:
    fitted = Calibration.fit({"many": [(0.9, True)] * 149, "few": [(0.9, True)] * 148}, PROMISE)
    assert fitted.threshold("many") == 0.9
    assert fitted.threshold("few") is None


def test_what_was_right_never_moves_the_grid() -> None:
    pairs = draw(lambda s: 1 - (1 - s) ** 12, 600, seed=1)
    threshold = certify("f", pairs, 0.98, 0.95).threshold
    assert threshold is not None
    below = [(score, right if score is not None and score >= threshold else False) for score, right in pairs]
    assert certify("f", below, 0.98, 0.95).threshold == threshold


def test_equal_scores_share_one_fate() -> None:
    pairs = [(0.9, True)] * 160 + [(0.5, True), (0.5, False)] * 60
    certificate = certify("f", pairs, 0.98, 0.95)
    assert certificate.n == 160
    assert certificate.threshold is not None and 0.5 < certificate.threshold <= 0.9


def test_an_abstention_is_a_case_without_an_answer() -> None:
    certificate = certify("f", [(0.9, True)] * 150 + [(None, False)] * 50, 0.98, 0.95)
    assert (certificate.n, certificate.errors, certificate.coverage) == (150, 0, 0.75)


@pytest.mark.parametrize(("n", "errors"), [(149, 0), (10, 1), (10, 10), (373, 7)])
def test_bounds_are_those_of_clopper_and_pearson(n: int, errors: int) -> None:
    theirs = binomtest(n - errors, n).proportion_ci(confidence_level=0.90, method="exact")
    assert precision_bounds(n, errors, 0.95) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("precision", "confidence", "n"), [(0.98, 0.95, 149), (0.99, 0.95, 299), (0.9, 0.9, 22)])
def test_the_fewest_values_certify_and_one_less_does_not(precision: float, confidence: float, n: int) -> None:
    assert fewest_values(precision, confidence) == n
    assert certify("f", [(0.5, True)] * n, precision, confidence).threshold is not None
    assert certify("f", [(0.5, True)] * (n - 1), precision, confidence).threshold is None


@pytest.mark.parametrize("n", [1, 7, 52, 1000])
def test_a_confidence_never_falls_with_the_score_and_is_never_certain(n: int) -> None:
    fitted = Calibration.fit({"f": draw(lambda s: s**2, n, seed=n)}, PROMISE)
    said = [fitted.confidence("f", score) for score in np.linspace(0, 1, 101).tolist()]
    assert said == sorted(said)
    assert 1 / (n + 2) <= said[0] and said[-1] <= (n + 1) / (n + 2)


def test_confidences_can_be_taken_at_their_word() -> None:
    fitted = Calibration.fit({"f": draw(lambda s: s**3, 2000, seed=3)}, PROMISE)
    assert fitted.quality("f").ece < 0.03
    assert abs(fitted.confidence("f", 0.5) - 0.5**3) < 0.03
    raw = np.mean([(score - right) ** 2 for score, right in fitted.evidence["f"] if score is not None])
    assert fitted.quality("f").brier < raw - 0.05


def test_an_automated_value_is_at_least_as_confident_as_the_floor() -> None:
    fitted = Calibration.fit({"f": draw(lambda s: 1 - (1 - s) ** 12, 600, seed=2)}, PROMISE)
    floor, threshold = fitted.floor("f"), fitted.threshold("f")
    assert floor is not None and threshold is not None
    for score in np.linspace(0, 1, 201).tolist():
        assert not fitted.automates("f", score) or fitted.confidence("f", score) >= floor


def test_the_risk_coverage_curve_ends_with_every_answer() -> None:
    curve = risk_coverage(draw(lambda s: s, 200, seed=5))
    assert [point.coverage for point in curve] == sorted(point.coverage for point in curve)
    assert curve[-1].coverage == 1.0 and curve[0].n == 1
    assert all(point.lower <= point.precision <= point.upper for point in curve)


def test_no_automated_value_is_less_sure_than_the_lowest_confidence() -> None:
    """97 of 100 sure values do not make up for a doubtful one: the average would keep the promise, the single value not."""
    pairs = [(0.9 + n / 10_000, True) for n in range(600)] + [(0.3, True)] * 5 + [(0.2, False)] * 5
    without = Calibration.fit({"f": pairs}, SLO(precision=0.98, confidence=0.95, lowest_confidence=0))
    assert without.automates("f", 0.25) and without.confidence("f", 0.25) < 0.8
    fitted = Calibration.fit({"f": pairs}, SLO(precision=0.98, confidence=0.95, lowest_confidence=0.8))
    assert fitted.automates("f", 0.95) and not fitted.automates("f", 0.25)
    floor = fitted.floor("f")
    assert floor is not None and floor >= 0.8


def test_a_tier_that_was_never_calibrated_has_no_confidence_and_automates_nothing() -> None:
    known = Calibrations({"ranker": Calibration.fit({"f": [(0.9, True)] * 200, "g": [(None, False)]}, PROMISE)})
    assert known.automates("ranker", "f", 0.95)
    for tier, field in [("language_model", "f"), ("ranker", "g"), ("ranker", "h")]:
        assert math.isnan(known.confidence(tier, field, 0.99)) and not known.automates(tier, field, 0.99)
    assert known.certified("f") and not known.certified("g") and known.because("h") == "not calibrated"


def test_saved_calibrations_say_the_same_after_loading(tmp_path) -> None:
    fitted = Calibration.fit({"a": draw(lambda s: 1 - (1 - s) ** 12, 600, seed=4), "b": [(None, False)]}, PROMISE)
    kept = Calibrations({"ranker": fitted, "language_model": Calibration.fit({"a": []}, PROMISE, {"a": 0.01})})
    kept.save(tmp_path / "calibration.json")
    assert Calibrations.load(tmp_path / "calibration.json") == kept


def test_a_threshold_that_its_evidence_does_not_give_is_refused(tmp_path) -> None:
    path = tmp_path / "calibration.json"
    Calibrations({"ranker": Calibration.fit({"a": [(0.9, True)] * 52}, PROMISE)}).save(path)
    content = json.loads(path.read_text())
    content["tiers"]["ranker"]["fields"]["a"]["certificate"]["threshold"] = 0.1
    path.write_text(json.dumps(content))
    with pytest.raises(BadModel, match="does not follow from its evidence"):
        Calibrations.load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1}', '{"format": 2, "tiers": 3}', "\udcff"])
def test_another_file_is_not_taken_for_a_calibration(tmp_path, text: str) -> None:
    (tmp_path / "other.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadModel, match="calibrat"):
        Calibrations.load(tmp_path / "other.json")


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan])
def test_a_score_that_is_none_is_refused(score: float) -> None:
    with pytest.raises(BadInput, match=r"expected 0\.\.1"):
        Calibration.fit({"f": [(score, True)]}, PROMISE)


def test_a_field_that_was_never_calibrated_is_never_automated() -> None:
    fitted = Calibration.fit({"f": [(0.9, True)]}, PROMISE)
    assert fitted.threshold("other") is None
    assert math.isnan(fitted.confidence("other", 0.9))


def test_a_stricter_promise_needs_more_labels_and_a_certified_one_none() -> None:
    pairs = draw(lambda s: 1 - 0.3 * (1 - s) ** 3, 300, seed=1)
    needed = [outlook("f", pairs, SLO(precision=precision, confidence=0.95)) for precision in (0.8, 0.99, 0.995)]
    assert needed[0].more == 0 and needed[0].coverage > 0.9
    assert 0 < needed[1].more < needed[2].more and needed[1].at_least <= needed[1].more
    assert needed[1] == outlook("f", pairs, SLO(precision=0.99, confidence=0.95)), "the same input, the same answer"


def test_the_labels_that_a_plan_asks_for_do_certify() -> None:
    """Of 40 streams like the one that was planned for, about half are certified with the median number of labels."""
    chance = lambda s: np.full_like(s, 0.995)  # noqa: E731
    slo = SLO(precision=0.98, confidence=0.95)
    more = outlook("f", draw(chance, 120, seed=3), slo).more
    certified = [Calibration.fit({"f": draw(chance, 120 + more, seed)}, slo).threshold("f") for seed in range(100, 140)]
    assert 12 <= sum(threshold is not None for threshold in certified) <= 36


def test_without_labels_a_plan_asks_for_some() -> None:
    assert outlook("f", (), PROMISE).needs == "no labelled value yet; label some"


def test_a_plan_begins_where_the_certificate_of_a_tier_stands(tmp_path: Path, capsys) -> None:
    """160 right answers prove 98 % at 95 % confidence. Two tiers share the risk, at 97.5 % confidence, which takes 183."""
    tiers = {"ranker": [(0.9, True)] * 160, "language_model": [(0.9, True)] * 170}
    fitted = {tier: Calibration.fit({"gross_amount": pairs}, PROMISE, {"gross_amount": 0.025}) for tier, pairs in tiers.items()}
    space = Workspace(Path(__file__).parent.parent, "invoices", tmp_path)
    Calibrations(fitted).save(space.build / "calibrate" / "calibration.json")
    planning.plan(space, None, None, 1.0, None)
    line = next(line.split() for line in capsys.readouterr().out.splitlines() if "gross_amount" in line)
    assert not Calibrations(fitted).certified("gross_amount")
    assert line[1:4] == ["170", "no", "about"], "the tier that is nearest to its certificate"
    own = fitted["ranker"].slo_of("gross_amount", PROMISE)
    needs = outlook("gross_amount", tiers["ranker"], own)
    assert needs.at_least == fewest_values(PROMISE.precision, 0.975) - 160
    promised = Calibration.fit({"f": tiers["ranker"] + [(0.9, True)] * needs.at_least}, PROMISE, {"f": 0.025})
    assert promised.threshold("f") is not None


@pytest.mark.parametrize("fewer", [0, 1])
def test_a_stricter_confidence_is_shared_among_the_tiers_in_the_same_way(fewer: int) -> None:
    shared = Calibration.fit({"f": [(0.9, True)] * 10}, PROMISE, {"f": 0.025})
    slo = shared.slo_of("f", PROMISE.model_copy(update={"confidence": 0.99}))
    pairs = [(0.9, True)] * (fewest_values(0.98, 0.995) - fewer)
    assert (outlook("f", pairs, slo).more == 0) == (fewer == 0)

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Calibration")


@app.cell(hide_code=True)
def introduction(mo):
    mo.md("""
    # Calibration: from scores to probabilities and thresholds

    Labelled documents outside of the tests turn raw scores into probabilities, and yield a threshold for each field above which
    a value needs no person. Move the threshold to see what it automates, and at which precision.
    """)
    return


@app.cell(hide_code=True)
def the_verdict(calibration, mission, mo):
    _certified = [name for name, each in calibration.certificates.items() if each.threshold is not None]
    _open = [name for name in calibration.certificates if name not in _certified]
    mo.callout(
        mo.md(
            f"**{len(_certified)} of {len(calibration.certificates)} fields are certified** at {mission.slo.precision_text} "
            f"precision and {mission.slo.confidence_text} confidence" + (f"; not {', '.join(_open)}." if _open else ".")
        ),
        kind="success" if not _open else "warn",
    )
    return


@app.cell(hide_code=True)
def risk_and_coverage(calibration, field_picker, mission, pairs, plt, risk_coverage, threshold_slider):
    _level = calibration.certificates[field_picker.value].confidence
    _points = risk_coverage(pairs[field_picker.value], _level)
    _chosen = calibration.at(field_picker.value, threshold_slider.value)
    _figure, _ax = plt.subplots(figsize=(8, 3))
    _coverage = [point.coverage for point in _points]
    _ax.fill_between(_coverage, [p.lower for p in _points], [p.upper for p in _points], color="#bee3f8", alpha=0.6, step="pre")
    _ax.step(_coverage, [point.precision for point in _points], where="pre", color="#2b6cb0", label="precision, observed")
    _ax.axhline(mission.slo.precision, color="#718096", lw=1, ls="--", label=f"target {mission.slo.precision_text}")
    _certified = calibration.threshold(field_picker.value)
    if _certified is not None:
        _at = calibration.at(field_picker.value, _certified)
        _ax.plot(_at.coverage, _at.precision, "o", color="#2f855a", ms=9, label="certified")
    if _chosen.n:
        _ax.plot(_chosen.coverage, _chosen.precision, "D", color="#dd6b20", label="your threshold")
    _ax.set(xlim=(0, 1.01), ylim=(max(0, min((p.precision for p in _points), default=0.1) - 0.1), 1.01))
    _ax.set_xlabel("share of cases automated")
    _ax.set_ylabel("precision")
    _ax.legend(loc="lower left", frameon=False, fontsize=8)
    _ax.spines[["top", "right"]].set_visible(False)
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def field_control(calibration, mo):
    field_picker = mo.ui.dropdown(list(calibration.certificates), value=next(iter(calibration.certificates)), label="field")
    field_picker
    return (field_picker,)


@app.cell(hide_code=True)
def threshold_control(calibration, field_picker, mo):
    _best = calibration.best_statement(field_picker.value)
    _start = calibration.threshold(field_picker.value) or (_best.threshold if _best else 0.5)
    threshold_slider = mo.ui.slider(
        0, 1, step=0.005, value=round(_start / 0.005) * 0.005, label="threshold", show_value=True, full_width=True
    )
    threshold_slider
    return (threshold_slider,)


@app.cell(hide_code=True)
def what_the_threshold_would_promise(calibration, field_picker, mission, mo, threshold_slider):
    _statement = calibration.at(field_picker.value, threshold_slider.value)
    _confidence = calibration.confidence(field_picker.value, _statement.threshold)
    _level = calibration.certificates[field_picker.value].confidence
    _meets = "meets" if _statement.lower >= mission.slo.precision else "is under"
    mo.callout(
        mo.md(
            f"**{field_picker.value}** at {threshold_slider.value:.3f}: {_statement.n} values "
            f"({_statement.coverage:.0%} of cases), {_statement.errors} wrong. Had this threshold been fixed in advance, "
            f"these data would certify **{_statement.lower:.1%}** at {100 * _level:.4g} % confidence, which {_meets} "
            f"the target of {mission.slo.precision_text}. A value exactly at the threshold has {_confidence:.0%} confidence."
        ),
        kind="success" if _statement.lower >= mission.slo.precision else "neutral",
    )
    return


@app.cell(hide_code=True)
def about_the_threshold(mo):
    mo.md("""
    The curve shows the share of cases that a threshold automates and their precision; the band is the confidence interval at
    each point. A threshold chosen by looking at this plot has no guarantee: the certified one (green) comes from
    tests in an order that was fixed before the labels were seen.
    """)
    return


@app.cell
def the_cascade(Dataset, Path, Prompts, Workspace, context, missions, tiers):
    mission = missions.load(context.params["mission"])
    dataset = Dataset.load(context.upstream["curate"]["dataset"])
    _prompts = Prompts.load(context.upstream["prompts"]["prompts"])
    _home = Workspace.find(mission.mission, start=Path(__file__).parent)
    cascade = tiers.load(tiers.Parts(mission, _prompts, context.upstream["models"]["folds"], cache=_home.cache))
    return cascade, dataset, mission


@app.cell
def the_calibration(Memory, calibrate, cascade, dataset, context, label_audit, mission, tiers):
    def _past(contents, k):  # no case is read with the help of its own copies
        return Memory.open(context.upstream["retrieval"]["index"], store="").answered(contents, k, without=_copies)

    labels, _blind = label_audit.evidence(dataset, mission.slo)
    _folds = tiers.read_folds(context.upstream["models"]["folds"])
    _copies = {id: group for fold in _folds for group in fold for id in group}
    calibrations = calibrate(cascade, dataset.evidence(_folds), labels, mission, _blind, _past)
    calibrations.save(context.product["calibration"])
    return calibrations, labels


@app.cell(hide_code=True)
def tier_control(calibrations, mo):
    tier_picker = mo.ui.dropdown(list(calibrations.by_tier), value=next(iter(calibrations.by_tier)), label="tier")
    tier_picker
    return (tier_picker,)


@app.cell
def the_tier(calibrations, tier_picker):
    calibration = calibrations.by_tier[tier_picker.value]
    pairs = calibration.evidence
    return calibration, pairs


@app.cell(hide_code=True)
def about_certificates(mission, mo):
    mo.md(f"""
    ## What these labels prove

    A threshold carries a guarantee: *at least the target precision, at the required confidence, for each field by itself*, for
    live cases from the same distribution as these. After drift it may no longer hold; monitoring detects that. Each document is
    scored by a model that did not learn from it or a near-duplicate of it (see the notebook `models`), and a later tier is
    calibrated on the cases that earlier tiers leave open.

    The target is **{mission.slo.precision_text} precision** of automated values at **{mission.slo.confidence_text}
    confidence**. *Not certifiable* is a valid result: those values go to review. Several tiers share the risk of a broken
    promise, so each of them is certified at a higher confidence.
    """)
    return


@app.cell(hide_code=True)
def certificates(calibration, mission, mo, pairs):
    _rows = []
    for _name, _certificate in calibration.certificates.items():
        _best = calibration.best_statement(_name)
        _rows.append(
            {
                "field": _name,
                "labelled cases": len(pairs[_name]),
                "answered": sum(score is not None for score, _ in pairs[_name]),
                "threshold": "none" if _certificate.threshold is None else f"{_certificate.threshold:.3f}",
                "automated": f"{_certificate.coverage:.0%}",
                "errors": _certificate.errors,
                "best statement": f"{_best.lower:.1%} for {_best.coverage:.0%} of the cases" if _best else "none above 50 %",
                "because": _certificate.because,
            }
        )
        if _certificate.threshold is not None:
            assert _certificate.bound >= mission.slo.precision, f"{_name} is certified below the target"
    mo.ui.table(_rows, selection=None)
    return


@app.cell(hide_code=True)
def whole_documents(calibration, mission, mo):
    _whole = calibration.whole_documents()
    _share = f"could be promised for **{_whole.coverage:.0%}** of them" if _whole and _whole.coverage else "cannot be promised"
    _text = f"""
    **Whole documents.** The promise is for each field by itself; a document of several fields is right less often. That
    {mission.slo.precision_text} of the automated documents have *every* required field right, at {mission.slo.confidence_text}
    confidence, {_share} with these labels.
    """
    mo.md(_text) if _whole else None
    return


@app.cell(hide_code=True)
def about_labels(mo):
    mo.md("""
    ## How many labels until it may act?

    Drag the precision before you promise it. For a field without a threshold, labels like those at hand are added in
    simulated futures until it is certified: the median, and the range of eight futures in ten. A target that is lowered after
    seeing the data is no guarantee for these data. `proveout plan` prints the same.
    """)
    return


@app.cell(hide_code=True)
def precision_control(mission, mo):
    precision_slider = mo.ui.slider(
        steps=sorted({0.9, 0.95, 0.98, 0.99, 0.995, 0.999, mission.slo.precision}),
        value=mission.slo.precision,
        label="precision",
        show_value=True,
    )
    precision_slider
    return (precision_slider,)


@app.cell(hide_code=True)
def labels_until_it_may_act(calibration, mission, mo, outlook, pairs, precision_slider):
    _slo = mission.slo.model_copy(update={"precision": precision_slider.value})
    _rows = []
    for _name, _pairs in mo.status.progress_bar(pairs.items(), title="Drawing futures", remove_on_exit=True):
        _each = outlook(_name, _pairs, calibration.slo_of(_name, _slo))
        _rows.append(
            {"field": _name, "labelled": _each.labels, "automated now": f"{_each.coverage:.0%}", "labels more": _each.needs}
        )
        if precision_slider.value == calibration.precision:
            assert _each.coverage == calibration.certificates[_name].coverage, f"{_name}: the plan begins at the certificate"
    mo.ui.table(_rows, selection=None)
    return


@app.cell(hide_code=True)
def is_the_target_of_a_flag_demanding(commonest, labels, mission, mo):
    _sentences = []
    for _name in (name for name, kind in mission.kinds.items() if kind == "flag"):
        _answer, _share = commonest([gold[_name] for gold in labels.values() if _name in gold])
        if _share >= mission.slo.precision:
            _sentences.append(
                f"**{_name}: the target is too easy.** Always answering `{_answer}` would be right in {_share:.0%} of these "
                f"cases, and the target is {mission.slo.precision_text}. Set a target above {_share:.0%}, and check the recall "
                "of yes in the evaluate notebook."
            )
        elif _answer:
            _sentences.append(
                f"{_name}: always answering `{_answer}` would be right in {_share:.0%} of these cases; the target of "
                f"{mission.slo.precision_text} is above that."
            )
    mo.md("\n\n".join(["### Is the target of each flag demanding?", *_sentences])) if _sentences else None
    return


@app.cell(hide_code=True)
def about_reliability(mo):
    mo.md("""
    ## Is confidence calibrated?

    Each point is a group of values of similar confidence: mean confidence against the share that is right, with a 95 %
    interval. Each value is judged by a curve that was fitted without it. Points on the diagonal are calibrated.
    """)
    return


@app.cell(hide_code=True)
def reliability(calibration, plt):
    _names = list(calibration.certificates)
    _figure, _axes = plt.subplots(1, len(_names), figsize=(3 * len(_names), 3.4), sharey=True, squeeze=False)
    for _ax, _name in zip(_axes[0], _names, strict=True):
        _quality = calibration.quality(_name)
        _ax.plot([0, 1], [0, 1], color="#a0aec0", lw=1)
        for _bin in _quality.bins:
            _ax.plot([_bin.confidence] * 2, [_bin.lower, _bin.upper], color="#90cdf4", lw=4, solid_capstyle="butt")
            _ax.plot(_bin.confidence, _bin.right, "o", color="#2b6cb0")
        _scores = [step / 100 for step in range(101)]
        _ax.plot(_scores, [calibration.confidence(_name, s) for s in _scores], color="#dd6b20", lw=1, ls=":")
        _ax.set_title(f"{_name}\nerror {_quality.ece:.3f}, Brier {_quality.brier:.3f}", fontsize=9)
        _ax.set_xlabel("confidence (dotted: raw score to confidence)", fontsize=8)
        _ax.set(xlim=(0, 1.02), ylim=(0, 1.02))
        _ax.spines[["top", "right"]].set_visible(False)
    _axes[0][0].set_ylabel("share right")
    _figure.tight_layout()
    _figure
    return


@app.cell(hide_code=True)
def the_pipeline():
    from proveout.bridge import open_context

    context = open_context(__file__)
    return (context,)


@app.cell(hide_code=True)
def imports_of_the_step():
    from pathlib import Path

    from proveout import mission as missions
    from proveout.agent import label_audit
    from proveout.agent.cascade import calibrate
    from proveout.corpus import Dataset
    from proveout.evaluation import commonest
    from proveout.models import tiers
    from proveout.prompts import Prompts
    from proveout.retrieval import Memory
    from proveout.workspace import Workspace

    return Dataset, Memory, Path, Prompts, Workspace, calibrate, commonest, label_audit, missions, tiers


@app.cell(hide_code=True)
def imports_of_the_view():
    import marimo as mo
    import matplotlib.pyplot as plt

    from proveout.calibration.plan import outlook
    from proveout.calibration.thresholds import risk_coverage

    return mo, outlook, plt, risk_coverage


if __name__ == "__main__":
    app.run()

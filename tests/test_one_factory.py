"""Notebook, pipeline, release, server and evaluation decide by one agent, with a language model joined."""

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
import yaml
from reportlab.pdfgen.canvas import Canvas

from lying_fonts import lying_font
from program import PROVEOUT, ROOT, page_of, proveout
from proveout.corpus import Dataset
from proveout.corpus.dataset import LEARN_FROM
from proveout.models.scripted_endpoint import ScriptedEndpoint
from proveout.release import Releases
from test_notebooks import WRONG, rest

pytestmark = pytest.mark.long
LYING = "example-195"  # a bill, held out for tests
FIELDS = ("reference", "sender", "total", "due")


def known_by_heart(examples: Path):
    """A model that answers every example as its label says, but takes the total for the sender in every tenth."""
    rows = {row["file_id"]: row for row in csv.DictReader((examples / "labels.csv").open(encoding="utf-8"))}
    texts = {" ".join(path.read_text(encoding="utf-8").split()): rows[path.stem] for path in sorted(examples.glob("*.txt"))}
    numbers = {text: number for number, text in enumerate(texts)}

    def answer(text: str) -> str:
        printed = " ".join(text.split())
        row = texts.get(printed)
        if row is None:
            return json.dumps({"document_class": "other", "fields": {}})
        fields = {name: row[name] for name in FIELDS if row[name]}
        if numbers[printed] % 10 == 0 and "total" in fields:
            fields["sender"] = fields["total"]
        return json.dumps({"document_class": row["class"], "fields": fields}, ensure_ascii=False)

    return answer


def lie(path: Path) -> None:
    """Replace a bill by a PDF of the same words, whose font paints another digit for the first one of the total."""
    text = path.read_text(encoding="utf-8")
    says = re.findall(r"\$(\d)", text)[-1]
    path.unlink()
    canvas = Canvas(str(path.with_suffix(".pdf")))
    canvas.setFont(lying_font(path.parent.parent, says, "1" if says != "1" else "9", "DejaVuSansMono"), 9)
    for number, line in enumerate(text.splitlines()):
        canvas.drawString(40, 780 - 14 * number, line)
    canvas.save()


@pytest.fixture(scope="module")
def joined(bills: Path) -> Iterator[Path]:
    """The project `bills` with a language model as its first tier, built and promoted; the model answers while tests run.

    One of its test documents is a file whose font lies.
    """
    design = bills / "pipelines" / "bills"
    with ScriptedEndpoint(rules=known_by_heart(design / "examples")) as endpoint:
        lie(design / "examples" / f"{LYING}.txt")
        mission = yaml.safe_load((design / "mission.yaml").read_text(encoding="utf-8"))
        mission["tiers"] = ["language_model", "ranker", "person"]
        (design / "mission.yaml").write_text(yaml.safe_dump(mission, sort_keys=False), encoding="utf-8")
        model = {"endpoint": endpoint.url, "model": "scripted", "price_in": 1.0, "price_out": 2.0}
        (design / "prompts" / "model.yaml").write_text(yaml.safe_dump(model), encoding="utf-8")
        proveout(bills, "build", "--mission", "bills", "--data", design / "examples")
        proveout(bills, "release", "promote", "latest", "--mission", "bills", "--yes")
        yield bills


def test_four_ways_decide_the_same(joined: Path) -> None:
    said = proveout(joined, "parity", "--mission", "bills")
    assert "notebook, pipeline, release and server agree; largest difference in confidence 0" in said


def test_a_file_whose_font_lies_goes_to_a_person_in_every_way(joined: Path) -> None:
    """The evaluation decides documents of the data set, the release files; what they see is the same."""
    build = joined / "work" / "bills" / "build"
    dataset = Dataset.load(build / "curate" / "dataset")
    case = next(entry.case.id for entry in dataset.chosen("test") if Path(entry.case.path).stem == LYING)
    rows = {row["case"]: row for row in parquet.read_table(build / "evaluate" / "decisions.parquet").to_pylist()}
    assert rows[case]["route"] == "review"
    assert "but its text layer says" in proveout(joined, "show", dataset.path_of(case), "--mission", "bills")
    assert sum(row["route"] == "act" for row in rows.values()) > len(rows) / 2


def test_the_reference_of_monitoring_is_of_the_agent_that_runs(joined: Path) -> None:
    release = Releases(joined / "work" / "bills" / "releases").promoted()
    rows = parquet.read_table(release.path("evidence/reference")).to_pylist()
    assert sum(row["dollars"] > 0 for row in rows) > 0.9 * len(rows), "the model was asked about nearly every case"
    calibrations = json.loads(release.path("calibration").read_text(encoding="utf-8"))
    assert list(calibrations["tiers"]) == ["language_model", "ranker"]
    calibrated = calibrations["tiers"]["language_model"]["fields"]["total"]["evidence"]
    learned = Dataset.load(joined / "work" / "bills" / "build" / "curate" / "dataset").chosen(*LEARN_FROM)
    assert len(calibrated) == sum(bool(entry.labels.get("total")) for entry in learned), "the calibration is cross-fitted"


def test_the_evaluation_speaks_of_the_agent_that_runs(joined: Path, tmp_path: Path) -> None:
    """What `evaluate` wrote of the test documents is what `extract` says of them by the promoted release."""
    build = joined / "work" / "bills" / "build"
    predicted = json.loads((build / "evaluate" / "predictions.json").read_text(encoding="utf-8"))
    proveout(joined, "extract", joined / "pipelines" / "bills" / "examples", "-o", tmp_path / "out.json", "--mission", "bills")
    extracted = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    values = {json.dumps(fields, sort_keys=True) for fields in extracted.values()}
    assert predicted and all(json.dumps(fields, sort_keys=True) in values for fields in predicted.values())


def test_the_model_answers_a_draft_in_the_notebook_and_a_saved_draft_is_the_next_build(joined: Path, chromium) -> None:
    shutil.copy(ROOT / "pyproject.toml", joined)  # opens notebooks whole
    file = joined / "pipelines" / "bills" / "prompts" / "fields.yaml"
    before = file.read_text(encoding="utf-8")
    command = ["edit", "prompts", "--mission", "bills", "--no-token"]
    with page_of(chromium, command, joined / "work" / "bills", height=1600, folder=joined) as page:
        rest(page)
        answered = ".output-area:has-text('calls: ')"  # the model is asked beside the kernel, so that one can go on typing
        page.locator(answered).last.wait_for()
        answers = page.locator(answered).last.inner_text()
        cancelled = page.locator(".output-area:has-text('Cancelled')")
        for _ in range(5):  # a click is lost while marimo draws the button anew
            page.get_by_role("button", name="cancel").first.click()
            page.wait_for_timeout(5_000)
            if cancelled.count():
                break
        assert cancelled.count() and page.evaluate(WRONG) == []
        assert all(name in answers for name in FIELDS) and "yes" in answers
        page.get_by_role("button", name="search").last.click()  # for descriptions
        page.locator(".output-area:has-text('none: the draft'):has-text('past_cases: 3')").wait_for()
        assert page.evaluate(WRONG) == []
        box = page.locator("marimo-text-area").first.locator("textarea")
        box.fill(before.replace("The whole amount to pay", "All that is to be paid"))
        box.blur()
        rest(page)
        page.locator("marimo-button").first.locator("button").click()
        rest(page)
        assert "proveout build now runs" in page.inner_text("body") and page.evaluate(WRONG) == []
        saved = file.read_text(encoding="utf-8")
        file.write_text(before.replace("Who asks", "Who else asks"), encoding="utf-8")
        page.locator("marimo-button").first.locator("button").click()
        rest(page)
        assert "somebody else changed them" in page.inner_text("body")
    try:
        assert saved != before and "Who else asks" in file.read_text(encoding="utf-8")
        assert "changed" in proveout(joined, "why", "prompts", "--mission", "bills")
    finally:
        file.write_text(before, encoding="utf-8")


def test_a_model_that_the_mission_does_not_ask_is_refused_before_anything_is_trained(joined: Path, tmp_path: Path) -> None:
    design = joined / "pipelines" / "bills"
    before = (design / "mission.yaml").read_text(encoding="utf-8")
    mission = yaml.safe_load(before) | {"tiers": ["ranker", "person"]}
    try:
        (design / "mission.yaml").write_text(yaml.safe_dump(mission, sort_keys=False), encoding="utf-8")
        run = subprocess.run(
            [*PROVEOUT, "build", "--mission", "bills"], cwd=joined, capture_output=True, text=True, check=False
        )
    finally:
        (design / "mission.yaml").write_text(before, encoding="utf-8")
    assert run.returncode == 1 and "models" not in run.stdout
    assert "model.yaml: configures a language model, but the tiers of mission bills are ranker, person" in run.stderr

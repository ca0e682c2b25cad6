"""A release is its content: the same parts are the same release, and one changed byte is noticed."""

import errno
import json
import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from fastapi.testclient import TestClient

import proveout
from program import PROVEOUT
from proveout.calibration import Calibration, Calibrations
from proveout.cli import releasing
from proveout.cli.inventory import inventory
from proveout.errors import BadInput, BadModel, BadSpec, NoRelease, OtherCode
from proveout.identity import Accounts, Role
from proveout.journal import Journal
from proveout.mission import SLO
from proveout.monitoring import frozen_missions
from proveout.release import Release, Releases, freeze
from proveout.retrieval import Encoder, Memory, MemoryRecord
from proveout.serving import application
from proveout.workspace import Workspace

DESIGN = Path(__file__).parent.parent / "pipelines" / "invoices"
PROMISE = SLO(precision=0.98, confidence=0.95)


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, Path]:
    """What a build made, with a model and an index that nobody loads here."""
    build = tmp_path / "build"
    (build / "model" / "trees").mkdir(parents=True)
    (build / "model" / "trees" / "advertiser.txt").write_text("a tree")
    (build / "index").mkdir()
    (build / "index" / "records.jsonl").write_text('{"case": "c1", "text": "an invoice"}\n')
    (build / "index" / "vectors.npy").write_bytes(b"floats")
    fitted = Calibration.fit({"advertiser": [(0.9, True)] * 60}, PROMISE)
    Calibrations({"ranker": fitted}).save(build / "calibration.json")
    return {
        "prompts": DESIGN / "prompts",
        "model": build / "model",
        "index": build / "index",
        "calibration": build / "calibration.json",
        "mission": DESIGN / "mission.yaml",
        "policy": DESIGN / "policy.cedar",
    }


@pytest.fixture
def releases(tmp_path: Path) -> Releases:
    return Releases(tmp_path / "releases")


def retrained(parts: dict[str, Path], text: str) -> dict[str, Path]:
    (parts["model"] / "trees" / "advertiser.txt").write_text(text)
    return parts


def test_the_same_parts_are_the_same_release(releases: Releases, parts, tmp_path: Path) -> None:
    id = releases.freeze(parts)
    assert releases.freeze(parts) == id
    elsewhere = {
        name: shutil.copytree(path, tmp_path / "copy" / name) if path.is_dir() else path for name, path in parts.items()
    }
    assert Releases(tmp_path / "another root").freeze(elsewhere) == id
    assert [one.id for one in releases.list()] == [id]


def test_two_processes_may_freeze_the_same_release_at_once(releases: Releases, parts, monkeypatch) -> None:
    check = proveout.release._check

    def after_the_other(manifest, folder) -> None:
        monkeypatch.setattr(proveout.release, "_check", check)
        releases.freeze(parts)
        check(manifest, folder)

    monkeypatch.setattr(proveout.release, "_check", after_the_other)
    assert [one.id for one in releases.list()] == [] and releases.freeze(parts) == releases.list()[0].id


@pytest.mark.parametrize("part", ["model", "index", "calibration", "prompts", "mission", "policy"])
def test_another_part_is_another_release(releases: Releases, parts, tmp_path: Path, part: str) -> None:
    id = releases.freeze(parts)
    changed = tmp_path / "changed" / parts[part].name
    (shutil.copytree if parts[part].is_dir() else shutil.copy)(parts[part], changed.parent.mkdir() or changed)
    place = next(path for path in sorted(changed.rglob("*")) if path.is_file()) if changed.is_dir() else changed
    place.write_bytes(place.read_bytes() + b"\n")
    assert releases.freeze(parts | {part: changed}) != id


def test_a_promise_is_the_frozen_one_also_after_the_mission_was_edited(releases: Releases, parts, tmp_path: Path) -> None:
    edited = tmp_path / "mission.yaml"
    edited.write_text(re.sub(r"precision: 0\.98", "precision: 0.9", parts["mission"].read_text()))
    id = releases.freeze(parts | {"mission": edited})
    edited.write_text("slo: {precision: 0.6}")
    assert releases.mission(id).slo.precision == 0.9
    log, evidence = pd.DataFrame({"release": [id, id, "c" * 64, None]}), releases.root / id / "evidence" / "reference.parquet"
    assert [(one, mission.slo.precision) for one, mission in frozen_missions(evidence, log).items()] == [(id, 0.9)]
    assert frozen_missions(tmp_path / "reference.parquet", log) == {}
    frozen = releases.root / id / "mission.yaml"
    frozen.chmod(0o600)
    frozen.write_text(frozen.read_text().replace("0.9", "0.6", 1))
    assert releases.mission(id) is None and releases.mission("c" * 64) is None


def test_an_index_is_its_records_not_a_store(releases: Releases, parts) -> None:
    id = releases.freeze(parts)
    (parts["index"] / "vectors.npy").write_bytes(b"the last digit of a float differs on this machine")
    assert releases.freeze(parts) == id


def test_evidence_is_kept_and_does_not_count(releases: Releases, parts, tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    id = releases.freeze(parts, {"metrics": tmp_path / "metrics.json"})
    assert releases.freeze(parts) == id
    assert releases.open(id).path("evidence/metrics").read_text() == "{}"


def test_an_open_release_gives_what_was_frozen(releases: Releases, parts) -> None:
    release = releases.open(releases.freeze(parts)[:12])
    assert release.mission.mission == "invoices"
    assert release.calibrations.by_tier["ranker"].certificates["advertiser"].n == 60
    assert release.path("policy").read_text() == (DESIGN / "policy.cedar").read_text()
    assert release.policy.mission == release.mission
    assert (release.path("code") / "proveout" / "release.py").exists()
    assert release.differences() == []
    assert {"python", "cedarpy", "orjson"} <= release.manifest["content"]["environment"].keys()
    with pytest.raises(BadModel, match="has no part 'weights'"):
        release.path("weights")


def test_a_file_of_a_release_cannot_be_written_by_chance(releases: Releases, parts) -> None:
    folder = releases.open(releases.freeze(parts)).folder
    assert {path.stat().st_mode & 0o222 for path in folder.rglob("*") if path.is_file() and path.name != "release.json"} == {0}


def change(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: change(folder / "policy.cedar"), "policy.cedar: changed since"),
        (lambda folder: change(folder / "code" / "proveout" / "policy.py"), "policy.py: changed since"),
        (lambda folder: (folder / "calibration.json").unlink(), "calibration.json: missing"),
        (lambda folder: (folder / "model" / "more.txt").write_text("x"), "more.txt: does not belong"),
        (lambda folder: (folder / "release.json").write_text("{"), "not a release"),
        (lambda folder: forge(folder, "environment", {"python": "2.7"}), r"release\.json: changed since"),
        (lambda folder: forge(folder, "mission", "catalog"), r"release\.json: changed since"),
    ],
    ids=["a part", "the code", "a lost file", "a new file", "a torn manifest", "another environment", "another mission"],
)
def test_damage_is_named(releases: Releases, parts, damage, message: str) -> None:
    id = releases.freeze(parts)
    damage(releases.root / id)
    with pytest.raises(BadModel, match=message):
        releases.open(id)
    with pytest.raises(BadModel):
        releases.promote(id, by="ada")
    assert releases.freeze(parts) == id and releases.open(id).id == id  # freezing again mends it


def forge(folder: Path, key: str, value: object) -> None:
    about = json.loads((folder / "release.json").read_text())
    about["content"][key] = value
    (folder / "release.json").write_text(json.dumps(about))


def test_promoting_and_rolling_back_is_remembered_for_ever(releases: Releases, parts) -> None:
    first = releases.freeze(parts)
    second = releases.freeze(retrained(parts, "another tree"))
    with pytest.raises(NoRelease, match="promote latest"):
        releases.current()
    releases.promote(first[:8], by="ada")
    releases.promote(first, by="bob")  # is already
    releases.promote(second, by="ada")
    assert releases.current() == second
    assert releases.rollback(by="bob") == first == releases.current()
    with pytest.raises(NoRelease, match=f"no release was promoted before {first[:12]}; there is nothing to roll back to"):
        releases.rollback(by="bob")
    entries = [(entry["what"], entry["by"], entry["release"]) for entry in releases.history()]
    assert entries == [("promote", "ada", first), ("promote", "ada", second), ("rollback", "bob", first)]
    assert [(one.id, one.promoted) for one in releases.list() if one.promoted] == [(first, True)]


def test_a_line_that_a_crash_tore_never_happened(releases: Releases, parts) -> None:
    id = releases.freeze(parts)
    releases.promote(id, by="ada")
    with (releases.root / "history.jsonl").open("a") as file:
        file.write('{"what": "promote", "relea')
    assert releases.current() == id
    second = releases.freeze(retrained(parts, "another tree"))
    releases.promote(second, by="ada")
    assert releases.current() == second and len(releases.history()) == 2


def test_rolling_back_works_when_the_newest_release_is_damaged(releases: Releases, parts) -> None:
    first = releases.freeze(parts)
    second = releases.freeze(retrained(parts, "another tree"))
    for id in (first, second):
        releases.promote(id, by="ada")
    (releases.root / second / "release.json").write_text("{")
    assert releases.rollback(by="ada") == first
    assert any("DAMAGED" in str(one) for one in releases.list())


def test_an_id_is_found_by_its_start_or_not_at_all(releases: Releases, parts) -> None:
    for asks in (lambda: releases.open("latest"), releases.current):
        with pytest.raises(NoRelease, match="proveout build"):
            asks()
    id = releases.freeze(parts)
    assert releases.find("latest") == releases.find(id[:6].upper()) == id
    for wrong in ("", "xyz"):
        with pytest.raises(NoRelease, match=id[:12]):
            releases.find(wrong)


def test_the_live_memory_begins_with_what_the_release_knew_and_outlives_it(releases: Releases, parts, tmp_path: Path) -> None:
    def index(*cases: str) -> dict[str, Path]:
        shutil.rmtree(parts["index"])
        memory = Memory.open(parts["index"], encoder, store="")
        memory.add(MemoryRecord(case, f"invoice of {case}", {"advertiser": case}, origin="label") for case in cases)
        memory.save(parts["index"])
        return parts

    encoder = Encoder.load()
    live = tmp_path / "memory"
    first = releases.open(releases.freeze(index("Ada")))
    first.memory(live, encoder).add([MemoryRecord("Bob", "decided live", {})])
    second = releases.open(releases.freeze(index("Ada", "Cyd")))
    assert [record.case for record in second.memory(live, encoder).records()] == ["Ada", "Bob", "Cyd"]
    assert first.memory(live, encoder).position == 3  # rolled back, it forgets nothing
    assert first.memory(encoder=encoder).position == 1  # of the release alone
    second.memory(live, encoder).add([MemoryRecord("Ada", "invoice of Ada", {"advertiser": "Ada B."}, origin="label")])
    for release in (second, first, second):  # what a person answered since stays the last word, and nothing is added again
        assert release.memory(live, encoder).position == 4


def test_a_full_disk_leaves_no_half_release(releases: Releases, parts, monkeypatch) -> None:
    copy, count = shutil.copyfile, []

    def full(source, target):
        count.append(1)
        if len(count) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space"):
        releases.freeze(parts)
    assert list(releases.root.iterdir()) == []
    monkeypatch.undo()
    assert releases.open(releases.freeze(parts)).mission.mission == "invoices"


def test_a_missing_part_is_named(releases: Releases, parts) -> None:
    with pytest.raises(BadModel, match="'model' of a release is missing or empty"):
        releases.freeze(parts | {"model": Path("nowhere")})


def test_the_build_ends_in_a_release(releases: Releases, parts, tmp_path: Path) -> None:
    for name, text in (("reference.parquet", ""), ("metrics.json", '{"headline": "micro-F1 0.91"}')):
        (tmp_path / name).write_text(text)
    upstream = {
        "prompts": {"prompts": parts["prompts"]},
        "retrieval": {"index": parts["index"]},
        "models": {"model": parts["model"]},
        "calibrate": {"calibration": parts["calibration"]},
        "agent": {"reference": tmp_path / "reference.parquet"},
        "evaluate": {"metrics": tmp_path / "metrics.json", "predictions": tmp_path / "predictions.json"},
    }
    product = tmp_path / "release.json"
    named = {
        "prompts": "prompts.prompts",
        "index": "retrieval.index",
        "model": "models.model",
        "calibration": "calibrate.calibration",
    }
    evidence = {"reference": "agent.reference", "metrics": "evaluate.metrics"}
    freeze({"release": product}, upstream, named, evidence, parts["mission"], parts["policy"], releases.root)
    written = json.loads(product.read_text())
    assert written["id"] == releases.find("latest") == Releases(releases.root).freeze(parts)
    assert "micro-F1 0.91" in str(releases.list()[0])


def test_a_product_that_no_step_makes_is_named(releases: Releases, parts, tmp_path: Path) -> None:
    upstream = {"models": {"model": parts["model"]}}
    with pytest.raises(BadSpec, match=r"no product `model\.model` comes before the release; there are: models\.model"):
        freeze({"release": tmp_path / "x"}, upstream, {"model": "model.model"}, {}, parts["mission"], parts["policy"], "r")


# --- what runs is what is pinned ---


def test_a_release_of_an_earlier_version_is_refused_with_what_makes_a_new_one(releases: Releases, parts) -> None:
    id = releases.freeze(parts)
    about = json.loads((releases.root / id / "release.json").read_text())
    (releases.root / id / "release.json").write_text(json.dumps(about | {"format": 1}))
    with pytest.raises(OtherCode, match=rf"{id[:12]} was frozen by an earlier version.*proveout build"):
        releases.open(id)
    assert "earlier version" in str(releases.list()[0]) and "DAMAGED" not in str(releases.list()[0])


def refused(release: Release, tmp_path: Path, message: str) -> None:
    """Neither half of what a release does begins."""
    with pytest.raises(OtherCode, match=message):
        release.agent(None)  # nothing is loaded before it is looked at
    with pytest.raises(OtherCode, match=message), Journal(tmp_path / "journal.db") as journal:
        release.control(tmp_path, journal, lambda case: tmp_path / case, run="test")


def test_another_version_of_a_library_is_refused_with_both_named(releases: Releases, parts, tmp_path, monkeypatch) -> None:
    id = releases.freeze(parts)
    then = releases.open(id).manifest["content"]["environment"]["orjson"]
    installed(tmp_path / "newer", "orjson", "9.9")
    monkeypatch.syspath_prepend(tmp_path / "newer")
    assert releases.open(id).differences() == [f"orjson {then} then, 9.9 now"]
    refused(releases.open(id), tmp_path, rf"orjson {then} then, 9\.9 now.*proveout build")


def test_a_library_that_is_gone_and_another_python_are_named_too(releases: Releases, parts, tmp_path) -> None:
    release = releases.open(releases.freeze(parts))
    content = release.manifest["content"]
    pinned = content | {"environment": content["environment"] | {"toy-pack": "1.0", "python": "3.10.1"}}
    elsewhere = replace(release, manifest={**release.manifest, "content": pinned})
    refused(elsewhere, tmp_path, r"python 3\.10\.1 then, 3\.1.* now, toy-pack 1\.0 then, missing now")


def installed(folder: Path, name: str, version: str) -> None:
    """A distribution of another version, as far as its metadata goes."""
    metadata = folder / f"{name}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


SENTENCE = "the agent may act."
FREEZE = """
import sys
from pathlib import Path
from proveout.release import Releases
build, design, releases = Path("work/bills/build"), Path("pipelines/bills"), Releases("work/bills/releases")
print(releases.freeze({
    "prompts": build / "prompts" / "prompts",
    "model": build / "models" / "model",
    "index": build / "retrieval" / "index",
    "calibration": build / "calibrate" / "calibration.json",
    "mission": design / "mission.yaml",
    "policy": design / "policy.cedar",
}))
"""


def package(folder: Path) -> Path:
    """A copy of the package that can be changed, in a folder for Python's path."""
    ignored = shutil.ignore_patterns("__pycache__")
    return shutil.copytree(Path(proveout.__file__).parent, folder / "proveout", ignore=ignored)


@pytest.fixture(scope="module")
def older(bills, tmp_path_factory) -> Release:
    """A release of `bills`, promoted, of the same parts as its build but of code that words a decision otherwise."""
    folder = tmp_path_factory.mktemp("older")
    source = next(path for path in package(folder).rglob("*.py") if SENTENCE in path.read_text())
    source.write_text(source.read_text().replace(SENTENCE, "THE OLDER AGENT MAY ACT."))
    command, path = [sys.executable, "-c", FREEZE], os.environ | {"PYTHONPATH": str(folder)}
    id = subprocess.run(command, cwd=bills, env=path, capture_output=True, text=True, check=True).stdout.strip()
    releases = Releases(bills / "work" / "bills" / "releases")
    releases.promote(id, by="ada")
    return releases.open(id)


def command(project: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command about bills, run by the code that is tested here."""
    line = [*PROVEOUT, *map(str, words), "--mission", "bills"]
    return subprocess.run(line, cwd=project, env=os.environ | environment, capture_output=True, text=True)


EXAMPLE = "pipelines/bills/examples/example-071.txt"


def test_a_release_of_other_code_decides_nothing_in_this_process(older: Release, tmp_path) -> None:
    (changed,) = older.other_code
    assert "THE OLDER AGENT" in (older.path("code") / changed).read_text()
    refused(older, tmp_path, f"other code than this process runs .{changed}.*proveout build")


def test_the_command_decides_by_the_releases_own_code_whatever_is_installed(bills, older: Release) -> None:
    result = command(bills, "show", EXAMPLE)
    assert "THE OLDER AGENT MAY ACT." in result.stdout and f"release {older.id[:12]}" in result.stdout
    assert f"release {older.id[:12]} runs its own frozen code" in result.stderr and older.other_code[0] in result.stderr
    inbox = bills / "work" / "bills" / "inbox"
    inbox.mkdir()
    shutil.copy(bills / EXAMPLE, inbox)
    assert "1 case decided" in (ran := command(bills, "run")).stdout, ran.stderr
    with Journal(bills / "work" / "bills" / "journal.db") as journal:
        (one,) = journal.decisions()
    assert one.decision.release == older.id and "THE OLDER AGENT MAY ACT." in one.decision.because[0]
    assert Releases(older.folder.parent).open(older.id).id == older.id, "nothing was written into its folder"


def test_what_is_installed_decides_as_soon_as_its_release_is_promoted(bills, older: Release) -> None:
    built = json.loads((bills / "work" / "bills" / "build" / "release" / "release.json").read_text())["id"]
    command(bills, "release", "promote", built, "--yes")
    result = command(bills, "show", EXAMPLE, "--again")
    assert SENTENCE in result.stdout and f"release {built[:12]}" in result.stdout and result.stderr == ""
    back = command(bills, "release", "rollback")
    assert f"back to release {older.id[:12]}" in back.stdout and "it runs its own frozen code" in back.stdout


@pytest.mark.parametrize("words", [("status",), ("release", "list"), ("release", "show", "latest")], ids=" ".join)
def test_what_differs_is_said_where_a_person_looks(bills, older: Release, words) -> None:
    assert older.other_code[0] in (result := command(bills, *words)).stdout, result.stderr


def test_every_file_of_weights_is_listed_with_its_hash_and_where_it_is_from(bills, older: Release) -> None:
    listed = {weights.file: weights for weights in inventory(older)}
    model = {
        place.removeprefix("model/"): digest for place, digest in older.manifest["files"].items() if place.startswith("model/")
    }
    own = {name for name, weights in listed.items() if weights.source == "this build"}
    assert own == set(model) - {"manifest.json", "prompts.json"}, "every file that something learned is in it"
    assert all(listed[name].sha256 == model[name] for name in own) and "documents of data set" in listed["classes.json"].learned
    installed = {name: weights for name, weights in listed.items() if name not in own}
    assert {"model.safetensors", "PP-OCRv6_rec_small.onnx"} <= set(installed)
    assert all(len(weights.sha256) == 64 and "Apache-2.0" in weights.source for weights in installed.values())
    shown = command(bills, "release", "show", older.id).stdout
    assert all(weights.sha256[:12] in shown and weights.role in shown for weights in listed.values())


def test_a_path_on_which_other_code_stays_first_is_an_error_and_no_loop(bills, older: Release) -> None:
    run = command(bills, "show", EXAMPLE, "--again", PROVEOUT_OWN_CODE=older.id)
    assert run.returncode == 1
    assert f"cannot run its own code in {older.path('code')}: Python finds {proveout.__file__} first" in run.stderr


def test_a_server_refuses_a_release_of_other_code_until_it_is_restarted(bills, older: Release, tmp_path) -> None:
    space = replace(Workspace.find("bills", start=bills), home=tmp_path / "home")
    shutil.copytree(older.folder.parent, space.releases)
    with Accounts(space.accounts) as accounts:
        accounts.add("ada", Role.OPERATOR, "correct horse battery")
        sign = {"Authorization": f"Bearer {accounts.new_token('ada', 'test')}"}
        client = TestClient(application(space, accounts))
        asked = {"files": {"file": ("a.txt", (bills / EXAMPLE).read_bytes())}, "headers": sign}
        answer = client.post("/api/v1/preview", **asked)
        assert answer.status_code == 503 and "a restarted server" in answer.json()["detail"]
        client.app.state.worker.inbox.joinpath("a.txt").write_bytes((bills / EXAMPLE).read_bytes())
        with pytest.raises(OtherCode, match="a restarted server"):
            client.app.state.worker.decide()


def test_of_a_release_whose_code_was_changed_on_disk_nothing_runs(bills, older: Release, tmp_path) -> None:
    home = tmp_path / "home"
    changed = shutil.copytree(older.folder.parent, home / "releases") / older.id / "code" / "proveout" / "cli" / "__init__.py"
    changed.chmod(0o644)
    changed.write_text("raise SystemExit('this was executed')\n")
    run = command(bills, "show", EXAMPLE, "--home", home)
    assert run.returncode == 1
    assert "cli/__init__.py: changed since release" in run.stderr and "executed" not in run.stderr


def test_any_file_of_the_package_makes_a_new_release(bills, tmp_path) -> None:
    """Code is a part of a release, also what no step imports."""
    style = package(tmp_path) / "serving" / "style.css"
    style.write_text(style.read_text() + "\n")
    assert "nothing changed" in (result := command(bills, "why", "release")).stdout, result.stderr
    assert command(bills, "why", "release", PYTHONPATH=str(tmp_path)).stdout == "proveout/serving/style.css changed\n"
    before = {one.id for one in Releases(bills / "work" / "bills" / "releases").list()}
    assert "1 of 9 steps ran" in (built := command(bills, "build", PYTHONPATH=str(tmp_path))).stdout, built.stderr
    (new,) = (one for one in Releases(bills / "work" / "bills" / "releases").list() if one.id not in before)
    assert Releases(bills / "work" / "bills" / "releases").open(new.id).other_code == ("proveout/serving/style.css",)


def test_the_version_of_any_library_that_the_package_imports_makes_a_new_release(bills, tmp_path) -> None:
    installed(tmp_path, "argon2_cffi", "99.1")
    path = os.pathsep.join([str(tmp_path), str(Path(proveout.__file__).parents[1])])
    assert " → 99.1" in (result := command(bills, "why", "release", PYTHONPATH=path)).stdout, result.stderr


# --- promoting something worse ---

METRICS = {"no_person_touches": 0.8, "automated": {"fields": {"total": {"precision": 0.99, "coverage": 0.9}}}}


def evaluated(parts: dict[str, Path], releases: Releases, tree: str, **metrics: object) -> str:
    """Freeze a release whose evaluation says this."""
    evidence = parts["model"].parent / "metrics.json"
    evidence.write_text(json.dumps({"headline": "", "test": {**METRICS, **metrics}}))
    return releases.freeze(retrained(parts, tree), {"metrics": evidence})


def fields(precision: float | None, coverage: float) -> dict[str, object]:
    return {"fields": {"total": {"precision": precision, "coverage": coverage}}}


@pytest.fixture
def home(tmp_path, parts) -> Path:
    """A workspace of invoices with one promoted release."""
    folder = tmp_path / "home"
    releases = Releases(folder / "releases")
    releases.promote(evaluated(parts, releases, "good"), by="ada")
    return folder


def promote(home: Path, *words: str, answer: str | None = None) -> subprocess.CompletedProcess[str]:
    """The command, at a terminal where somebody answers, or without one."""
    line = [*PROVEOUT, "release", "promote", *words, "--home", str(home)]
    if answer is None:
        return subprocess.run(line, cwd=DESIGN, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    terminal, inner = pty.openpty()
    os.write(terminal, answer.encode())
    try:
        return subprocess.run(line, cwd=DESIGN, stdin=inner, capture_output=True, text=True)
    finally:
        os.close(terminal)
        os.close(inner)


WORSE = {
    "less automation": ({"no_person_touches": 0.75}, r"test +handled automatically +80\.0 % +75\.0 %  worse"),
    "fewer values of a field": ({"automated": fields(0.99, 0.85)}, r"test +total automated +90\.0 % +85\.0 %  worse"),
    "less precision": ({"automated": fields(0.98, 0.95)}, r"test +total right when automated +99\.0 % +98\.0 %  worse"),
    "a field that is gone": ({"automated": {"fields": {}}}, r"test +total automated +90\.0 % +0\.0 %  worse"),
}


@pytest.mark.parametrize(("metrics", "line"), WORSE.values(), ids=WORSE)
def test_what_a_promotion_loses_is_shown_and_a_program_has_to_say_yes(home, parts, metrics, line) -> None:
    releases = Releases(home / "releases")
    good, worse = releases.current(), evaluated(parts, releases, "worse", **metrics)
    result = promote(home, worse)
    assert result.returncode == 1 and re.search(line, result.stdout), result.stdout
    assert "no terminal to ask on" in result.stderr and "--yes" in result.stderr
    assert releases.current() == good
    assert promote(home, worse, "--yes").returncode == 0 and releases.current() == worse


@pytest.mark.parametrize(("answer", "agrees"), [("y\n", True), ("n\n", False), ("\n", False), ("\x04", False)])
def test_at_a_terminal_a_person_is_asked(home, parts, answer, agrees) -> None:
    releases = Releases(home / "releases")
    worse = evaluated(parts, releases, "worse", no_person_touches=0.1)
    result = promote(home, worse, answer=answer)
    assert "promote it anyway? [y/N]" in result.stdout
    assert (result.returncode == 0) == (releases.current() == worse) == agrees


@pytest.mark.parametrize(
    "metrics",
    [{}, {"no_person_touches": 0.9}, {"no_person_touches": 0.79999}, {"automated": fields(None, 0.9)}],
    ids=["the same", "better", "the same as far as it is shown", "nothing to be right about"],
)
def test_what_loses_nothing_is_promoted_without_a_question(home, parts, metrics) -> None:
    releases = Releases(home / "releases")
    better = evaluated(parts, releases, "better", **metrics)
    assert promote(home, better).returncode == 0
    assert releases.current() == better


def test_where_nothing_can_be_compared_it_says_so(home, parts) -> None:
    releases = Releases(home / "releases")
    other = releases.freeze(retrained(parts, "never evaluated"))
    result = promote(home, other)
    assert releases.current() == other and "no comparison: the promoted release" in result.stdout, result.stderr


def test_a_release_of_another_mission_is_never_promoted(bills, home) -> None:
    space = replace(Workspace.find("bills", start=bills), home=home)
    with pytest.raises(BadInput, match="is for mission `invoices`, not for `bills`"):
        releasing.promote(space, "latest", yes=True)

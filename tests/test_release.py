"""A release is its content: the same parts are the same release, and one changed byte is noticed."""

import errno
import json
import shutil
from pathlib import Path

import pytest

from proveout.calibration import Calibration
from proveout.errors import BadModel, NoRelease
from proveout.mission import SLO
from proveout.release import Releases, freeze
from proveout.retrieval import Encoder, Memory, Record

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
    Calibration.fit({"advertiser": [(0.9, True)] * 60}, PROMISE).save(build / "calibration.json")
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


@pytest.mark.parametrize("part", ["model", "index", "calibration", "prompts", "mission", "policy"])
def test_another_part_is_another_release(releases: Releases, parts, tmp_path: Path, part: str) -> None:
    id = releases.freeze(parts)
    changed = tmp_path / "changed" / parts[part].name
    (shutil.copytree if parts[part].is_dir() else shutil.copy)(parts[part], changed.parent.mkdir() or changed)
    place = next(path for path in sorted(changed.rglob("*")) if path.is_file()) if changed.is_dir() else changed
    place.write_bytes(place.read_bytes() + b"\n")
    assert releases.freeze(parts | {part: changed}) != id


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
    assert release.calibration.certificates["advertiser"].n == 60
    assert release.path("policy").read_text() == (DESIGN / "policy.cedar").read_text()
    assert release.policy.mission == release.mission
    assert (release.path("code") / "release.py").exists()
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
        (lambda folder: change(folder / "code" / "policy.py"), "policy.py: changed since"),
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
    with pytest.raises(NoRelease, match="nothing to roll back to"):
        releases.rollback(by="bob")
    told = [(entry["what"], entry["by"], entry["release"]) for entry in releases.history()]
    assert told == [("promote", "ada", first), ("promote", "ada", second), ("rollback", "bob", first)]
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
    with pytest.raises(NoRelease, match="proveout build"):
        releases.open("latest")
    id = releases.freeze(parts)
    assert releases.find("latest") == releases.find(id[:6].upper()) == id
    for wrong in ("", "xyz"):
        with pytest.raises(NoRelease, match=id[:12]):
            releases.find(wrong)


def test_the_live_memory_begins_with_what_the_release_knew_and_outlives_it(releases: Releases, parts, tmp_path: Path) -> None:
    def index(*cases: str) -> dict[str, Path]:
        shutil.rmtree(parts["index"])
        memory = Memory.open(parts["index"], encoder, store="")
        memory.add(Record(case, f"invoice of {case}", {"advertiser": case}, origin="label") for case in cases)
        memory.save(parts["index"])
        return parts

    encoder = Encoder.load()
    live = tmp_path / "memory"
    first = releases.open(releases.freeze(index("Ada")))
    first.memory(live, encoder).add([Record("Bob", "decided live", {})])
    second = releases.open(releases.freeze(index("Ada", "Cyd")))
    assert [record.case for record in second.memory(live, encoder).records()] == ["Ada", "Bob", "Cyd"]
    assert first.memory(live, encoder).position == 3  # rolled back, it forgets nothing
    assert first.memory(encoder=encoder).position == 1  # of the release alone


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
    freeze({"release": product}, upstream, parts["mission"], parts["policy"], releases.root)
    said = json.loads(product.read_text())
    assert said["id"] == releases.find("latest") == Releases(releases.root).freeze(parts)
    assert "micro-F1 0.91" in str(releases.list()[0])

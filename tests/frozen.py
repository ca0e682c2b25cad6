"""A release of parts that a test wrote itself, without a build."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from proveout.agent.cascade import calibrate
from proveout.mission import Mission
from proveout.models.tiers import Tier
from proveout.records import Content
from proveout.release import Releases
from proveout.retrieval import Memory


def frozen(
    folder: Path,
    mission: Mission,
    tiers: Mapping[str, Tier],
    contents: Sequence[Content],
    labels: Mapping[str, Mapping[str, str]],
) -> Releases:
    """The folder's releases with one promoted: the tiers calibrated on these contents, and an empty memory.

    `folder` holds mission.yaml, policy.cedar, prompts/ and model/.
    """
    calibrate(tiers, contents, labels, mission).save(folder / "calibration.json")
    Memory.open(folder / "begun", store="").save(folder / "index")
    releases = Releases(folder / "releases")
    names = {"prompts": "prompts", "model": "model", "index": "index", "calibration": "calibration.json"}
    names |= {"mission": "mission.yaml", "policy": "policy.cedar"}
    releases.promote(releases.freeze({part: folder / name for part, name in names.items()}), by="test")
    return releases

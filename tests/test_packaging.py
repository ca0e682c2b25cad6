"""The set-up is reproducible: one set of versions, stated three times, never apart."""

import re
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent


def pins(lines: list[str]) -> dict[str, str]:
    found = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {re.sub(r"[-_.]+", "-", need.name).lower(): str(need.specifier) for need in found}


def project_pins() -> dict[str, str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [need for group in project["optional-dependencies"].values() for need in group if not need.startswith("proveout")]
    return pins(project["dependencies"] + extras)


def test_every_direct_dependency_has_an_exact_version():
    assert {name: spec for name, spec in project_pins().items() if not spec.startswith("==")} == {}


def test_environment_yml_states_the_versions_of_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert pins(environment["dependencies"][-1]["pip"]) == project_pins()


def test_requirements_txt_holds_every_direct_dependency_at_its_version():
    locked = pins((ROOT / "requirements.txt").read_text().splitlines())
    assert project_pins().items() <= locked.items()


def test_what_is_installed_is_what_is_pinned():
    locked = pins((ROOT / "requirements.txt").read_text().splitlines())
    differs = {name: version(name) for name, spec in locked.items() if version(name).split("+")[0] != spec.removeprefix("==")}
    assert differs == {}


def test_imports_point_one_way():
    run = subprocess.run([Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout

"""Benchmarks; `python -m tests.benchmarks` runs them."""

import subprocess


def commit() -> str:
    """What the numbers belong to."""
    described = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return described.stdout.strip()

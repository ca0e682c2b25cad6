"""Monitoring on logs whose truth is known: what drifted, when, and who is worse off is written down by the generator."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from proveout import mission as missions
from proveout.mission import Mission

ROOT = Path(__file__).parent.parent
FIELDS = ("contract_num", "advertiser", "gross_amount", "flight_from", "flight_to")
START = date(2024, 3, 4)  # a Monday


@dataclass(frozen=True)
class World:
    """Where the logs come from. Without arguments nothing ever changes and everybody is treated alike."""

    drift_from: date | None = None  # from this day on: larger amounts, new advertisers, longer documents
    worse_segment: str = ""  # is automated less and has more wrong values

    def log(self, seed: int, cases: int, start: date = START, days: int = 84) -> pd.DataFrame:
        rng = np.random.default_rng(seed)
        day = np.sort(rng.integers(0, days, cases))
        new = np.array([self.drift_from is not None and start + timedelta(int(d)) >= self.drift_from for d in day])
        segment = rng.choice(["north", "south", "east"], cases, p=[0.5, 0.3, 0.2])
        worse = segment == self.worse_segment
        amount = np.exp(rng.normal(8, 1, cases)) * np.where(new, 2.5, 1)
        advertiser = np.where(new & (rng.random(cases) < 0.6), "Newcomer", "Advertiser")
        advertiser = [
            f"{name} {int(i)} for {s}" for name, i, s in zip(advertiser, rng.zipf(1.6, cases) % 60, segment, strict=True)
        ]
        length = rng.integers(3, 40, cases)
        first = [start + timedelta(int(d + lead)) for d, lead in zip(day, rng.integers(0, 15, cases), strict=True)]
        frame = pd.DataFrame(
            {
                "case": [f"{seed:04x}{i:060x}" for i in range(cases)],
                "release": "r1",
                "day": [(start + timedelta(int(d))).isoformat() for d in day],
                "segment": segment,
                "document_class": rng.choice(["invoice", "order", "contract", "other"], cases, p=[0.5, 0.3, 0.15, 0.05]),
                "class_confidence": rng.beta(9, 1, cases),
                "pages": rng.geometric(0.5, cases) + np.where(new, rng.integers(0, 3, cases), 0),
                "words": rng.poisson(300, cases),
                "ocr_share": np.where(rng.random(cases) < 0.05, 1.0, 0.0),
                "seconds": rng.gamma(2, 0.05, cases),
                "memory_position": np.arange(cases),
                "decided_at": "2024-06-01T00:00:00",
                "contract_num": [f"{n}" for n in rng.integers(100_000, 9_999_999, cases)],
                "advertiser": advertiser,
                "gross_amount": [f"${a:,.2f}" for a in amount],
                "flight_from": [f"{d:%m/%d/%y}" for d in first],
                "flight_to": [f"{d + timedelta(int(n)):%m/%d/%y}" for d, n in zip(first, length, strict=True)],
            }
        )
        for name in FIELDS:
            confidence = np.round(rng.beta(40, 1, cases), 3)  # calibrated: right with exactly this probability
            frame[f"{name}.confidence"] = confidence
            frame[f"{name}.automated"] = confidence > np.where(worse, 0.97, 0.93)
            right = rng.random(cases) < confidence - np.where(worse, 0.10, 0)
            frame[f"{name}.right"] = [
                bool(r) if known else None for r, known in zip(right, rng.random(cases) < 0.7, strict=True)
            ]
            absent = rng.random(cases) < 0.03
            frame[name] = frame[name].where(~absent, None)
            frame.loc[absent, f"{name}.automated"] = False
        automated = frame[[f"{name}.automated" for name in FIELDS]].all(axis=1)
        frame["route"] = np.where(automated, "act", "review")
        return frame


def pair(seed: int, world: World, cases: int = 500, reference: int = 150) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A reference in which nothing had happened yet, and a log."""
    quiet = World()
    return quiet.log(10_000 + seed, reference, START - timedelta(60), 60), world.log(seed, cases)


@pytest.fixture(scope="module")
def mission() -> Mission:
    return missions.load(ROOT / "pipelines/invoices/mission.yaml")

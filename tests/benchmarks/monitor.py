"""The whole monitor pipeline on a million cases, in a process of its own, and a thousand reports listed.

`monitor_million`: the seconds of `pipeline.monitor.yaml`, Evidently's reports and the record included, against the goal of two
minutes; `gib` is the most memory that it held. The cases are drawn: a year of them, with one change planted (larger amounts).
`reports_thousand`: the first visit to the page of a thousand reports on file, against the goal of a second.
"""

import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).parents[2]
PIPELINE = ROOT / "pipelines/invoices/pipeline.monitor.yaml"
FIELDS = ("contract_num", "advertiser", "gross_amount", "flight_from", "flight_to")
REFERENCE, REPORTS = 4_000, 1_000
GOAL, LISTED = 120.0, 1.0  # seconds


def log(cases: int, first: date, days: int, seed: int) -> pd.DataFrame:
    """A log as the agent writes it; in the last third of `days` amounts are half as large again, if there are more than 60."""
    rng = np.random.default_rng(seed)
    offset = np.sort(rng.integers(0, days, cases))
    day = np.datetime64(first) + offset
    late = (offset > 2 * days / 3) & (days > 60)
    from_day = day + rng.integers(0, 15, cases)
    values: dict[str, Any] = {
        "contract_num": rng.integers(100_000, 9_999_999, cases).astype(str),
        "advertiser": np.char.add("Advertiser ", (rng.zipf(1.6, cases) % 500).astype(str)),
        "gross_amount": np.char.mod("%.2f", np.exp(rng.normal(8, 1, cases)) * np.where(late, 1.5, 1)),
        "flight_from": pd.Series(from_day).dt.strftime("%Y-%m-%d").to_numpy(),
        "flight_to": pd.Series(from_day + rng.integers(3, 40, cases)).dt.strftime("%Y-%m-%d").to_numpy(),
    }
    columns: dict[str, Any] = {
        "case": [f"{seed:04x}{i:060x}" for i in range(cases)],
        "release": "r1",
        "day": pd.Series(day).dt.date,
        "segment": rng.choice(["north", "south", "east"], cases, p=[0.5, 0.3, 0.2]),
        "document_class": rng.choice(["invoice", "order", "contract", "other"], cases, p=[0.5, 0.3, 0.15, 0.05]),
        "class_confidence": rng.beta(9, 1, cases),
        "pages": rng.geometric(0.5, cases),
        "words": rng.poisson(300, cases),
        "ocr_share": np.where(rng.random(cases) < 0.05, 1.0, 0.0),
        "anomalies": 0,
        "familiar": rng.beta(6, 4, cases),
        "seconds": rng.gamma(2, 0.05, cases),
        "spent": 0.0,
        "decided_at": pd.Series(day).astype("datetime64[us]").dt.tz_localize("UTC"),
    }
    for name in FIELDS:
        confidence, labelled = np.round(rng.beta(40, 1, cases), 3), rng.random(cases) < 0.05
        columns[name] = columns[f"{name}.value"] = np.where(rng.random(cases) < 0.97, values[name], None)
        columns[f"{name}.tier"] = "ranker"
        columns[f"{name}.confidence"] = confidence
        columns[f"{name}.automated"] = (confidence > 0.93) & pd.notna(columns[name])
        columns[f"{name}.right"] = pd.arrays.BooleanArray(rng.random(cases) < confidence, ~labelled)
    frame = pd.DataFrame(columns)
    automated = frame[[f"{name}.automated" for name in FIELDS]].all(axis=1)
    return frame.assign(route=np.where(automated, "act", "review"))


def pipeline(cases: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "logs").mkdir()
        log(REFERENCE, date(2024, 1, 4), 60, 1).to_parquet(home / "reference.parquet")
        log(cases, date(2024, 3, 4), 364, 2).to_parquet(home / "logs" / "decisions.parquet")
        env = {"reference": str(home / "reference.parquet"), "logs": str(home / "logs"), "out": str(home / "reports")}
        program = f"from proveout.bridge import build; build({str(PIPELINE)!r}, env={env})"
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)
        seconds = time.perf_counter() - began
        assert "gross_amount" in (home / "reports" / "report.json").read_text()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"ours": seconds, "peer": GOAL, "unit": "s", "ratio": seconds / GOAL, "peer_name": "the goal"} | {
        "rows": cases,
        "gib": used.ru_maxrss / 2**20,
        "processor": used.ru_utime + used.ru_stime,
    }


def reports() -> dict[str, object]:
    from fastapi.testclient import TestClient

    from proveout.identity import Accounts
    from proveout.journal import REPORT, Event, Journal
    from proveout.records import Role
    from proveout.serving import application
    from proveout.workspace import Workspace

    with tempfile.TemporaryDirectory() as folder:
        space = Workspace.find("invoices", Path(folder) / "home", start=ROOT)
        space.claim()
        findings = [
            {"key": f"drift of column {n}", "sentence": f"Cases with a column above {n}: 20 %, 40 %."} for n in range(8)
        ]
        row = {"name": "automation rate", "measured": 0.7, "missed": False, "verdict": "met"}
        row["shown"] = {"target": "≥ 60%", "measured": "70.0%", "interval": "66.0 % to 74.0 %"}
        about = {"files": {}, "headline": "Cases with a column above 1: 20 % before, 40 % since; 7 more changes.", "cases": 500}
        about |= {"objectives": [row], "findings": findings, "rules": {}, "position": 0, "release": "r1", "followed": []}
        with Journal(space.home / "journal.db") as journal:
            journal.append([Event("", REPORT, about, key=f"{n:064x}") for n in range(REPORTS)])
        with Accounts(space.accounts) as accounts:
            accounts.add("ron", Role.READER, "correct horse battery")
            client = TestClient(application(space, accounts))
            headers = {"Authorization": f"Bearer {accounts.new_token('ron', 'bench')}"}
            client.get("/releases", headers=headers)  # pays for the templates
            began = time.perf_counter()
            page = client.get("/reports", headers=headers)
            seconds = time.perf_counter() - began
        assert page.status_code == 200 and page.text.count("to sign by") == 100
    return {"ours": seconds, "peer": LISTED, "unit": "s", "ratio": seconds / LISTED, "peer_name": "the goal"}


def run(cases: int = 1_000_000) -> dict[str, dict[str, object]]:
    return {"monitor_million": pipeline(cases), "reports_thousand": reports()}

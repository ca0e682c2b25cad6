"""Run every benchmark beside this file and write build/bench.json; `python -m tests.benchmarks NAME ...` runs some modules.

Only when named: `drift_growth` (a minute, 8 GiB), `known_truth` (most of an hour), `questions` (two minutes), `search_growth`
(ten minutes), and with data that are not in the project, `receipts` and `streams` (three minutes), `search` (a quarter of an
hour), `filings` (an hour) and `filings_language_model` (an hour or two).
"""

import importlib
import json
import pkgutil
import sys
from pathlib import Path

import tests.benchmarks as here

OUT = Path("build/bench.json")
LONG = {"drift_growth", "filings", "filings_language_model", "known_truth", "questions", "receipts", "search", "search_growth"}
LONG |= {"streams"}
NONE = {"search_speed", "vrdu"}  # for others to call


def main(names: list[str]) -> None:
    known = [
        module.name
        for module in pkgutil.iter_modules(here.__path__)
        if not module.name.startswith("_") and module.name not in NONE
    ]
    if unknown := sorted(set(names) - set(known)):
        sys.exit(f"no benchmark named {', '.join(unknown)}; there are: {', '.join(known)}")
    results = json.loads(OUT.read_text()) if names and OUT.exists() else {}
    OUT.parent.mkdir(exist_ok=True)
    for name in names or [name for name in known if name not in LONG]:
        print(f"{name} ...", flush=True)
        for key, entry in importlib.import_module(f"tests.benchmarks.{name}").run().items():
            results[key] = entry
            peer = f"{entry['peer_name']} {entry['peer']:.4g}"
            print(f"  {key}: ours {entry['ours']:.4g} {entry['unit']}, {peer}, ratio {entry['ratio']:.3f}")
        OUT.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])

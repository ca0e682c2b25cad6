"""Begin a mission: `pipelines/<name>/` with everything that a build needs, and examples to build from. One door: `new`.

A mission answers questions of documents: its fields, each of a kind (name, amount, date, number). What it says stands in
files of its own; its steps are the notebooks that ship, which take the mission as a parameter, so none is copied.
Covered: a name that cannot be one, a mission that is there already, a kill on the way (the folder appears whole).
Not covered: a mission that only says whether a document is of some class. Classes are told, and never certified: what acts
has at least one required field with a threshold. Nor how good it will be: the examples are easy, your documents are not.
"""

import csv
import random
import re
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from proveout.errors import BadInput

TEMPLATE = Path(__file__).parent / "template"
STEPS = "invoices"  # the mission whose notebooks and pipelines a new one uses
NAME = re.compile(r"[a-z][a-z0-9_]*")
DOCUMENTS = 200  # a fifth calibrates: enough to certify 90 % at 90 % confidence, which takes 22 values without an error


def new(root: Path, name: str) -> Path:
    """Write the mission `name` into a project, and give its folder. Raises BadInput and writes nothing where it cannot."""
    folder, model = root / "pipelines" / name, root / "pipelines" / STEPS
    if not NAME.fullmatch(name):
        raise BadInput(f"{name!r} cannot name a mission; expected lowercase letters, digits and _, such as {_nearest(name)!r}")
    if folder.exists():
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:4]) or "nothing"
        raise BadInput(f"{folder} exists already and holds {there}; nothing was written: choose another name, or remove it")
    for needed in (root / "notebooks" / STEPS, root / "monitoring", model):
        if not needed.is_dir():
            raise BadInput(f"{needed}: no such folder; a mission's steps are notebooks that ship: work in a copy of Proveout")
    aside = folder.with_name(f".{name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    try:
        _write(aside, model, name)
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def _write(folder: Path, model: Path, name: str) -> None:
    """The template, what it shares with the mission whose steps it uses, and the examples."""
    shutil.copytree(TEMPLATE, folder)
    shared = [*model.glob("pipeline.*.yaml"), *model.glob("env.*.yaml"), model / "prompts" / "extract.md"]
    for path in shared:
        if not (mine := folder / path.relative_to(model)).exists():
            text = path.read_text(encoding="utf-8").replace(f"work/{STEPS}", "work/NEW")
            mine.write_text(text.replace(" of the political advertising trade", ""), encoding="utf-8")
    for path in folder.glob("*.yaml"):
        path.write_text(re.sub(r"\bNEW\b", name, path.read_text(encoding="utf-8")), encoding="utf-8")
    write_examples(folder / "examples")


def _nearest(name: str) -> str:
    """
    >>> _nearest("My Bills!"), _nearest("2nd"), _nearest("?")
    ('my_bills', 'm_2nd', 'my_mission')
    """
    plain = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return plain if NAME.fullmatch(plain) else f"m_{plain}" if plain else "my_mission"


def write_examples(folder: Path, documents: int = DOCUMENTS, seed: int = 7) -> None:
    """Invented bills as plain texts with a labels.csv. The same seed gives the same bytes."""
    folder.mkdir(parents=True)
    rows = []
    for number, (layout, text, row) in enumerate(_bills(random.Random(seed), documents)):
        name = f"example-{number:03}"
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
        rows.append({"file_id": name, "layout": layout, **row})
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        columns = ["file_id", "reference", "sender", "total", "due", "day", "class", "layout", "segment"]
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(rows)


PLACES = ["Alder Bay", "Castle Rock", "Clear River", "Harbor Hill", "North Fork", "Oak Valley", "Port Elm", "Silver Lake"]
TRADES = ["Electric", "Gas", "Internet", "Telephone", "Waste Services", "Water Works"]
PEOPLE = ["Nora Whitfield", "Samuel Okafor", "Lucia Brandt", "Henry Castellano", "Priya Raman", "Tom Lindqvist"]
LAYOUTS = {
    "headed": (
        "%m/%d/%Y",
        """{sender}
12 Market Street

BILL                                        Bill No: {reference}
                                      Date of issue: {issued}
Customer       {customer}
Customer No    {account}

Service                    {service}
Standing charge            {standing}
Tax                        {tax}
Total due                  {total}

Please pay by {due}.
""",
    ),
    "listed": (
        "%Y-%m-%d",
        """INVOICE

From:       {sender}
To:         {customer}
Reference:  {reference}
Period:     {start} - {issued}

Service            {service}
Standing charge    {standing}
Tax                {tax}
Amount payable     {total}
Payment due        {due}
""",
    ),
    "rows": (
        "%m/%d/%y",
        """{sender}

STATEMENT OF ACCOUNT     Customer No {account}

Account reference     Issued        Pay before    Amount to pay
{reference:<22}{issued:<14}{due:<14}{total}

{customer}
Thank you for paying on time.
""",
    ),
}
LETTER = """{sender}

Notice

Dear customer {customer}, our office moves to Harbor Road on {issued}.
Your contract stays as it is. Nothing is to be paid.

Kind regards
"""


def _bills(chance: random.Random, documents: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Layout, text and labels of every document, oldest first; one in twelve is a letter that asks for nothing."""
    for number in range(documents):
        day = date(2026, 1, 5) + timedelta(days=number)
        place, trade = chance.choice(PLACES), chance.choice(TRADES)
        layout = list(LAYOUTS)[chance.randrange(len(LAYOUTS))]
        form, text = LAYOUTS[layout]
        cents = [chance.randrange(2_000, 60_000), chance.randrange(300, 1_500)]
        cents.append(sum(cents) * 8 // 100)
        service, standing, tax, total = (f"${amount / 100:,.2f}" for amount in (*cents, sum(cents)))
        said = {
            "sender": f"{place} {trade}",
            "reference": f"{place[0]}{trade[0]}-{chance.randrange(100_000, 999_999)}",
            "total": total,
            "due": (day + timedelta(days=chance.randrange(10, 40))).strftime(form),
        }
        dates = {"issued": day.strftime(form), "start": (day - timedelta(days=30)).strftime(form)}
        amounts = {"service": service, "standing": standing, "tax": tax}
        about = {"customer": chance.choice(PEOPLE), "account": str(chance.randrange(10_000, 99_999))}
        row = {"day": day.isoformat(), "segment": trade.split()[0].lower()}
        if chance.randrange(12):
            yield layout, text.format(**said, **dates, **amounts, **about), row | said | {"class": "bill"}
        else:
            yield "letter", LETTER.format(**said, **dates, **about), row | {"class": "other"}

"""What a mission may name: kinds of case, tiers, checks and connectors. One door: `find`.

Each is a name and a class. The built-in ones stand in the table below; a package brings its own by an entry point of the
group `proveout.<family>`, and a mission then names it like any other:

    [project.entry-points."proveout.connectors"]
    ticket = "acme_proveout:Ticket"

Covered: an unknown name (the nearest known one is named); a package whose class cannot be imported.
Not covered: what a class must offer. Its protocol says so: `cases.CaseKind`, `models.tiers.Tier`, `checks.Rule`,
`connectors.Connector`.
"""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from proveout.errors import BadInput, hint

Family = Literal["cases", "tiers", "checks", "connectors"]
PERSON = "person"  # the tier that ends every cascade; people are asked, not called

BUILT_IN: dict[Family, dict[str, str]] = {
    "cases": {
        "document": "proveout.documents.case:DocumentCase",
    },
    "tiers": {
        "ranker": "proveout.models.extractor:RankerTier",
        "language_model": "proveout.models.language_model:LanguageModelTier",
    },
    "checks": {
        "date_order": "proveout.checks:DateOrder",
        "adds_up": "proveout.checks:AddsUp",
        "duplicate_on": "proveout.checks:DuplicateOn",
        "same_party_on": "proveout.checks:SamePartyOn",
    },
    "connectors": {
        "file_document": "proveout.connectors.files:FileDocument",
        "pay_invoice": "proveout.connectors.files:PayInvoice",
        "http": "proveout.connectors.http:HttpConnector",
    },
}


def known(family: Family) -> tuple[str, ...]:
    """Every name of a family, the built-in ones first."""
    return (*BUILT_IN[family], *_brought(family))


def find(family: Family, name: str) -> Any:
    """The class behind a name. Raises BadInput for an unknown name, and for a class that cannot be imported."""
    if name not in known(family):
        raise BadInput(f"unknown {_SINGULAR[family]} `{name}`; {hint(name, known(family))}")
    place = BUILT_IN[family].get(name) or _brought(family)[name]
    module, _, attribute = place.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"the {_SINGULAR[family]} `{name}` is {place}, which cannot be imported: {error}") from error


def distributions(names: Iterable[tuple[Family, str]]) -> set[str]:
    """The installed distributions that bring these names; Proveout itself is left out."""
    points = {(family, name): _points(family).get(name) for family, name in names}
    return {point.dist.name for point in points.values() if point and point.dist}


def _brought(family: Family) -> dict[str, str]:
    return {name: point.value for name, point in _points(family).items()}


@cache
def _points(family: Family) -> dict[str, EntryPoint]:
    """What installed packages bring. A built-in name is never replaced."""
    found = entry_points(group=f"proveout.{family}")
    return {point.name: point for point in found if point.name not in BUILT_IN[family]}


_SINGULAR: dict[Family, str] = {"cases": "kind of case", "tiers": "tier", "checks": "check", "connectors": "connector"}

"""What may be named: kinds of case and their designs, tiers, checks, connectors, alert channels, key services. Entry: `find`.

Each is a name and a class. The table below lists the built-in ones; a package adds its own by an entry point of the
group `proveout.<group>`, and a mission then names it like any other:

    [project.entry-points."proveout.connectors"]
    ticket = "acme_proveout:Ticket"

Covered: an unknown name (the error suggests the nearest one); a class that cannot be imported or lacks a member.
Not covered: whether the class behaves as its contract requires. The contracts are `cases.CaseKind`, `cases.Design`,
`models.tiers.Tier`, `checks.Rule`, `connectors.Connector`, `monitoring.channels.Channel` and `vault.master.MasterKey`.
"""

from collections.abc import Iterable
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from proveout.errors import BadInput, hint

Group = Literal["cases", "designs", "tiers", "checks", "connectors", "channels", "keys"]
PERSON = "person"  # the last tier of every cascade; it has no class

BUILT_IN: dict[Group, dict[str, str]] = {
    "cases": {
        "document": "proveout.documents.case:DocumentCase",
        "query": "proveout.search.case:QueryCase",
    },
    "designs": {
        "document": "proveout.corpus.design:DocumentDesign",
        "query": "proveout.search.design:QueryDesign",
    },
    "tiers": {
        "ranker": "proveout.models.extractor:RankerTier",
        "layout_encoder": "proveout.models.extractor:LayoutEncoderTier",
        "e_invoice": "proveout.models.e_invoice:EInvoiceTier",
        "language_model": "proveout.models.language_model:LanguageModelTier",
        "product_search": "proveout.search.tier:ProductSearchTier",
    },
    "checks": {
        "date_order": "proveout.checks:DatesInOrder",
        "adds_up": "proveout.checks:AddsUp",
        "agrees_with_e_invoice": "proveout.checks:AgreesWithEInvoice",
        "duplicate_on": "proveout.checks:DuplicateOn",
        "read_in_one_way": "proveout.checks:ReadInOneWay",
        "same_party_on": "proveout.checks:SamePartyOn",
    },
    "connectors": {
        "file_document": "proveout.connectors.files:FileDocument",
        "pay_invoice": "proveout.connectors.files:PayInvoice",
        "http": "proveout.connectors.http:HttpConnector",
        "request": "proveout.connectors.files:RequestFile",
    },
    "channels": {
        "file": "proveout.monitoring.channels:FileChannel",
        "webhook": "proveout.monitoring.channels:WebhookChannel",
        "email": "proveout.monitoring.channels:EmailChannel",
    },
    "keys": {
        "http": "proveout.vault.master:KeyService",
        "https": "proveout.vault.master:KeyService",
    },
}


def names(group: Group) -> tuple[str, ...]:
    """Every name of a group, the built-in ones first."""
    return (*BUILT_IN[group], *_points(group))


def find(group: Group, name: str) -> Any:
    """The class of a name. Raises BadInput for an unknown name, and for a class that cannot be imported or lacks a member."""
    kind = _SINGULAR[group]
    if name not in names(group):
        raise BadInput(f"unknown {kind} `{name}`; {hint(name, names(group))}")
    target = BUILT_IN[group].get(name) or _points(group)[name].value
    module, _, attribute = target.partition(":")
    try:
        plugin = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise BadInput(f"the {kind} `{name}` is {target}, which cannot be imported: {error}") from error
    if missing := [member for member in _MEMBERS[group] if not hasattr(plugin, member)]:
        raise BadInput(f"the {kind} `{name}` is {target}, which has no {', '.join(missing)}; see `{_CONTRACT[group]}`")
    return plugin


def distributions(names: Iterable[tuple[Group, str]]) -> set[str]:
    """The installed distributions that provide these names, without Proveout itself."""
    points = [_points(group).get(name) for group, name in names]
    return {point.dist.name for point in points if point and point.dist}


@cache
def _points(group: Group) -> dict[str, EntryPoint]:
    """The entry points of installed packages. A built-in name is never replaced."""
    points = entry_points(group=f"proveout.{group}")
    return {point.name: point for point in points if point.name not in BUILT_IN[group]}


_SINGULAR: dict[Group, str] = {
    "cases": "kind of case",
    "designs": "design of a kind of case",
    "tiers": "tier",
    "checks": "check",
    "connectors": "connector",
    "channels": "alert channel",
    "keys": "key service",
}
_CONTRACT: dict[Group, str] = {
    "cases": "proveout.cases.CaseKind",
    "designs": "proveout.cases.Design",
    "tiers": "proveout.models.tiers.Tier",
    "checks": "proveout.checks.Rule",
    "connectors": "proveout.connectors.Connector",
    "channels": "proveout.monitoring.channels.Channel",
    "keys": "proveout.vault.master.MasterKey",
}
_MEMBERS: dict[Group, tuple[str, ...]] = {
    "cases": ("descriptors", "identify", "read", "describe", "check", "confirm", "show"),
    "designs": ("draw", "check", "labelled"),
    "tiers": ("load", "extract"),
    "checks": (),  # every class can be called
    "connectors": ("Settings", "takes", "may_take", "defaults", "reversible", "cents", "done", "perform"),
    "channels": ("Settings", "send"),
    "keys": ("wrap", "unwrap"),
}

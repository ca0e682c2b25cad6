"""Whose items answers leave out: a planted one is named, a kind that nobody asks for is no bias, and chance is none."""

import math

import numpy as np

from proveout.monitoring.exposure import exposures, left_out

KINDS, SELLERS, EACH = ("kettle", "tent", "drill"), ("ann", "bob", "cem", "dee"), 12
ITEMS = [(f"{seller}-{kind}-{number}", seller, kind) for seller in SELLERS for kind in KINDS for number in range(EACH)]
SELLER, KIND = ({item: each[at] for item, *each in ITEMS} for at in (0, 1))


def drawn(rng: np.random.Generator, share: dict[str, float], less: str = "") -> list[str]:
    """Items given, by the share of their kind; a third of that for one seller."""
    return [item for item, seller, kind in ITEMS if rng.random() < share[kind] / (3 if seller == less else 1)]


def test_a_seller_whose_products_are_left_out_is_named_first() -> None:
    given = drawn(np.random.default_rng(0), {"kettle": 0.9, "tent": 0.6, "drill": 0.8}, less="cem")
    first, *others = exposures(given, SELLER, KIND)
    assert first.group == "cem" and left_out(first) and first.given < first.expected / 1.5
    assert not any(left_out(each) for each in others)


def test_a_seller_of_what_nobody_asks_for_is_not_left_out() -> None:
    sells_tents = {item: "eve" if kind == "tent" and seller == "dee" else seller for item, seller, kind in ITEMS}
    given = [item for item, _, kind in ITEMS if kind != "tent"]
    of_eve = next(each for each in exposures(given, sells_tents, KIND) if each.group == "eve")
    assert (of_eve.given, of_eve.expected) == (0, 0) and math.isnan(of_eve.p) and not left_out(of_eve)
    assert left_out(next(each for each in exposures(given, KIND, {}) if each.group == "tent")), "by kind it is"


def test_chance_names_somebody_no_more_often_than_stated() -> None:
    rng, share = np.random.default_rng(1), {"kettle": 0.7, "tent": 0.3, "drill": 0.5}
    alarms = sum(any(left_out(each) for each in exposures(drawn(rng, share), SELLER, KIND)) for _ in range(400))
    assert alarms <= 30  # 20 are 5 %; 30 are more with a probability of 1 %


def test_items_without_a_group_are_compared_with_and_not_named() -> None:
    assert [each.group for each in exposures(["1"], {"1": "", "2": "ann"}, {})] == ["ann"]

"""A shop that is drawn: products, queries, and judgements that follow from how it was drawn. Entry point: `draw`.

Each category has main products in several sizes, accessories that name what they are for, and brands of its own. Some titles
use another word for the same thing, as sellers do. In some categories the texts are well kept: one word for one thing, and an
accessory names what it is for once. Its queries are of these classes: simple, attribute, synonym, misspelt, compound, and
unanswerable, which asks for what the shop does not sell, half of the time with a word that it has.
Covered: the same seed gives the same shop. Categories share few words, so that what is learned in one is tried on others.
Not covered: how often people ask what; every query counts once.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from proveout.search.catalogue import Product
from proveout.search.judgements import BEST
from proveout.search.shop import UNANSWERABLE, Shop

SIZES = 6  # models of each brand
WELL_KEPT = 0.75  # share of the categories
SYNONYM_TITLES = 0.3  # share of main products, in the other categories, whose title uses the other word
JUDGED_UNFIT = 6  # products that are judged 0 for an unanswerable query


@dataclass(frozen=True, slots=True)
class Category:
    noun: str
    synonym: str  # what others call the same thing
    unit: str
    values: tuple[int, ...]  # a model has one of them
    looks: tuple[str, str]  # and one of these
    accessories: tuple[str, str]
    missing: str  # what sounds like it and is not sold here


CATEGORIES = (
    Category("notebook", "laptop", "GB RAM", (8, 16, 32), ("touchscreen", "convertible"), ("sleeve", "docking station"),
             "notebook paper ruled"),
    Category("headset", "headphones", "mm drivers", (30, 40, 50), ("wireless", "wired"), ("ear pads", "hanger"),
             "headset for horses"),
    Category("printer", "print device", "ppm", (18, 22, 35), ("laser", "inkjet"), ("toner", "paper tray"), "fabric printer"),
    Category("camera", "photo shooter", "MP", (12, 20, 45), ("mirrorless", "compact"), ("lens cap", "tripod"), "camera drone"),
    Category("television", "tv screen", "inch", (43, 55, 65), ("oled", "lcd"), ("wall bracket", "remote control"),
             "television licence"),
    Category("espresso machine", "coffee maker", "bar", (9, 15, 19), ("chrome", "enamelled"), ("milk jug", "filter holder"),
             "coffee table oak"),
    Category("vacuum cleaner", "hoover", "W suction", (450, 600, 850), ("bagless", "upright"), ("dust bag", "crevice nozzle"),
             "vacuum flask"),
    Category("bicycle", "bike", "gears", (7, 21, 27), ("trekking", "mountain"), ("saddle", "mudguard"), "bicycle insurance"),
    Category("backpack", "rucksack", "litres", (20, 35, 60), ("waterproof", "padded"), ("rain cover", "chest strap"),
             "backpack vacuum sprayer"),
    Category("drill", "boring tool", "Nm", (30, 60, 90), ("cordless", "hammer"), ("chuck", "bit set"), "drill sergeant hat"),
    Category("lawnmower", "grass cutter", "cm cutting width", (32, 38, 46), ("petrol", "robotic"), ("blade", "grass box"),
             "grass seed"),
    Category("tent", "camping shelter", "persons", (2, 4, 6), ("tunnel", "dome"), ("groundsheet", "pegs"), "tent rental"),
    Category("wristwatch", "timepiece", "mm dial", (36, 39, 42), ("automatic", "quartz"), ("leather band", "clasp"),
             "watch repair course"),
    Category("guitar", "six string instrument", "frets", (19, 22, 24), ("acoustic", "electric"), ("capo", "pickup"),
             "guitar lessons"),
    Category("keyboard", "typewriter pad", "keys", (61, 87, 104), ("mechanical", "ergonomic"), ("keycaps", "palm rest"),
             "keyboard piano stool"),
    Category("router", "internet gateway", "Mbit", (300, 1200, 3000), ("mesh", "rackmount"), ("antenna", "power adapter"),
             "router table woodworking"),
    Category("monitor", "computer display", "Hz", (60, 144, 240), ("curved", "ultrawide"), ("swivel arm", "glare filter"),
             "baby monitor"),
    Category("blender", "smoothie mixer", "rpm", (18000, 24000, 30000), ("countertop", "immersion"), ("jar", "gasket"),
             "blender software licence"),
    Category("kettle", "water boiler", "ml", (800, 1200, 1700), ("gooseneck", "glass"), ("limescale filter", "base"),
             "kettle drum"),
    Category("stroller", "pram", "kg", (6, 9, 12), ("foldable", "tandem"), ("cup holder", "sunshade"), "stroller hire airport"),
    Category("flashlight", "torch", "lumens", (300, 900, 2000), ("rechargeable", "headworn"), ("holster", "diffuser"),
             "welding torch"),
    Category("aquarium", "fish tank", "l", (54, 112, 180), ("panoramic", "corner"), ("air pump", "gravel"), "fish food flakes"),
    Category("skateboard", "kick deck", "ply", (5, 7, 9), ("longboard", "cruiser"), ("wheels", "grip tape"), "skate video"),
    Category("umbrella", "brolly", "ribs", (8, 16, 24), ("folding", "windproof"), ("canopy", "handle"), "umbrella stand brass"),
)  # fmt: skip
FOREIGN = (  # queries for what no category has anything to do with
    *(
        "violin rosin",
        "frozen salmon",
        "tulip bulbs",
        "wedding ring",
        "dog leash",
        "crossword book",
        "sun lotion",
        "piano tuner",
    ),
    *("garden gnome", "motor oil", "swimming goggles", "yoga mat", "printer's apprentice novel", "cough syrup", "chess clock"),
    *("ski boots", "passport photo", "bird feeder", "knitting wool", "cheese grater", "bath towel", "pillow", "poster frame"),
)
NAMES = (
    *(
        "Tern",
        "Alder",
        "Quill",
        "Birch",
        "Moss",
        "Lark",
        "Heron",
        "Sorrel",
        "Finch",
        "Maple",
        "Otter",
        "Hazel",
        "Plover",
        "Rowan",
    ),
    *("Wren", "Sedge", "Osprey", "Juniper", "Dunlin", "Aspen", "Siskin", "Clover", "Curlew", "Bramble"),
)
ENDINGS = ("ora", "ex")  # two brands of each category


@dataclass(frozen=True, slots=True)
class Item:
    """A product with what it is, from which its ratings follow."""

    product: Product
    value: int
    look: str
    accessory: str  # "" for a main product


Judged = tuple[str, str, Mapping[str, float]]  # a query, its class, and its judgements


def draw(seed: int = 7, categories: int = len(CATEGORIES)) -> Shop:
    """A shop with the first of the categories; with all of them, 576 products and 263 queries."""
    rng = np.random.default_rng(seed)
    products: list[Product] = []
    judgements: dict[str, Mapping[str, float]] = {}
    classes: dict[str, str] = {}
    for _, items, queries in drawn(rng, categories):
        products += [item.product for item in items]
        for query, query_class, judged in queries:
            judgements[query], classes[query] = judged, query_class
    for query in FOREIGN[:categories]:
        judgements[query], classes[query] = unfit(products, rng), UNANSWERABLE
    return Shop(products, judgements, classes)


def drawn(rng: np.random.Generator, categories: int) -> Iterator[tuple[Category, Sequence[Item], Sequence[Judged]]]:
    """Each of the first categories with its products and its judged queries."""
    for category, name in zip(CATEGORIES[:categories], NAMES, strict=False):
        items = list(_items(category, [f"{name}{ending}" for ending in ENDINGS], rng))
        yield category, items, list(_queries(category, items, rng))


def _items(category: Category, brands: Sequence[str], rng: np.random.Generator) -> Iterator[Item]:
    well_kept = rng.random() < WELL_KEPT
    for brand in brands:
        for number in range(SIZES):
            yield _main(category, brand, number, well_kept, rng)
        for accessory in category.accessories:
            for number in range(len(category.values)):
                yield _accessory(category, accessory, brand, number, well_kept)


def _main(category: Category, brand: str, number: int, well_kept: bool, rng: np.random.Generator) -> Item:
    value, look = category.values[number % len(category.values)], category.looks[int(rng.integers(2))]
    called = category.noun if well_kept or rng.random() > SYNONYM_TITLES else category.synonym
    extra = "" if well_kept else f" The {category.accessories[int(rng.integers(2))]} is included."
    product = Product(
        id=f"{brand}-{number}".lower(),
        title=f"{brand} {brand[0]}{int(rng.integers(100, 999))} {look} {called} {value} {category.unit}",
        brand=brand,
        category=category.noun,
        description=f"A {look} {called} for every day.{extra}",
        attributes={category.unit: float(value), "kind": look},
    )
    return Item(product, value, look, "")


def _accessory(category: Category, accessory: str, brand: str, number: int, well_kept: bool) -> Item:
    value, noun = category.values[number], category.noun
    once = f"Size {number + 1}. Quick to attach and to remove, and packed in recycled cardboard, with a guarantee of two years."
    often = f"Fits each {noun} by {brand}, and most with {value} {category.unit}. The {noun} itself is not included."
    product = Product(
        id=f"{brand}-{accessory}-{number}".lower().replace(" ", "-"),
        title=f"{brand} {accessory} for {noun}" if well_kept else f"{brand} {accessory} {value} {category.unit}",
        brand=brand,
        category="accessories" if well_kept else f"{noun} accessories",
        description=once if well_kept else often,
        attributes={"fits": f"{value} {category.unit}"},
    )
    return Item(product, value, "", accessory)


def _queries(category: Category, items: Sequence[Item], rng: np.random.Generator) -> Iterator[Judged]:
    noun, accessory = category.noun, category.accessories[0]
    value, look = category.values[1], category.looks[0]
    yield noun, "simple", rated(items)
    for each in category.looks:
        yield f"{each} {noun}", "simple", rated(items, look=each)
    yield f"{noun} {accessory}", "simple", rated(items, accessory)
    yield f"{noun} {value} {category.unit.split()[0]}".lower(), "attribute", rated(items, value=value)
    yield f"{look} {noun} {value} {category.unit}".lower(), "attribute", rated(items, value=value, look=look)
    yield category.synonym, "synonym", rated(items)
    yield misspelt(noun, rng), "misspelt", rated(items)
    yield f"{noun.split()[-1]}{accessory.replace(' ', '')}", "compound", rated(items, accessory)
    yield category.missing, UNANSWERABLE, unfit([item.product for item in items], rng)


def rated(items: Sequence[Item], accessory: str = "", value: int | None = None, look: str = "") -> dict[str, float]:
    """3 for what was asked for in all respects, one less for each respect that differs, 0 for another kind of thing."""

    def rating(item: Item) -> float:
        if item.accessory != accessory:
            return 0.0
        return BEST - (value is not None and item.value != value) - (look != "" and item.look != look)

    return {item.product.id: rating(item) for item in items}


def unfit(products: Sequence[Product], rng: np.random.Generator) -> dict[str, float]:
    return {products[int(at)].id: 0.0 for at in rng.choice(len(products), JUDGED_UNFIT, replace=False)}


def misspelt(text: str, rng: np.random.Generator) -> str:
    """Two different neighbouring letters after the first of the longest word change places.

    >>> misspelt("headset", np.random.default_rng(7))
    'headste'
    """
    word = max(text.split(), key=len)
    places = [at for at in range(1, len(word) - 1) if word[at] != word[at + 1]]
    at = places[int(rng.integers(len(places)))]
    return text.replace(word, f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}")

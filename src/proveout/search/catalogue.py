"""Products, read from files. Entry point: `read_catalogue`.

Three formats: JSON Lines and CSV with the columns of `COLUMNS`, and JSON arrays, alone or zipped, as Icecat exports them
(`supplier`, `short_description`, `attr_...`). A folder is all of its files of these formats, in order of their names.
Covered: further columns become attributes; the same product listed twice is read once; an error names file and entry.
Not covered: prices and stock. They belong to an offer, not to what a query is about; as columns they are attributes.
"""

import csv
import io
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proveout.errors import BadInput

COLUMNS = ("id", "title", "brand", "category", "description", "attributes")
SUFFIXES = (".jsonl", ".csv", ".json", ".json.zip")
LARGEST = 2**30  # bytes that one zipped file may unpack to
LARGEST_NUMBER = 10**300  # of an attribute; a larger one is a text
JUDGEMENTS = ("judgements.csv", "ratings.csv")  # names of a table of judgements, which may lie beside the products
QUERIES = "queries.csv"  # name of a table of live queries, which may, too

Attribute = str | float | bool


@dataclass(frozen=True, slots=True)
class Product:
    id: str
    title: str
    brand: str = ""
    category: str = ""
    description: str = ""
    attributes: Mapping[str, Attribute] = field(default_factory=dict)

    @property
    def attribute_text(self) -> str:
        """The attributes in words: names and texts, and the names of what is true. Bare numbers say nothing without a unit.

        >>> Product("1", "Router", attributes={"type": "dual-band", "ports": 4.0, "wps": True, "poe": False}).attribute_text
        'type dual-band wps'
        """
        worded = [(name, value) for name, value in self.attributes.items() if isinstance(value, str) or value is True]
        return " ".join(name if value is True else f"{name} {value}" for name, value in worded)


def read_catalogue(path: Path | str) -> list[Product]:
    """The products of a file or folder, in order.

    Raises BadInput if nothing can be read, an entry has no id, two different products share one, or there is no product.
    """
    path = Path(path)
    products: dict[str, Product] = {}
    for file in _files(path):
        for place, entry in _entries(file):
            product = _product(entry, place)
            if products.setdefault(product.id, product) != product:
                raise BadInput(f"{place}: another product already has the id {product.id!r}; give each product its own id")
    if not products:
        raise BadInput(f"{path}: no product in it; expected entries with the columns {', '.join(COLUMNS)}")
    return list(products.values())


def _files(path: Path) -> Sequence[Path]:
    if path.is_dir():
        files = sorted(
            file for file in path.iterdir() if file.name.endswith(SUFFIXES) and file.name not in (*JUDGEMENTS, QUERIES)
        )
    else:
        files = [path] if path.name.endswith(SUFFIXES) else []
    if not files:
        raise BadInput(f"{path}: no catalogue here; expected a folder or a file that ends in {', '.join(SUFFIXES)}")
    return files


def _entries(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each entry, with its place for an error message."""
    try:
        text = _unzipped(file) if file.suffix == ".zip" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError, zipfile.BadZipFile, RuntimeError) as error:  # the last for an encrypted archive
        raise BadInput(f"{file}: cannot be read ({error}); expected UTF-8 text, or a zip archive with one JSON file") from error
    if file.suffix == ".csv":
        yield from _table(file, text)
    elif file.suffix == ".jsonl":
        for number, line in enumerate(text.split("\n"), 1):  # other separators may be inside of a string
            if line.strip():
                yield f"{file}, line {number}", _object(f"{file}, line {number}", line)
    else:
        yield from _array(file, text)


def _unzipped(file: Path) -> str:
    with zipfile.ZipFile(file) as archive:
        members = [member for member in archive.infolist() if member.filename.endswith(".json")]
        if len(members) != 1 or members[0].file_size > LARGEST:
            raise zipfile.BadZipFile(f"{len(members)} JSON files, or one above {LARGEST:,} bytes")
        return archive.read(members[0]).decode("utf-8-sig")


def _table(file: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    rows = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    try:
        if "id" not in (rows.fieldnames or ()):
            raise BadInput(f"{file}: no column `id` in its first line; expected the columns {', '.join(COLUMNS)}")
        for row in rows:
            if "" in row:
                raise BadInput(f"{file}, line {rows.line_num}: more values than columns; quote values that contain a comma")
            yield f"{file}, line {rows.line_num}", {name: value or "" for name, value in row.items()}
    except csv.Error as error:
        raise BadInput(f"{file}, line {rows.line_num}: {error}") from error


def _object(place: str, line: str) -> Mapping[str, Any]:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{place}: not JSON ({error}); expected one object on each line") from error
    return _as_object(place, entry)


def _array(file: Path, text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{file}: not JSON ({error}); expected an array of products") from error
    if not isinstance(entries, list):
        raise BadInput(f"{file}: holds {type(entries).__name__}; expected an array of products")
    for number, entry in enumerate(entries, 1):
        yield f"{file}, entry {number}", _as_object(f"{file}, entry {number}", entry)


def _as_object(place: str, entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise BadInput(f"{place}: holds {type(entry).__name__}; expected an object with the columns {', '.join(COLUMNS)}")
    return entry


def _product(entry: Mapping[str, Any], place: str) -> Product:
    id = _text(entry.get("id"))
    if not id:
        raise BadInput(f"{place}: a product without an id; expected the columns {', '.join(COLUMNS)}")
    if "short_description" in entry or any(name.startswith("attr_") and name.count("_") > 1 for name in entry):
        return _icecat(id, entry)
    others = {name: value for name, value in entry.items() if name not in COLUMNS}
    return Product(
        id=id,
        title=_text(entry.get("title")),
        brand=_text(entry.get("brand")),
        category=_text(entry.get("category")),
        description=_text(entry.get("description")),
        attributes=_attributes({**_given(entry.get("attributes"), place), **others}),
    )


def _icecat(id: str, entry: Mapping[str, Any]) -> Product:
    """`attr_t_product_type` is the category where it is a word; the kind of an attribute (t, n or b) follows from its value."""
    given = {"_".join(name.split("_")[2:]).strip("_"): value for name, value in entry.items() if name.startswith("attr_")}
    category = _text(given.pop("product_type", ""))
    return Product(
        id=id,
        title=_text(entry.get("title")),
        brand=_text(entry.get("supplier")),
        category="" if category.isdigit() else category,
        description=_text(entry.get("short_description")),
        attributes=_attributes({"model": entry.get("name"), **given}),
    )


def _given(attributes: Any, place: str) -> Mapping[str, Any]:
    """Attributes as an object, or written as `name: value; name: value` or as JSON."""
    if isinstance(attributes, str) and attributes.lstrip().startswith("{"):
        return _object(place, attributes)
    if isinstance(attributes, str):
        pairs = [part.partition(":") for part in attributes.split(";") if part.strip()]
        return {name.strip(): value.strip() for name, _, value in pairs}
    if attributes is None or isinstance(attributes, dict):
        return attributes or {}
    raise BadInput(f"{place}: attributes are {type(attributes).__name__}; expected an object, or `name: value; name: value`")


def _attributes(given: Mapping[str, Any]) -> dict[str, Attribute]:
    usable = {name.replace("_", " "): value for name, value in given.items() if value is not None and value != ""}
    return {name: value if isinstance(value, str | float | bool) else _plain(value) for name, value in usable.items()}


def _plain(value: Any) -> Attribute:
    if isinstance(value, int) and abs(value) < LARGEST_NUMBER:
        return float(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _text(value: Any) -> str:
    text = " ".join(str(value).split()) if value is not None else ""
    return text.encode("utf-8", "replace").decode()  # a lone half of a pair of surrogates cannot be written

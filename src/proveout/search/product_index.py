"""The catalogue as an index: its terms for keywords, its vectors for meaning, and each product's nearest ones.

Entry points: `ProductIndex.build`, `save` and `load`. Loading reads little; the text encoder and the vectors are loaded by the
first search that needs them, so that keywords alone answer at once.
Covered: an empty catalogue; a folder that is incomplete or of another format (BadModel); vectors of another encoder
(StaleIndex).
Not covered: changes. A catalogue that changed is built again; a release pins the index that it was evaluated with.
"""

import json
import math
import mmap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, overload
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from proveout.errors import BadModel, StaleIndex
from proveout.files import write_whole
from proveout.retrieval.encoder import Encoder, Vectors
from proveout.retrieval.nearest import VectorTable, nearest_of_each
from proveout.search.catalogue import Product
from proveout.search.terms import terms_of
from proveout.search.vector_store import VectorStore
from proveout.search.vocabulary import Query, Vocabulary

FORMAT = 1
FIELDS = ("title", "brand", "category", "description", "attributes")
TEXT = "text"  # the fields before the attributes as one: what a shop's page says first
KEYWORD_FIELDS = (TEXT, "attributes")
PARTS = ("ids", "starts", "products_with")  # of FieldTerms
TITLE_TOKENS = 64  # word pieces
NEIGHBOURS = 20
WRITER_BYTES = 100_000_000  # of one thread, so that the order of products is the same everywhere

Rows = NDArray[np.int64]


class FieldTerms:
    """The terms of one field of every product, as numbers: those of product i are ids[starts[i] : starts[i + 1]].

    products_with: (terms,) how many products have each term in this field.
    """

    def __init__(self, ids: NDArray[np.int32], starts: NDArray[np.int64], products_with: NDArray[np.int32]) -> None:
        self.ids, self.starts, self.products_with = ids, starts, products_with

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def average(self) -> float:
        """Terms of a product."""
        return len(self.ids) / max(len(self), 1)

    def rarity(self, need: Sequence[int]) -> float:
        """BM25's weight of the commonest of these terms: log(1 + (N - n + 0.5) / (n + 0.5)), with n = 0 if there are none."""
        count = int(self.products_with[list(need)].max(initial=0))
        return math.log1p((len(self) - count + 0.5) / (count + 0.5))

    def lengths(self, rows: Rows) -> Rows:
        return self.starts[rows + 1] - self.starts[rows]

    def of(self, rows: Rows) -> tuple[NDArray[np.int32], Rows, Rows]:
        """The terms of these products one after the other, which of `rows` each belongs to, and its position there."""
        lengths = self.lengths(rows)
        owners = np.repeat(np.arange(len(rows)), lengths)
        positions = np.arange(len(owners)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return self.ids[self.starts[rows][owners] + positions], owners, positions


class ProductIndex:
    def __init__(
        self,
        products: Sequence[Product],
        vocabulary: Vocabulary,
        fields: Mapping[str, FieldTerms],
        terms: Sequence[str],
        keywords: Any,
        vectors: Vectors,
        neighbours: NDArray[np.int32],
        encoder: Encoder | None = None,
        encoder_id: str = "",
    ) -> None:
        """vectors: (products, 384); neighbours: (products, up to NEIGHBOURS), a product itself among them."""
        self.products = products
        self.vocabulary = vocabulary
        self.fields = fields
        self.vectors = vectors
        self.neighbours = neighbours
        self._terms = terms
        self._keywords = keywords
        self._encoder, self.encoder_id = encoder, encoder_id
        self.store: VectorStore | None = None  # that proposes the nearest vectors, instead of a comparison with all of them

    @classmethod
    def build(
        cls, products: Sequence[Product], encoder: Encoder | None = None, vectors: Vectors | None = None
    ) -> "ProductIndex":
        """`vectors`: (products, 384), if the titles were encoded before."""
        encoder = encoder or Encoder.load(tokens=TITLE_TOKENS)
        by_field = {name: [terms_of(text_of(product, name)) for product in products] for name in FIELDS}
        by_field[TEXT] = [list(chain(*texts)) for texts in zip(*(by_field[name] for name in FIELDS[:-1]), strict=True)]
        terms = sorted({term for texts in by_field.values() for text in texts for term in text})
        number = {term: at for at, term in enumerate(terms)}
        vocabulary = Vocabulary.of(" ".join(text_of(product, name) for name in FIELDS) for product in products)
        if vectors is None:
            vectors = encoder.encode([meaning_of(product) for product in products])
        return cls(
            products,
            vocabulary,
            {name: _numbered(texts, number) for name, texts in by_field.items()},
            terms,
            _keyword_index(by_field),
            vectors,
            nearest_of_each(vectors, NEIGHBOURS),
            encoder,
            encoder.id,
        )

    def save(self, folder: Path) -> None:
        """Write everything that `load` reads; the folder must be new or empty."""
        folder.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(asdict(product), ensure_ascii=False).encode() + b"\n" for product in self.products]
        write_whole(folder / "products.jsonl", b"".join(lines))
        arrays: dict[str, Any] = {"neighbours": self.neighbours, "lines": np.cumsum([0, *map(len, lines)])}
        for name, field in self.fields.items():
            arrays |= {f"{name}.{part}": getattr(field, part) for part in PARTS}
        np.savez(folder / "arrays.npz", **arrays)
        np.save(folder / "vectors.npy", self.vectors)
        by_field = {name: [[self._terms[id] for id in text] for text in _texts(field)] for name, field in self.fields.items()}
        (folder / "keywords").mkdir(exist_ok=True)
        _keyword_index(by_field, folder / "keywords")
        words = {"words": self.vocabulary.words, "pairs": self.vocabulary.pairs, "terms": self._terms}
        write_whole(folder / "words.json", json.dumps(words, ensure_ascii=False))
        about = {"format": FORMAT, "products": len(self.products), "encoder": self.encoder_id}
        write_whole(folder / "index.json", json.dumps(about))

    @classmethod
    def load(cls, folder: Path) -> "ProductIndex":
        """Raises BadModel for a folder that `save` did not write, or that another version wrote."""
        import tantivy

        try:
            about = json.loads((folder / "index.json").read_text(encoding="utf-8"))
            if about["format"] != FORMAT:
                raise BadModel(f"{folder}: a product index of format {about['format']}, expected {FORMAT}; build it again")
            words = json.loads((folder / "words.json").read_text(encoding="utf-8"))
            arrays = np.load(folder / "arrays.npz")
            vectors = np.load(folder / "vectors.npy", mmap_mode="r")
            keywords = tantivy.Index.open(str(folder / "keywords"))
            products = StoredProducts(folder / "products.jsonl", arrays["lines"])
            fields = {name: FieldTerms(*(arrays[f"{name}.{part}"] for part in PARTS)) for name in (*FIELDS, TEXT)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, BadZipFile) as error:
            raise BadModel(f"{folder}: not a product index ({error}); build it again: proveout build") from error
        vocabulary = Vocabulary(words["words"], words["pairs"])
        return cls(
            products, vocabulary, fields, words["terms"], keywords, vectors, arrays["neighbours"], encoder_id=about["encoder"]
        )

    def __len__(self) -> int:
        return len(self.products)

    def ids_of(self, need: frozenset[str]) -> list[int]:
        """The numbers of those terms of a need that some product contains."""
        return [self._number[term] for term in sorted(need) if term in self._number]

    def searchable(self, query: Query) -> Query:
        """The query without the words that no product has; unchanged if that leaves none."""
        needs = tuple(need for need in query.needs if self.ids_of(need))
        return replace(query, needs=needs or query.needs)

    def encode(self, text: str) -> NDArray[np.float32]:
        """(384,) the vector of a text; loads the encoder at the first call."""
        return np.asarray(self._text_encoder.encode([text])[0])

    def nearest(self, vector: NDArray[np.float32], count: int) -> list[int]:
        """The rows of the products whose titles mean nearly the same, nearest first. Raises StoreDown."""
        if not len(self):
            return []
        if self.store:
            return self.store.nearest(vector, min(count, len(self)))
        return self._table.nearest(vector, count)

    def with_words(self, query: Query, count: int, every: bool = False) -> tuple[list[int], int]:
        """The rows that BM25 ranks first, and how many products have such words in all.

        Any word of the query in the text is enough; or with `every`, each of them must be in some field.
        """
        import tantivy

        if not query.needs or not len(self):
            return [], 0
        fields = KEYWORD_FIELDS if every else (TEXT,)
        needs = [self._one_of(need, fields) for need in query.needs]
        occurs = tantivy.Occur.Must if every else tantivy.Occur.Should
        result = self._searcher.search(tantivy.Query.boolean_query([(occurs, need) for need in needs]), count)
        addresses = [address for _, address in result.hits]
        rows = self._searcher.fast_field_values("row", addresses) if addresses else []
        return [int(row) for row in rows], result.count or 0

    def _one_of(self, need: frozenset[str], fields: Sequence[str]) -> Any:
        import tantivy

        either = [tantivy.Query.term_query(self._keywords.schema, name, term) for term in sorted(need) for name in fields]
        return tantivy.Query.boolean_query([(tantivy.Occur.Should, query) for query in either])

    @cached_property
    def brand_sizes(self) -> NDArray[np.int64]:
        """(products,) how many products have a brand that begins with the same word; 0 without a brand."""
        brands = self.fields["brand"]
        named = np.flatnonzero(np.diff(brands.starts))
        first = brands.ids[brands.starts[named]]
        sizes = np.zeros(len(self), dtype=np.int64)
        sizes[named] = np.bincount(first)[first] if len(first) else 0
        return sizes

    @cached_property
    def _number(self) -> dict[str, int]:
        return {term: at for at, term in enumerate(self._terms)}

    @cached_property
    def _searcher(self) -> Any:
        return self._keywords.searcher()

    @cached_property
    def _text_encoder(self) -> Encoder:
        encoder = self._encoder or Encoder.load(tokens=TITLE_TOKENS)
        if encoder.id != self.encoder_id:
            raise StaleIndex(f"the index has vectors of encoder {self.encoder_id}, this is {encoder.id}; build it again")
        return encoder

    @cached_property
    def _table(self) -> VectorTable:
        return VectorTable(self.vectors)


class StoredProducts(Sequence[Product]):
    """Products in a file, of which only those that are asked for are read."""

    def __init__(self, path: Path, lines: NDArray[np.int64]) -> None:
        """lines: (products + 1,) the byte at which each line starts, and the length of the file."""
        self._lines = lines
        self._content: bytes | mmap.mmap = b""
        if len(self):
            with path.open("rb") as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._lines) - 1

    @overload
    def __getitem__(self, at: int) -> Product: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Product]: ...
    def __getitem__(self, at: int | slice) -> Product | Sequence[Product]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        row = range(len(self))[at]
        return Product(**json.loads(self._content[self._lines[row] : self._lines[row + 1]]))


def text_of(product: Product, field: str) -> str:
    return product.attribute_text if field == "attributes" else str(getattr(product, field))


def meaning_of(product: Product) -> str:
    """What is encoded of a product."""
    return product.title or product.description or product.category or product.brand or product.id


def _numbered(texts: Sequence[Sequence[str]], number: Mapping[str, int]) -> FieldTerms:
    ids = np.array([number[term] for text in texts for term in text], dtype=np.int32)
    different = [number[term] for text in texts for term in set(text)]
    products_with = np.bincount(np.array(different, dtype=np.int64), minlength=len(number)).astype(np.int32)
    return FieldTerms(ids, np.cumsum([0, *map(len, texts)], dtype=np.int64), products_with)


def _texts(field: FieldTerms) -> Iterator[NDArray[np.int32]]:
    for start, end in zip(field.starts, field.starts[1:], strict=False):
        yield field.ids[start:end]


def _keyword_index(by_field: Mapping[str, Sequence[Sequence[str]]], folder: Path | None = None) -> Any:
    """A tantivy index of terms that are already stems; in memory, or in a folder."""
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_integer_field("row", fast=True)
    for name in KEYWORD_FIELDS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="freq")
    index = tantivy.Index(builder.build(), path=str(folder) if folder else None)
    writer = index.writer(WRITER_BYTES, num_threads=1)
    for row, texts in enumerate(zip(*(by_field[name] for name in KEYWORD_FIELDS), strict=True)):
        words = {name: " ".join(terms) for name, terms in zip(KEYWORD_FIELDS, texts, strict=True)}
        writer.add_document(tantivy.Document(row=row, **words))
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return index

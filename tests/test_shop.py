"""A shop is read from a folder with every fault named, and a drawn one says what its queries ask for."""

from pathlib import Path

import numpy as np
import pytest

from proveout.errors import BadInput, BadLabels, BadModel
from proveout.search import ProductIndex
from proveout.search.judgements import groups_of
from proveout.search.learning import cross_fitted, examples, read_scored, save_scored, train
from proveout.search.ranker import Settings
from proveout.search.shop import read_shop
from proveout.search.synthetic import CATEGORIES, draw

PRODUCTS = "id,title\n1,Headset\n2,Kettle\n"
JUDGEMENTS = "query,docid,rating,class\nheadset,1,3,simple\nkettle,2,3,simple\n"


def written(folder: Path, products: str | None = PRODUCTS, judgements: str | None = JUDGEMENTS) -> Path:
    for name, text in (("products.csv", products), ("judgements.csv", judgements)):
        if text is not None:
            (folder / name).write_text(text)
    return folder


def test_a_shop_is_drawn_alike_from_the_same_seed() -> None:
    assert draw(seed=3, categories=4) == draw(seed=3, categories=4) != draw(seed=4, categories=4)


def test_a_drawn_shop_is_read_as_it_was_written(tmp_path: Path) -> None:
    shop = draw(categories=3)
    shop.save(tmp_path / "products.jsonl", tmp_path / "judgements.csv")
    assert read_shop(tmp_path) == shop


def test_ratings_follow_from_what_was_asked_for() -> None:
    shop = draw()
    of_model = {product.id: product for product in shop.products if product.category == "headset"}
    judged = shop.judgements["wireless headset 40 mm drivers"]
    for id, product in of_model.items():
        fits = (product.attributes["kind"] == "wireless") + (product.attributes["mm drivers"] == 40)
        assert judged[id] == 1 + fits
    assert {rating for id, rating in judged.items() if id not in of_model} == {0.0}


def test_every_class_of_query_is_drawn_and_only_the_unanswerable_ones_have_no_answer() -> None:
    shop = draw()
    assert set(shop.classes.values()) == {"simple", "attribute", "synonym", "misspelt", "compound", "unanswerable"}
    assert all(
        (max(judged.values()) == 0) == (shop.classes[query] == "unanswerable") for query, judged in shop.judgements.items()
    )
    assert len(set(groups_of(shop.judgements).values())) > len(CATEGORIES)  # enough to learn from some and try on others


@pytest.mark.parametrize(
    ("products", "judgements", "message"),
    [
        (PRODUCTS, None, "no judgements.csv; expected products.jsonl or products.csv"),
        (None, JUDGEMENTS, "no catalogue here"),
        (PRODUCTS, "query,docid,rating\nheadset,9,3\n", "judgements.csv, line 2: no product has the id '9'; add the product"),
        (PRODUCTS, "query,docid,rating\nheadset,1,3\n?!,2,0\n", "line 3: the query '\\?!' has no word; remove the line"),
        (PRODUCTS, "query,docid,rating\nheadset,1,9\n", "line 2: rating 9.0; expected a CSV"),
        (PRODUCTS, "query,id,rating\nheadset,1,3\n", "line 2: no column 'docid'; expected a CSV"),
        (PRODUCTS, "query,docid,rating,class\na,1,3,x\na,2,3,y\n", "line 3: 'a' is of class 'y' here and 'x' above"),
        (PRODUCTS, "query,docid,rating\nheadset,1,3\nheadset pads,2,0\n", "2 judged queries that all share words"),
    ],
)
def test_a_fault_is_named_with_file_line_and_what_to_do(
    tmp_path: Path, products: str | None, judgements: str | None, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        read_shop(written(tmp_path, products, judgements))


def test_a_query_without_a_class_gets_one_from_its_words_and_judgements(tmp_path: Path) -> None:
    table = "query,docid,rating\nheadset,1,3\nkettle 1 l,2,1\nsofa,2,0\n"
    classes = read_shop(written(tmp_path, judgements=table)).classes
    assert list(classes.values()) == ["one word", "several words", "unanswerable"]


def test_scored_queries_are_read_as_they_were_written(tmp_path: Path) -> None:
    shop = draw(categories=3)
    scored = cross_fitted(
        examples(ProductIndex.build(shop.products), shop.judgements), Settings(copies=1, rounds=20, least_rows=3)
    )
    save_scored(scored, tmp_path / "scored.json")
    again = read_scored(tmp_path / "scored.json")
    assert [(one.example.query, one.best_gain, one.fold) for one in again] == [
        (one.example.query, one.best_gain, one.fold) for one in scored
    ]
    assert [(one.something_fits, one.keywords_suffice) for one in again] == [
        (one.something_fits, one.keywords_suffice) for one in scored
    ]
    (tmp_path / "scored.json").write_text("{}")
    with pytest.raises(BadModel, match="score them again"):
        read_scored(tmp_path / "scored.json")


def test_a_folder_that_is_missing_says_what_it_would_hold(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such folder; expected one with products"):
        read_shop(tmp_path / "nowhere")
    with pytest.raises(BadLabels):
        read_shop(written(tmp_path, judgements=""))


def test_queries_that_are_only_learned_from_change_no_fold_and_are_not_scored() -> None:
    """They may share words with queries of all folds, which would otherwise become one."""
    shop = draw(categories=6)
    index = ProductIndex.build(shop.products)
    asked = {f"{query} brand new": judged for query, judged in list(shop.judgements.items())[::3]}
    judged = examples(index, {**shop.judgements, **asked})
    quick, rankers = Settings(copies=1, rounds=20), []
    alone = cross_fitted(examples(index, shop.judgements), quick)
    joined = cross_fitted(judged, quick, rankers, set(asked))
    assert [(one.example.query, one.fold) for one in joined] == [(one.example.query, one.fold) for one in alone]
    assert len(rankers) == 1 + max(one.fold for one in joined)
    assert [one.best_gain for one in joined] != [one.best_gain for one in alone], "they were learned from"


def test_a_word_that_no_product_has_is_no_sign_that_nothing_fits() -> None:
    shop, quick = draw(categories=6), Settings(copies=1, rounds=60, least_rows=20)
    index = ProductIndex.build(shop.products)
    answerable = {query: judged for query, judged in shop.judgements.items() if max(judged.values())}
    assert not index.vocabulary.has("favourite")
    ranker = train(examples(index, shop.judgements), quick)
    plain, joined = (
        np.array([one.ranking(ranker)[1] for one in examples(index, asked)])
        for asked in (answerable, {f"{query} favourite": judged for query, judged in answerable.items()})
    )
    assert joined.mean() > 0.9 * plain.mean() > 0.3

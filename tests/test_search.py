"""A shop's search finds the product and not its accessories, forgives spelling, and says when nothing fits."""

import json
import math
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from proveout import imports
from proveout.calibration import Calibration
from proveout.errors import BadInput, BadLabels, BadModel, StaleIndex
from proveout.mission import SLO
from proveout.search import (
    Answer,
    Product,
    ProductIndex,
    ProductSearch,
    Route,
    read_catalogue,
    read_judgements,
)
from proveout.search.features import NAMES, columns
from proveout.search.judgements import condensed, groups_of, ndcg
from proveout.search.layers import Candidates, by_keywords
from proveout.search.learning import calibrate, cross_fitted, examples, learn, train
from proveout.search.product_search import KEYWORDS_SUFFICE, NOTHING_FITS, SOMETHING_FITS, says_nothing_fits
from proveout.search.ranker import SEPARATOR, ProductRanker, Settings
from proveout.search.retrievers import FusedProducts, KeywordProducts, RankedProducts, SimilarProducts
from proveout.search.terms import terms_of
from proveout.search.vocabulary import MOST_WORDS, Vocabulary

KINDS = {  # of the shop: brand, title, accessories
    "Tern": ("notebook 15.6 inch 16 GB", ["sleeve for notebook 15.6 inch", "charger for notebook 90 W"]),
    "Alder": ("wireless headset black", ["ear pads for wireless headset", "stand for headset"]),
    "Quill": ("laser printer A4", ["toner cartridge for laser printer", "paper tray for laser printer"]),
    "Birch": ("digital camera 20 MP", ["lens cap for digital camera", "bag for digital camera"]),
    "Moss": ("espresso machine 15 bar", ["filter holder for espresso machine", "descaler for espresso machine"]),
    "Lark": ("portable SSD 1 TB", ["case for portable SSD", "USB cable for portable SSD"]),
}
WORDS = {"Tern": "notebook", "Alder": "headset", "Quill": "printer", "Birch": "camera", "Moss": "espresso", "Lark": "SSD"}
PROMISE = SLO(precision=0.9, confidence=0.9, lowest_confidence=0.5)
QUICK = Settings(copies=1, rounds=60, least_rows=3)


def shop() -> list[Product]:
    products = []
    for brand, (title, accessories) in KINDS.items():
        for number in range(3):
            products.append(
                Product(f"{brand}-{number}", f"{brand} {number + 4}00 {title}", brand, title.split()[0], "Made to last.")
            )
            for at, accessory in enumerate(accessories):
                products.append(Product(f"{brand}-{number}-{at}", f"{brand} {accessory}", brand, "accessory", f"Fits {brand}"))
    return products


PRODUCTS = shop()
JUDGEMENTS = {
    **{
        word: {product.id: 3.0 if product.id.count("-") == 1 else 0.0 for product in PRODUCTS if product.brand == brand}
        for brand, word in WORDS.items()
    },
    "garden hose": {"Moss-0": 0.0, "Lark-0-1": 0.0},
    "bicycle": {"Birch-0": 0.0},
}


@pytest.fixture(scope="module")
def index() -> ProductIndex:
    return ProductIndex.build(PRODUCTS)


@pytest.fixture(scope="module")
def search(index: ProductIndex) -> ProductSearch:
    return learn(index, examples(index, JUDGEMENTS), PROMISE, QUICK)


def ids(answer: Answer) -> list[str]:
    return [hit.product.id for hit in answer.hits]


# The catalogue


def test_json_lines_csv_and_icecat_give_the_same_product(tmp_path: Path) -> None:
    plain = {"id": "7", "title": "Lark SSD", "brand": "Lark", "description": "fast", "attributes": {"colour": "red"}}
    icecat = {"id": 7, "title": "Lark SSD", "supplier": "Lark", "short_description": "fast", "attr_t_colour": "red"}
    (tmp_path / "a.jsonl").write_text(json.dumps(plain) + "\n\n")
    (tmp_path / "b.csv").write_text("id,title,brand,description,attributes\n7,Lark SSD,Lark,fast,colour: red\n")
    (tmp_path / "c.csv").write_text("id,title,brand,description,colour\n7,Lark SSD,Lark,fast,red\n")
    with zipfile.ZipFile(tmp_path / "d.json.zip", "w") as archive:
        archive.writestr("d.json", json.dumps([icecat]))
    each = [read_catalogue(file) for file in sorted(tmp_path.iterdir())]
    assert each == [[Product("7", "Lark SSD", "Lark", "", "fast", {"colour": "red"})]] * 4
    assert read_catalogue(tmp_path) == each[0]  # the same product in four files is one product


def test_icecat_attributes_keep_their_names_and_kinds(tmp_path: Path) -> None:
    entry = {"id": "1", "name": "M1", "title": "T", "attr_t_product_type": "Headset", "attr_n_weight": 2, "attr_b_touch_": True}
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    (product,) = read_catalogue(tmp_path / "a.json")
    assert (product.category, dict(product.attributes)) == ("Headset", {"model": "M1", "weight": 2.0, "touch": True})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"id": "1"}\nnot json\n', "line 2: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: holds list"),
        ("a.jsonl", '{"title": "no id"}\n', "line 1: a product without an id"),
        ("a.jsonl", '{"id": "1", "title": "a"}\n{"id": "1", "title": "b"}\n', "line 2: another product already has the id '1'"),
        ("a.jsonl", '{"id": "1", "attributes": 3}\n', "line 1: attributes are int"),
        ("a.jsonl", "", "no product in it"),
        ("a.csv", "title\nx\n", "no column `id`"),
        ("a.csv", "id,title\n1,a,b\n", "line 2: more values than columns"),
        ("a.csv", 'id,title\n1,"a\n2,b\n', "unexpected end of data"),
        ("a.json", '{"id": "1"}', "holds dict; expected an array"),
        ("a.json", "{", "not JSON"),
        ("a.json.zip", "no archive", "cannot be read"),
        ("a.txt", "", "no catalogue here"),
    ],
)
def test_an_error_names_the_file_and_what_was_expected(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(BadInput, match=message):
        read_catalogue(tmp_path / name)


def test_a_missing_folder_is_no_catalogue(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no catalogue here"):
        read_catalogue(tmp_path / "nowhere")


# Terms and understanding


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1tb", "1 TB"),
        ('15.6"', "15,6 inch"),
        ("15.6″", "15.6 inches"),
        ("1,000 W", "1000 watts"),
        ("speakers", "SPEAKER"),
        ("Café", "cafe"),
        ("ＵＳＢ", "usb"),
        ("2.0 m", "2 metres"),
    ],
)
def test_the_same_thing_written_otherwise_is_the_same_term(one: str, other: str) -> None:
    assert terms_of(one) == terms_of(other)


@pytest.mark.parametrize(("one", "other"), [("1 TB", "1 GB"), ("15.6", "156"), ("5 m", "5 mm"), ("i5", "i7")])
def test_different_quantities_are_different_terms(one: str, other: str) -> None:
    assert terms_of(one) != terms_of(other)


@pytest.mark.parametrize(
    ("typed", "searched"),
    [
        ("hedset", "headset"),
        ("haedset", "headset"),
        ("headsett", "headset"),
        ("headzet", "headset"),
        ("notebookbag", "notebook bag"),
    ],
)
def test_a_word_of_no_product_is_corrected_or_split(typed: str, searched: str) -> None:
    vocabulary = Vocabulary.of(["headset", "headset", "notebook", "bag"])
    assert vocabulary.understand(typed).corrected == searched


@pytest.mark.parametrize("word", ["headset", "headsets", "heads", "ssd", "x1y2", "zzzzzz", "ヘッドセット"])
def test_other_words_stay_as_they_are(word: str) -> None:
    vocabulary = Vocabulary.of(["headset", "heads", "ssd", "x1y3"])
    assert vocabulary.understand(word).corrected == word


def test_two_words_also_mean_their_compound_where_more_products_write_it_so() -> None:
    one_word = Vocabulary.of(["headset", "headset", "head set"])
    two_words = Vocabulary.of(["headset", "head set", "head set"])
    assert frozenset({"head", "headset"}) in one_word.understand("head set").needs
    assert two_words.understand("head set").needs == (frozenset({"head"}), frozenset({"set"}))


# The search


def test_a_product_comes_before_its_accessories(search: ProductSearch) -> None:
    for brand, word in WORDS.items():
        assert set(ids(search.search(word))[:3]) == {f"{brand}-{number}" for number in range(3)}


def test_the_ranker_orders_a_kind_of_product_that_it_has_no_judgement_of(index: ProductIndex) -> None:
    others = {query: judged for query, judged in JUDGEMENTS.items() if query != "camera"}
    search = learn(index, examples(index, others), PROMISE, QUICK)
    assert {id.count("-") for id in ids(search.search("camera"))[:3]} == {1}


def test_nothing_fits_is_an_answer_and_says_why(search: ProductSearch) -> None:
    answer = search.search("lawn mower")
    assert (answer.route, answer.hits) == (Route.NOTHING, ())
    assert answer.confidence > 0.5 and "probability" in answer.because


def test_a_misspelt_query_has_the_same_answer(search: ProductSearch) -> None:
    assert ids(search.search("hedset"))[:3] == ids(search.search("headset"))[:3]


@pytest.mark.parametrize("text", ["", "   ", "?!... --- \"'", "\x00", "🙂"])
def test_a_query_without_a_word_has_no_result(search: ProductSearch, text: str) -> None:
    answer = search.search(text)
    assert (answer.route, answer.hits, answer.because) == (Route.NOTHING, (), "the query has no word")


@pytest.mark.parametrize("text", ["ノートパソコン", "ноутбук", "笔记本电脑", "qwxyzk", "قهوة"])
def test_unknown_words_and_scripts_give_no_wrong_product(search: ProductSearch, text: str) -> None:
    assert search.search(text).hits == ()


def test_a_long_query_is_read_as_far_as_a_query_goes(search: ProductSearch) -> None:
    answer = search.search("headset " + "x" * 9_000 + " printer" * 200)
    assert len(answer.query.text) > 10_000 and len(answer.query.needs) <= MOST_WORDS


def test_syntax_of_the_search_engine_is_only_words(search: ProductSearch) -> None:
    answer = search.search('title:headset AND +("printer" OR [a TO b]) ^2 *')
    assert isinstance(answer, Answer)


def test_fewer_results_are_the_first_of_more(search: ProductSearch) -> None:
    assert ids(search.search("printer", k=2)) == ids(search.search("printer"))[:2]


def test_an_empty_catalogue_has_no_result() -> None:
    empty = ProductIndex.build([])
    assert ProductSearch(empty).search("headset").because == "the catalogue is empty"
    assert KeywordProducts(index=empty).invoke("headset") == SimilarProducts(index=empty).invoke("headset") == []


def test_a_product_without_title_is_searched_by_its_other_fields() -> None:
    products = [
        Product("1", "", description="Folding umbrella"),
        Product("2", "Headset"),
        Product("3", "", attributes={"x": 1.0}),
    ]
    index = ProductIndex.build(products)
    assert ids(ProductSearch(index).search("umbrella"))[0] == "1"


def test_without_judgements_the_layers_are_fused_and_nothing_is_promised(index: ProductIndex) -> None:
    answer = ProductSearch(index).search("headset")
    assert answer.route == Route.RANKED and math.isnan(answer.confidence)
    assert {hit.product.brand for hit in answer.hits[:5]} == {"Alder"}


def test_keywords_answer_alone_only_where_that_is_certified(search: ProductSearch) -> None:
    assert (
        search.calibration is not None and search.calibration.threshold(KEYWORDS_SUFFICE) is None
    )  # eight queries prove nothing
    certified = Calibration.fit(
        {
            KEYWORDS_SUFFICE: [(0.9, True)] * 60 + [(0.01, False)] * 20,
            SOMETHING_FITS: [(0.9, True)] * 60 + [(0.1, False)] * 60,
            NOTHING_FITS: [(0.9, True)] * 60 + [(0.1, False)] * 60,
        },
        PROMISE,
    )
    sure = ProductSearch(search.index, search.ranker, certified)
    assert sure.search("headset").route == Route.KEYWORDS
    assert sure.search("hose of a garden").route != Route.KEYWORDS


def test_a_saved_search_answers_the_same(search: ProductSearch, tmp_path: Path) -> None:
    search.save(tmp_path / "search")
    loaded = ProductSearch.load(tmp_path / "search")
    for query in [*WORDS.values(), "head set", "lawn mower", "1 TB"]:
        before, after = search.search(query), loaded.search(query)
        assert (ids(before), before.route, before.confidence) == (ids(after), after.route, after.confidence)


def test_an_index_of_another_encoder_or_format_is_refused(index: ProductIndex, tmp_path: Path) -> None:
    index.save(tmp_path / "index")
    about = json.loads((tmp_path / "index" / "index.json").read_text())
    (tmp_path / "index" / "index.json").write_text(json.dumps({**about, "encoder": "another"}))
    with pytest.raises(StaleIndex, match="build it again"):
        ProductIndex.load(tmp_path / "index").encode("headset")
    (tmp_path / "index" / "index.json").write_text(json.dumps({**about, "format": 0}))
    with pytest.raises(BadModel, match="format 0"):
        ProductIndex.load(tmp_path / "index")
    with pytest.raises(BadModel, match="not a product index"):
        ProductIndex.load(tmp_path)


def test_each_layer_is_a_retriever(search: ProductSearch) -> None:
    index = search.index
    for retriever in (
        KeywordProducts(index=index),
        SimilarProducts(index=index),
        FusedProducts(index=index),
        RankedProducts(search=search),
    ):
        documents = retriever.invoke("wireless headset")
        assert documents[0].metadata["brand"] == "Alder" and len(documents) <= 10
    assert {document.metadata["route"] for document in documents} == {"ranked"}
    assert RankedProducts(search=search).invoke("lawn mower") == []


# Learning


def test_ndcg_counts_the_unjudged_as_0_and_the_condensed_list_leaves_them_out() -> None:
    judged = {"a": 3.0, "b": 1.0}
    assert ndcg(["a", "b"], judged) == 1
    assert ndcg(["x", "a", "b"], judged) < ndcg(condensed(["x", "a", "b"], judged), judged) == 1
    assert ndcg([], judged) == 0 and math.isnan(ndcg(["a"], {"a": 0.0}))


def test_queries_that_share_a_word_by_way_of_others_are_one_group() -> None:
    groups = groups_of(["usb fan", "tv", "computer fans", "computer"])
    assert len({groups[query] for query in ("usb fan", "computer fans", "computer")}) == 1 and len(set(groups.values())) == 2


def test_a_query_is_scored_by_a_ranker_that_never_saw_it(index: ProductIndex) -> None:
    """With its own judgements turned around, what it is scored by does not change."""
    turned = {**JUDGEMENTS, "camera": {id: 3.0 - rating for id, rating in JUDGEMENTS["camera"].items()}}
    rankings = [
        next(one.ranking for one in cross_fitted(examples(index, judged), QUICK) if one.example.query == "camera")
        for judged in (JUDGEMENTS, turned)
    ]
    assert rankings[0] == rankings[1]


def test_learning_twice_gives_the_same(index: ProductIndex) -> None:
    judged = examples(index, JUDGEMENTS)
    first, second = (train(judged, QUICK) for _ in range(2))
    assert all(np.array_equal(first.gains(each.inputs), second.gains(each.inputs)) for each in judged)
    assert first.as_text() == second.as_text()


def test_trees_answer_as_lightgbm_does_bit_for_bit(index: ProductIndex) -> None:
    judged = examples(index, JUDGEMENTS)
    ranker = train(judged, replace(QUICK, copies=2))
    copies = [imports.lightgbm().Booster(model_str=text) for text in ranker.as_text().split(SEPARATOR)]
    for one in judged:
        expected = np.mean([copy.predict(one.inputs, num_threads=1) for copy in copies], axis=0)
        assert np.array_equal(ranker.gains(one.inputs), expected)
    with pytest.raises(BadModel, match="number of features in data"):
        ranker.gains(judged[0].inputs[:, 1:])


def test_an_answer_is_withheld_only_where_that_paid_on_judged_queries() -> None:
    """The curve is flat, so its probability alone would withhold what fits."""
    scored = [(0.01 * n, n > 6) for n in range(1, 13)] + [(0.09, False), (0.11, False)]
    fitted = Calibration.fit({SOMETHING_FITS: scored}, SLO(precision=0.9, confidence=0.9, lowest_confidence=0.5))
    assert fitted.confidence(SOMETHING_FITS, 0.07) < 0.5
    assert [says_nothing_fits(fitted, score) for score in (0.0, 0.06, 0.07, 0.12)] == [True, True, False, False]
    never = Calibration.fit({SOMETHING_FITS: scored}, SLO(precision=0.9, confidence=0.9, lowest_confidence=0))
    assert not says_nothing_fits(never, 0.0)
    alike = [(0.0, n == 9) for n in range(10)] + [(0.9, True)] * 40  # equal scores are withheld together, or none of them
    strict = Calibration.fit({SOMETHING_FITS: alike}, SLO(precision=0.9, confidence=0.9, lowest_confidence=0.8))
    assert says_nothing_fits(strict, 0.0) and not says_nothing_fits(strict, 0.9)


def test_a_broken_first_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "judged.csv").write_text("q,docid,rating\na,b,1,2\n")
    with pytest.raises(BadLabels, match="no column 'query' among q, docid, rating"):
        read_judgements(tmp_path / "judged.csv")
    (tmp_path / "products.csv").write_text('id,"ti"x,b\n1,2,3\n')
    with pytest.raises(BadInput, match=r"products\.csv, line"):
        read_catalogue(tmp_path / "products.csv")


def test_a_word_that_no_product_has_changes_no_candidate_by_words(index: ProductIndex) -> None:
    plain, joined = (index.vocabulary.understand(text) for text in ("wireless headset", "wireless qwxyzk headset"))
    assert by_keywords(index, joined, 10) == by_keywords(index, plain, 10)
    assert Candidates.of(index, joined).with_every_word == Candidates.of(index, plain).with_every_word > 0


def test_too_few_queries_certify_nothing_and_say_how_many_would(index: ProductIndex) -> None:
    fitted = calibrate(cross_fitted(examples(index, JUDGEMENTS), QUICK), PROMISE)
    assert "at least 22 are needed" in fitted.certificates[NOTHING_FITS].because


def test_queries_that_are_all_related_cannot_be_learned_from(index: ProductIndex) -> None:
    related = {"headset": JUDGEMENTS["headset"], "wireless headset": JUDGEMENTS["headset"]}
    with pytest.raises(BadLabels, match="share words"):
        learn(index, examples(index, related), PROMISE, QUICK)


@pytest.mark.parametrize(
    ("judgements", "message"),
    [({"headset": {"unheard-of": 1.0}}, "not in the catalogue"), ({"?!": {"Tern-0": 1.0}}, "no word")],
)
def test_judgements_that_cannot_be_used_are_refused(index: ProductIndex, judgements: dict, message: str) -> None:
    with pytest.raises(BadLabels, match=message):
        examples(index, judgements)


@pytest.mark.parametrize("content", ["", "query,docid\na,1\n", "query,docid,rating\na,1,x\n", "query,docid,rating\na,1,4\n"])
def test_a_table_of_judgements_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "ratings.csv").write_text(content)
    if content:
        with pytest.raises(BadLabels, match="expected a CSV with query, docid and rating"):
            read_judgements(tmp_path / "ratings.csv")
    else:
        assert read_judgements(tmp_path / "ratings.csv") == {}


def test_a_ranker_of_other_columns_is_refused(index: ProductIndex) -> None:
    text = train(examples(index, JUDGEMENTS), QUICK).as_text()
    with pytest.raises(BadModel, match="other columns"):
        ProductRanker.from_text(text.replace(NAMES[0], "renamed"))


def test_columns_are_finite_for_every_kind_of_query(index: ProductIndex) -> None:
    for text in ("headset", "qwxyzk", "headset qwxyzk", "head set", "for"):
        query = index.vocabulary.understand(text)
        candidates = Candidates.of(index, query)
        table = columns(index, query, candidates.rows, candidates.vector, candidates.with_every_word)
        assert table.shape == (len(candidates.rows), len(NAMES)) and np.isfinite(table).all()


def test_the_bm25_column_ranks_as_the_keyword_layer_does(index: ProductIndex) -> None:
    query = index.vocabulary.understand("laser printer")
    rows, _ = index.with_words(query, 10)
    table = columns(index, query, rows, index.encode("laser printer"), 0)
    scores = table[:, NAMES.index("text_bm25")]
    assert (np.diff(scores) <= 0.02 * scores.max()).all()  # tantivy keeps lengths in one byte


def test_keywords_with_every_word_come_first(index: ProductIndex) -> None:
    rows = by_keywords(index, index.vocabulary.understand("wireless charger"), 10)
    assert rows and {PRODUCTS[row].brand for row in rows} >= {"Tern", "Alder"}  # none has both, so some will do


def test_odd_requests_and_files_are_no_crash(tmp_path):
    index = ProductIndex.build(shop())
    search = ProductSearch(index)
    assert len(search.search("a" * 200_000).hits) <= 10
    assert len(search.search("usb cable", 10**9).hits) <= len(index)
    with pytest.raises(BadInput, match="a search for 0 products; expected 1 or more"):
        search.search("usb cable", 0)
    lines = [{"id": 0, "title": "A\u2028B", "attr_size": "9", "brand": "Acme"}, {"id": "x\ud800", "title": "C"}]
    (tmp_path / "products.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    zero, odd = read_catalogue(tmp_path / "products.jsonl")
    assert (zero.id, zero.title, zero.brand, zero.attributes) == ("0", "A B", "Acme", {"attr size": "9"}) and odd.id == "x?"
    (tmp_path / "deep.json").write_text("[" * 100_000, encoding="utf-8")
    with pytest.raises(BadInput, match="not JSON"):
        read_catalogue(tmp_path / "deep.json")
    (tmp_path / "long.csv").write_text(f"id,title\n1,{'x' * 200_000}\n", encoding="utf-8")
    with pytest.raises(BadInput, match="field larger than field limit"):
        read_catalogue(tmp_path / "long.csv")


def test_what_nothing_was_judged_for_and_a_damaged_ranker_are_said():
    with pytest.raises(BadLabels, match="no query is judged"):
        learn(ProductIndex.build(shop()), [], SLO(precision=0.9, confidence=0.9))
    with pytest.raises(BadModel, match="trees cannot be read"):
        ProductRanker.from_text("not trees")

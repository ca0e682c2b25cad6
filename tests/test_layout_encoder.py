"""The layout encoder: trained beside the rankers on small generated forms, asked beside them, saved and loaded."""

import json
import multiprocessing
import os
import signal
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from proveout.errors import BadModel
from proveout.models import Extractor, tiers
from proveout.models.layout_encoder import ABOUT, WEIGHTS, LayoutEncoder, LayoutSettings
from proveout.models.tiers import Parts
from proveout.records import Document, Page
from proveout.values import has_value, same
from test_models import MISSION, PROMPTS, QUICK, beside, cases, colons, under

WITH_ENCODER = MISSION.model_copy(update={"tiers": ("layout_encoder", "person")})


@pytest.fixture(scope="module")
def training_data() -> tuple[list[Document], dict[str, dict[str, str]]]:
    (invoices, of_invoices), (contracts, of_contracts) = cases(beside, range(0, 16)), cases(under, range(100, 116))
    return invoices + contracts, of_invoices | of_contracts


@pytest.fixture(scope="module")
def extractor(training_data) -> Extractor:
    return Extractor.train(*training_data, WITH_ENCODER, PROMPTS, QUICK)


@pytest.fixture(scope="module")
def folder(extractor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    extractor.save(folder)
    return folder


def features_and_right(extractor: Extractor, documents: Sequence[Document], labels):
    features = [extractor.reader.read(document) for document in documents]
    right = [
        {
            name: np.array(
                [same(field.kind, labels[d.sha256][name], c.text) for c in of.kinds[field.kind].candidates], dtype=bool
            )
            for name, field in extractor.encoder.fields.items()
            if has_value(field.kind, labels[d.sha256].get(name, ""))
        }
        for d, of in zip(documents, features, strict=True)
    ]
    return features, right


def share_right(encoder: LayoutEncoder, features, right) -> float:
    """The share of values that the encoder alone finds."""
    hits = [
        bool(row[name][probabilities.argmax()])
        for document, row in zip(features, right, strict=True)
        for name, probabilities in encoder.probabilities(document).items()
    ]
    return float(np.mean(hits))


def test_alone_it_finds_the_values_of_new_documents(extractor) -> None:
    documents, labels = cases(beside, range(500, 512))
    assert share_right(extractor.encoder, *features_and_right(extractor, documents, labels)) > 0.9


def test_a_value_that_it_reads_too_keeps_its_score_and_another_loses_half(extractor, monkeypatch) -> None:
    documents, _ = cases(colons, range(900, 912))
    alone = {one.document: one.fields for one in extractor.without_encoder().extract(documents)}

    def contradicted() -> list[str]:
        names = []
        for one in extractor.extract(documents):
            for name, value in one.fields.items():
                before = alone[one.document][name]
                assert value.text == before.text
                if (
                    value.speaks_against[:1] != before.speaks_against[:1]
                    and "the layout encoder reads" in value.speaks_against[0]
                ):
                    assert value.score == pytest.approx(before.score / 2, abs=1e-6)
                    names.append(name)
                else:
                    assert value.score == before.score
        return names

    few, every = len(contradicted()), sum(map(len, alone.values()))
    probabilities = LayoutEncoder.probabilities
    monkeypatch.setattr(
        LayoutEncoder, "probabilities", lambda self, of: {n: 1e-9 + p[::-1] for n, p in probabilities(self, of).items()}
    )
    assert few < every / 2 < len(contradicted())


def test_the_probabilities_of_a_field_add_up_to_at_most_one(extractor) -> None:
    for document in cases(colons, range(300, 303))[0]:
        for probabilities in extractor.encoder.probabilities(extractor.reader.read(document)).values():
            assert probabilities.min() >= 0 and probabilities.sum() <= 1 + 1e-6


def test_a_document_without_words_has_no_values(extractor) -> None:
    (extraction,) = extractor.extract([Document("empty", (Page(0, 612, 792, ()),))])
    assert extraction.fields == {}


def test_the_same_documents_give_the_same_weights(extractor, training_data) -> None:
    documents, labels = training_data
    features, right = features_and_right(extractor, documents[:6], labels)
    fields, short = extractor.encoder.fields, LayoutSettings(epochs=2)
    first, again = (LayoutEncoder.train(features, right, fields, short).files() for _ in range(2))
    other = LayoutEncoder.train(features, right, fields, replace(short, seed=8)).files()
    assert first == again
    assert first[WEIGHTS] != other[WEIGHTS]


def train_and_be_killed(*arguments, after: int) -> None:
    def watch(epoch: int, loss: float) -> None:
        if epoch + 1 == after:
            os.kill(os.getpid(), signal.SIGKILL)

    LayoutEncoder.train(*arguments[:4], watch, arguments[4])


def test_a_training_that_was_killed_goes_on_to_the_same_weights(extractor, training_data, tmp_path: Path) -> None:
    documents, labels = training_data
    features, right = features_and_right(extractor, documents[:6], labels)
    arguments = (features, right, extractor.encoder.fields, LayoutSettings(epochs=4))
    whole = LayoutEncoder.train(*arguments).files()
    for after in (1, 3):  # of four epochs; the second process goes on where the first one was killed
        killed = multiprocessing.get_context("spawn").Process(
            target=train_and_be_killed, args=(*arguments, tmp_path), kwargs={"after": after}
        )
        killed.start()
        killed.join()
        assert killed.exitcode == -signal.SIGKILL
    epochs: list[int] = []
    resumed = LayoutEncoder.train(*arguments, lambda epoch, loss: epochs.append(epoch), tmp_path)
    assert epochs == [3]
    assert resumed.files() == whole
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_of_other_documents_or_a_damaged_one_is_not_used(extractor, training_data, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    def stop(epoch: int, loss: float) -> None:
        raise Stopped

    documents, labels = training_data
    features, right = features_and_right(extractor, documents[:6], labels)
    fields, settings = extractor.encoder.fields, LayoutSettings(epochs=2)
    with pytest.raises(Stopped):
        LayoutEncoder.train(features[:5], right[:5], fields, settings, stop, tmp_path)
    (other,) = tmp_path.iterdir()
    with pytest.raises(Stopped):
        LayoutEncoder.train(features, right, fields, settings, stop, tmp_path)
    (own,) = set(tmp_path.iterdir()) - {other}
    own.write_bytes(own.read_bytes()[:-1000])
    epochs: list[int] = []
    again = LayoutEncoder.train(features, right, fields, settings, lambda epoch, loss: epochs.append(epoch), tmp_path)
    assert epochs == [0, 1]
    assert again.files() == LayoutEncoder.train(features, right, fields, settings).files()
    assert list(tmp_path.iterdir()) == [other]


def test_the_loss_falls_and_is_shown_after_each_epoch(extractor, training_data) -> None:
    documents, labels = training_data
    features, right = features_and_right(extractor, documents[::4], labels)
    losses: list[tuple[int, float]] = []
    LayoutEncoder.train(
        features, right, extractor.encoder.fields, LayoutSettings(epochs=6), lambda epoch, loss: losses.append((epoch, loss))
    )
    assert [epoch for epoch, _ in losses] == list(range(6))
    assert losses[-1][1] < losses[0][1] / 2


def test_a_changed_label_phrase_changes_the_score_without_training(extractor) -> None:
    files = extractor.encoder.files()
    about = json.loads(files[ABOUT])
    about["fields"]["gross_amount"]["labels"] = ["Net Amount Due"]
    changed = LayoutEncoder.from_files({**files, ABOUT: json.dumps(about).encode()})
    document = extractor.reader.read(cases(beside, range(10, 11))[0][0])
    before, after = extractor.encoder.probabilities(document), changed.probabilities(document)
    assert not np.array_equal(before["gross_amount"], after["gross_amount"])


def test_a_loaded_extractor_answers_as_before(extractor, folder) -> None:
    loaded = Extractor.load(folder)
    documents = [*cases(beside, range(400, 403))[0], *cases(colons, range(400, 403))[0]]
    assert loaded.extract(documents) == extractor.extract(documents)
    assert loaded.id == extractor.id


def test_the_tier_asks_it_and_the_ranker_alone_does_not(extractor, folder) -> None:
    documents = cases(colons, range(400, 404))[0]
    both = tiers.load(Parts(WITH_ENCODER, PROMPTS, folder))["layout_encoder"]
    alone = tiers.load(Parts(MISSION, PROMPTS, folder))["ranker"]
    assert both.extractor.encoder and not alone.extractor.encoder
    assert both.extract(documents) == extractor.extract(documents)
    assert alone.extract(documents) == extractor.without_encoder().extract(documents)


def test_a_model_without_it_is_refused_by_the_tier(training_data, tmp_path: Path) -> None:
    Extractor.train(*training_data, MISSION, PROMPTS, QUICK).save(tmp_path)
    with pytest.raises(BadModel, match=r"no layout encoder.*`layout_encoder` needs.*proveout build"):
        tiers.load(Parts(WITH_ENCODER, PROMPTS, tmp_path))


@pytest.mark.parametrize("damage", ["truncated", "other shapes"])
def test_damaged_weights_are_refused(extractor, damage: str) -> None:
    files = extractor.encoder.files()
    if damage == "truncated":
        files[WEIGHTS] = files[WEIGHTS][:-100]
    else:
        about = json.loads(files[ABOUT])
        about["settings"]["layers"] = 3
        files[ABOUT] = json.dumps(about).encode()
    with pytest.raises(ValueError, match=WEIGHTS):
        LayoutEncoder.from_files(files)


@pytest.mark.gpu
def test_it_trains_on_a_gpu_in_bf16(extractor, training_data) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("no GPU; run `make test-all` on a machine with one")
    documents, labels = training_data
    features, right = features_and_right(extractor, documents, labels)
    trained = LayoutEncoder.train(features, right, extractor.encoder.fields)
    assert share_right(trained, features, right) > 0.9

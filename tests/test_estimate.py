from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from toy import HIDDEN, INNER, make_toy_checkpoint

from clear_bench.api import needs
from clear_bench.api.estimate import Inquiry, memory, size_task
from clear_bench.cli import invoke
from clear_bench.models import open_checkpoint
from clear_bench.models.shape import open_tokeniser, read_shape
from clear_bench.store.embeddings import EmbeddingStore
from clear_bench.tasks import find_task, load_card, select_pairs
from clear_bench.types import Checkpoint, Texts


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return open_checkpoint(str(make_toy_checkpoint(tmp_path / "toy")))


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert invoke(["estimate", "--json", *arguments]) == 0
    document: dict[str, object] = json.loads(capsys.readouterr().out)
    schema = json.loads(files("clear_bench").joinpath("schemas/estimate.json").read_text("utf-8"))
    jsonschema.validate(document, schema)
    return document


def test_shape_is_that_of_the_weights(checkpoint: Checkpoint) -> None:
    from safetensors.numpy import load_file

    assert checkpoint.path is not None
    shape = read_shape(checkpoint)
    weights = load_file(checkpoint.path / "model.safetensors")
    assert shape.parameters == sum(array.size for array in weights.values())
    assert (shape.dimensions, shape.hidden, shape.inner) == (HIDDEN, HIDDEN, INNER)


def test_a_dense_layer_decides_the_width(checkpoint: Checkpoint) -> None:
    assert checkpoint.path is not None
    modules = json.loads((checkpoint.path / "modules.json").read_text("utf-8"))
    dense = {"idx": 2, "name": "2", "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
    (checkpoint.path / "modules.json").write_text(json.dumps([*modules, dense]), "utf-8")
    (checkpoint.path / "2_Dense").mkdir()
    (checkpoint.path / "2_Dense" / "config.json").write_text('{"in_features": 32, "out_features": 8}', "utf-8")
    assert read_shape(checkpoint).dimensions == 8


def test_tokens_are_those_that_the_encoder_counts(checkpoint: Checkpoint, tmp_path: Path) -> None:
    # Every text is in the sample, so the estimate is the count itself.
    from clear_bench.models import passage_prompt, query_prompt
    from clear_bench.models.loading import load_encoder

    task = find_task("mini")
    inquiry = Inquiry(checkpoint, EmbeddingStore(tmp_path), "float32", open_tokeniser(checkpoint))
    size = size_task(task, select_pairs(task, ["de:en"]), inquiry)
    encoder = load_encoder(checkpoint)

    def counted(texts: Texts, side: str, prompt: str) -> int:
        return encoder.encode(texts, range(len(texts)), side, prompt, lambda _: None).tokens or 0  # type: ignore[arg-type]

    from clear_bench.api import load_task

    collection = load_task("mini", "de:en")
    queries, passages = collection.queries["deu-Latn"], collection.corpora["eng-Latn"]
    expected = counted(queries, "query", query_prompt(checkpoint, task.instruction))
    expected += counted(passages, "passage", passage_prompt(checkpoint))
    assert size.tokens == expected
    assert size.products == len(queries) * len(passages) == 72 * 36
    assert size.is_read
    assert size.is_sampled


def test_vectors_take_the_bytes_that_the_estimate_says(
    checkpoint: Checkpoint, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--model", str(checkpoint.path), "--tasks", "mini", "--cache-dir", str(tmp_path / "cache")]
    before = asked(capsys, *common, "--tokens-per-second", "1000")
    assert invoke(["run", *common, "--out", str(tmp_path / "out")]) == 0
    capsys.readouterr()
    stored = [np.load(path).nbytes for path in (tmp_path / "cache").glob("embeddings/*/*/*.npy")]
    [task] = before["tasks"]  # type: ignore[misc]
    assert task["disk_bytes"]["float32"] == sum(stored) == 2 * task["disk_bytes"]["float16"]
    assert before["seconds"]["encode"] == pytest.approx(task["tokens"] / 1000)  # type: ignore[index]
    after = asked(capsys, *common, "--tokens-per-second", "1000")
    assert after["tasks"][0]["cached"] == task["queries"] + task["passages"]  # type: ignore[index]
    assert after["seconds"]["encode"] == 0  # type: ignore[index]


def test_a_rate_loads_no_model(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clear_bench.models.loading.load_encoder", lambda *_, **__: pytest.fail("the model was loaded"))
    document = asked(capsys, "--model", str(checkpoint.path), "--tasks", "mini", "--tokens-per-second", "5")
    assert document["rates"]["tokens_per_second_from"] == "given"  # type: ignore[index]


def test_without_a_rate_the_model_is_measured(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    document = asked(capsys, "--model", str(checkpoint.path), "--tasks", "mini")
    rates = document["rates"]
    assert rates["tokens_per_second_from"] == "measured"  # type: ignore[index]
    assert rates["tokens_per_second"] > 0  # type: ignore[index]


def test_what_is_not_here_is_counted_from_the_card(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(checkpoint.path), "--tasks", "miracl", "--tokens-per-second", "1e6", "--offline"]
    [task] = asked(capsys, *arguments)["tasks"]  # type: ignore[misc]
    card = find_task("miracl")
    assert (task["counts_from"], task["tokens_from"]) == ("card", "assumed")
    assert task["passages"] == sum(counts.passages or 0 for counts in card.expected.values())
    # Every query asks the corpus of its own language.
    assert task["similarities"] == sum((c.queries or 0) * (c.passages or 0) for c in card.expected.values())
    assert invoke(["estimate", *arguments]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "counts are the card's and tokens assumed: miracl" in shown


def test_a_card_without_counts_says_so(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(checkpoint.path), "--tasks", "xor", "--tokens-per-second", "1", "--offline"]
    assert invoke(["estimate", *arguments]) == 2
    assert "does not say how many texts" in capsys.readouterr().err


def test_memory_grows_with_weights_and_queries_but_not_with_the_corpus(checkpoint: Checkpoint, tmp_path: Path) -> None:
    shape = read_shape(checkpoint)
    inquiry = Inquiry(checkpoint, EmbeddingStore(tmp_path))
    card = find_task("miracl")
    large = size_task(card, select_pairs(card, ["de:de"]), inquiry)
    small = size_task(card, select_pairs(card, ["sw:sw"]), inquiry)
    assert large.texts > 100 * small.texts
    needed = [sum(memory(shape, [size], "fp32", 4096).values()) for size in (small, large)]
    assert needed[1] < 1.1 * needed[0]
    half = memory(shape, [large], "bf16", 4096)["weights"]
    assert half == 2 * shape.parameters


def test_a_card_of_ones_own_is_estimated(checkpoint: Checkpoint, tmp_path: Path) -> None:
    card = load_card(find_task("mini").folder / "card.toml")
    inquiry = Inquiry(checkpoint, EmbeddingStore(tmp_path))
    size = size_task(card, card.pairs, inquiry)
    assert (size.pairs, size.texts, size.is_sampled) == (36, 432 + 216, False)


@pytest.mark.parametrize("dtype", ["int8", "binary"])
def test_coded_vectors_take_the_bytes_that_the_estimate_says(
    checkpoint: Checkpoint,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    dtype: str,
) -> None:
    common = ["--model", str(checkpoint.path), "--tasks", "mini", "--cache-dir", str(tmp_path / "cache")]
    common += ["--store-dtype", dtype]
    [task] = asked(capsys, *common, "--tokens-per-second", "1000")["tasks"]  # type: ignore[misc]
    assert invoke(["run", *common, "--out", str(tmp_path / "out")]) == 0
    stored = [np.load(path).nbytes for path in (tmp_path / "cache").glob("embeddings/*/*/*.npy")]
    assert task["disk_bytes"][dtype] == sum(stored)
    assert f"{dtype} passages: a stored vector's cosine with what it was is" in caplog.text
    capsys.readouterr()
    assert asked(capsys, *common, "--tokens-per-second", "1000")["seconds"]["encode"] == 0  # type: ignore[index]


def test_codes_in_memory_are_those_of_the_largest_passage_side(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(checkpoint.path), "--tasks", "miracl", "--tokens-per-second", "1e6", "--offline"]
    document = asked(capsys, *arguments)
    largest = max(counts.passages or 0 for counts in find_task("miracl").expected.values())
    # A scale and what lies along the mean, 4 bytes each, and 8 bits or 1 bit for each dimension.
    assert document["code_bytes"] == {"int8": largest * (8 + HIDDEN), "binary": largest * (8 + HIDDEN // 8)}
    assert invoke(["estimate", *arguments]) == 0
    assert "with --index binary, in memory too" in capsys.readouterr().out


def test_a_task_of_mteb_is_counted_from_its_own_statistics(
    checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("mteb")
    arguments = ["--model", str(checkpoint.path), "--tasks", "mteb:XQuADRetrieval", "--tokens-per-second", "1e6"]
    [task] = asked(capsys, *arguments)["tasks"]  # type: ignore[misc]
    assert (task["counts_from"], task["passages"]) == ("card", 12 * 240)
    assert task["queries"] == 14_199  # mteb 2.26: queries with a judgement, in 12 languages


@pytest.mark.parametrize(("devices", "times"), [("cpu", 1), ("cpu,cpu", 1), ("cuda:0,cuda:1,cuda:2", 3)])
def test_only_gpus_share_the_time_and_every_worker_holds_a_model(
    checkpoint: Checkpoint,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    devices: str,
    times: int,
) -> None:
    monkeypatch.setattr("clear_bench.cluster.devices._gpus", lambda: 4)
    monkeypatch.setattr(needs, "measure_search", lambda *_: 1e9)
    arguments = ["--model", str(checkpoint.path), "--tasks", "miracl", "--tokens-per-second", "1e6", "--offline"]
    alone, shared = asked(capsys, *arguments), asked(capsys, *arguments, "--devices", devices)
    workers = len(devices.split(","))
    assert shared["devices"] == devices.split(",")
    assert shared["seconds"]["encode"] == pytest.approx(alone["seconds"]["encode"] / times)  # type: ignore[index]
    assert shared["memory_bytes"]["weights"] == workers * alone["memory_bytes"]["weights"]  # type: ignore[index]
    assert invoke(["estimate", *arguments, "--devices", devices]) == 0
    shown = capsys.readouterr().out
    assert ("on each of cuda:0, cuda:1, cuda:2" in shown) == (times == 3)


def test_a_device_that_is_not_there_is_refused(checkpoint: Checkpoint, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--model", str(checkpoint.path), "--tasks", "mini", "--tokens-per-second", "1"]
    assert invoke(["estimate", *arguments, "--devices", "tpu:0"]) == 2
    assert "'tpu:0' is not a device" in capsys.readouterr().err
    assert invoke(["estimate", *arguments, "--devices", "cpu", "--device", "cpu"]) == 2
    assert "give one of them" in capsys.readouterr().err

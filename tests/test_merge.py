from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from toy_task import write_task
from toy_training import make_collection, smoke

from clear_bench.api.plan import make_plans
from clear_bench.api.training.merge import Point, best_point, merge
from clear_bench.cli import invoke
from clear_bench.documents import as_document
from clear_bench.errors import CheckpointError, EnvironmentFault, UsageError
from clear_bench.models import open_checkpoint
from clear_bench.train.merge import Interpolation, mix, open_pair, parse_weights
from clear_bench.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def tuned(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = smoke(base, make_collection(tmp_path_factory.mktemp("collection")), "data.name=toy-help")
    return train(recipe, tmp_path_factory.mktemp("tuned") / "out")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_task(tmp_path_factory.mktemp("task"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def test_shares_are_read_as_a_range_or_a_list() -> None:
    assert parse_weights("0:1:0.1") == (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1)
    assert parse_weights("0.5,0.25") == (0.25, 0.5)
    for wrong in ("0:2:0.5", "-0.1", "much", "0:1:0", "0:1", ""):
        with pytest.raises(UsageError, match=r"0:1:0\.1"):
            parse_weights(wrong)


@given(a=st.floats(-1e3, 1e3, width=32), b=st.floats(-1e3, 1e3, width=32), share=st.floats(0, 1))
def test_a_mixture_lies_between_and_the_ends_are_exact(a: float, b: float, share: float) -> None:
    one, other = torch.tensor([a]), torch.tensor([b])
    assert torch.equal(mix(one, other, 0.0), one)
    assert torch.equal(mix(one, other, 1.0), other)
    # float32 keeps 24 bits of numbers up to 1000.
    assert float(mix(one, other, share)) == pytest.approx((1 - share) * a + share * b, abs=1e-3)


def test_every_tensor_is_mixed_and_the_folder_is_a_plain_checkpoint(base: Path, tuned: Path, tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = Interpolation(*open_pair(str(base), str(tuned))).write(0.25, tmp_path / "w0.25")
    before, after, mixed = weights(base), weights(tuned), weights(folder)
    assert set(mixed) == set(after)
    for name, tensor in mixed.items():
        torch.testing.assert_close(tensor, 0.75 * before[name] + 0.25 * after[name])
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    assert model.prompts["query"] == "query: "
    # What the tuned model was trained on stays known, for the check of overlaps.
    assert open_checkpoint(str(folder)).trained_on == ("toy-help",)


def test_a_trimmed_vocabulary_is_matched_piece_by_piece(base: Path, tuned: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tuned, tmp_path / "trimmed"))
    spec = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = spec["model"]["vocab"]
    gone = vocabulary.pop("##~")
    kept = [row for row in range(len(vocabulary) + 1) if row != gone]
    spec["model"]["vocab"] = {piece: kept.index(row) for piece, row in vocabulary.items()}
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    state = weights(folder)
    word = "embeddings.word_embeddings.weight"
    save_file({**state, word: state[word][kept].contiguous()}, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": len(kept)}))
    mixed = weights(Interpolation(*open_pair(str(base), str(folder))).write(0.5, tmp_path / "w"))
    torch.testing.assert_close(mixed[word], 0.5 * weights(base)[word][kept] + 0.5 * state[word][kept])


def test_a_base_that_is_loaded_without_its_pooler_is_mixed_all_the_same(
    base: Path, tuned: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "bare"))
    kept = {name: tensor for name, tensor in weights(folder).items() if not name.startswith("pooler.")}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    settings = folder / "sentence_bert_config.json"
    known = json.loads(settings.read_text()) if settings.is_file() else {}
    settings.write_text(json.dumps(known | {"model_kwargs": {"add_pooling_layer": False}}))
    mixed, after = (
        weights(Interpolation(*open_pair(str(folder), str(tuned))).write(0.5, tmp_path / "w")),
        weights(tuned),
    )
    assert any(name.startswith("pooler.") for name in after)
    for name, tensor in after.items():
        expected = 0.5 * kept[name] + 0.5 * tensor if name in kept else tensor
        torch.testing.assert_close(mixed[name], expected)


def with_swapped_pieces(folder: Path, target: Path) -> str:
    copy = Path(shutil.copytree(folder, target))
    spec = json.loads((copy / "tokenizer.json").read_text())
    vocabulary = spec["model"]["vocab"]
    vocabulary["a"], vocabulary["b"] = vocabulary["b"], vocabulary["a"]
    (copy / "tokenizer.json").write_text(json.dumps(spec))
    return str(copy)


def test_checkpoints_that_do_not_fit_together_are_refused(base: Path, tuned: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="tokenizers"):
        Interpolation(*open_pair(str(base), with_swapped_pieces(tuned, tmp_path / "swapped")))
    from sentence_transformers import SentenceTransformer

    deeper = SentenceTransformer(str(tuned), device="cpu")
    deeper[0].auto_model.encoder.layer = deeper[0].auto_model.encoder.layer[:1]
    deeper[0].auto_model.config.num_hidden_layers = 1
    deeper.save_pretrained(str(tmp_path / "shallow"), create_model_card=False)
    with pytest.raises(CheckpointError, match=r"tensor .*layer\.1.* missing"):
        Interpolation(*open_pair(str(base), str(tmp_path / "shallow")))


def test_a_full_disk_leaves_the_mixture_that_was_there(
    base: Path, tuned: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixture = Interpolation(*open_pair(str(base), str(tuned)))
    folder = mixture.write(0.5, tmp_path / "w")
    stamp = weights(folder)

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(mixture.model, "save_pretrained", full)
    with pytest.raises(EnvironmentFault, match="disk is full"):
        mixture.write(0.7, folder)
    assert all(torch.equal(tensor, stamp[name]) for name, tensor in weights(folder).items())
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


class Gain:
    def __init__(self, delta: float) -> None:
        self.delta = delta


def point(weight: float, english: float, cross: float) -> Point:
    return Point(weight, str(weight), {"t": {"english": Gain(english), "cross": Gain(cross)}})  # type: ignore[dict-item]


def test_the_best_point_gains_most_within_the_english_margin() -> None:
    found = [point(0, 0, 0), point(0.3, -0.002, 0.01), point(0.5, -0.003, 0.02), point(1, -0.01, 0.05)]
    assert best_point(found, 0.003) is found[2]
    assert best_point(found, 0.01) is found[3]
    assert best_point(found[1:], 0.001) is None
    # Where the tuned model gains nothing, the base stays best.
    assert best_point([point(0, 0, 0), point(0.5, 0, 0)], 0.003) is not None
    chosen = best_point([point(0, 0, 0), point(0.5, 0, 0)], 0.003)
    assert chosen is not None
    assert chosen.weight == 0


def test_the_ends_of_the_curve_are_the_two_checkpoints(base: Path, tuned: Path, card: Path, tmp_path: Path) -> None:
    plans = make_plans([str(card)], ["en:en", "x-en"])
    found = merge(str(base), str(tuned), plans, tmp_path, weights=(0, 0.5, 1), margin=1.0, keep="all")
    document = as_document(found)
    assert [one["checkpoint"] for one in document["points"]] == [
        str(base),
        str(tmp_path / "checkpoints/w0.5"),
        str(tuned),
    ]
    start, middle, end = (one["groups"]["toy"]["x-en"] for one in document["points"])
    assert start["delta"] == 0
    assert end["base"] == start["candidate"] == middle["base"]
    assert document["best"]["cross"] == max(one["groups"]["toy"]["cross"]["delta"] for one in document["points"])
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(files("clear_bench").joinpath("schemas/merge.json").read_text("utf-8"))
    for known in (document, document | {"best": None}):
        jsonschema.validate(json.loads(json.dumps(known, allow_nan=False)), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document | {"best": {"weight": 0.5}}, schema)
    # Again: every result is there, and the mixture is not written a second time.
    stamp = (tmp_path / "checkpoints/w0.5/model.safetensors").stat().st_mtime_ns
    assert found == merge(str(base), str(tuned), plans, tmp_path, weights=(0, 0.5, 1), margin=1.0, keep="all")
    assert (tmp_path / "checkpoints/w0.5/model.safetensors").stat().st_mtime_ns == stamp


def test_the_command_writes_table_curve_and_keeps_the_best(
    base: Path, tuned: Path, card: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    asked = ["--weights", "0.25,0.5", "--tasks", str(card), "--english-margin", "1", "--out", str(out)]
    assert invoke(["merge", str(base), str(tuned), *asked]) == 0
    assert "(best)" in capfd.readouterr().out
    document = json.loads((out / "merge.json").read_text())
    assert document["schema"] == "clear-bench/merge/1"
    assert [path.name for path in (out / "checkpoints").iterdir()] == [Path(document["best"]["checkpoint"]).name]
    ElementTree.parse(out / "merge.svg")
    assert "merge.svg" in (out / "merge.md").read_text()


def test_a_trade_off_needs_both_sides(base: Path, tuned: Path, card: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="add en:en"):
        merge(str(base), str(tuned), make_plans([str(card)], ["x-en"]), tmp_path, weights=(0,), margin=0.003)


@pytest.mark.parametrize(
    "text", ["nan", "0:1:0", "0:1:nan", "0:inf:1", "0:1:1e-300", "0:1:1e-9", "-1", "1.5", "0,nan", "::"]
)
def test_weights_are_up_to_a_thousand_shares(text: str) -> None:
    with pytest.raises(UsageError):
        parse_weights(text)

"""Checkpoint folders of every shape: all that is loaded is seen, and what is no dense model is refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy import HIDDEN, make_toy_checkpoint

from clear_bench.errors import CheckpointError
from clear_bench.models import open_checkpoint
from clear_bench.models.checkpoint import sequence_length
from clear_bench.models.kinds import Kind, kind_of
from clear_bench.models.loading import load_encoder
from clear_bench.models.safetensors import write_safetensors
from clear_bench.models.shape import open_tokeniser
from clear_bench.settings import ModelSettings

CPU = ModelSettings(device="cpu")

DENSE = "sentence_transformers.sentence_transformer.modules.dense.Dense"
TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
ROUTER = "sentence_transformers.base.modules.router.Router"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_toy_checkpoint(tmp_path / "toy")


def edit(path: Path, **changes: Any) -> None:
    content = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(content | changes))


def add_module(folder: Path, path: str, kind: str = DENSE) -> None:
    modules = json.loads((folder / "modules.json").read_text())
    modules.append({"idx": len(modules), "name": str(len(modules)), "path": path, "type": kind})
    (folder / "modules.json").write_text(json.dumps(modules))


def write_dense(folder: Path, seed: int = 0, weights: str = "model.safetensors") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).standard_normal((HIDDEN, HIDDEN)).astype(np.float32)
    write_safetensors(folder / weights, [("linear.weight", values.shape, lambda: values)])
    config = {"in_features": HIDDEN, "out_features": HIDDEN, "bias": False}
    config["activation_function"] = "torch.nn.modules.linear.Identity"
    (folder / "config.json").write_text(json.dumps(config))


class TestEveryModule:
    @pytest.mark.parametrize("path", ["2_Dense", ".2_Dense", "checkpoint-2", "a/.b/2_Dense", "./2_Dense", "x.py"])
    def test_is_part_of_the_fingerprint_whatever_it_is_called(self, folder: Path, path: str) -> None:
        add_module(folder, path)
        seen = []
        for seed in (0, 1):
            write_dense(folder / path, seed)
            seen.append((open_checkpoint(str(folder)).fingerprint, open_checkpoint(str(folder)).weights_digest))
        assert seen[0][0] != seen[1][0]
        assert seen[0][1] != seen[1][1]

    @pytest.mark.parametrize("path", [".2_Dense", "checkpoint-2", "linked"])
    def test_is_looked_through_for_pickles(self, folder: Path, path: str) -> None:
        add_module(folder, path)
        write_dense(folder / (".kept" if path == "linked" else path))
        if path == "linked":
            (folder / "linked").symlink_to(folder / ".kept", target_is_directory=True)
        open_checkpoint(str(folder))
        (folder / path / "pytorch_model.bin").write_bytes(b"x")
        with pytest.raises(CheckpointError, match=rf"{path}/pytorch_model\.bin.*--allow-pickle"):
            open_checkpoint(str(folder))

    def test_that_lies_elsewhere_is_refused(self, folder: Path, tmp_path: Path) -> None:
        add_module(folder, "2_Dense")
        write_dense(tmp_path / "elsewhere")
        (folder / "2_Dense").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
        with pytest.raises(CheckpointError, match=r"'2_Dense' leads out of the checkpoint"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "1_Pooling/config.json"])
    def test_has_its_own_files(self, folder: Path, tmp_path: Path, name: str) -> None:
        (folder / name).rename(tmp_path / "there")
        (folder / name).symlink_to(tmp_path / "there")
        with pytest.raises(CheckpointError, match=rf"'{name}' leads out of the checkpoint"):
            open_checkpoint(str(folder))

    def test_of_a_hubs_cache_has_its_files_in_its_store(self, folder: Path, tmp_path: Path) -> None:
        expected = open_checkpoint(str(folder))
        snapshot = tmp_path / "models--org--name" / "snapshots" / ("0" * 40)
        blobs = snapshot.parent.parent / "blobs"
        blobs.mkdir(parents=True)
        for number, path in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
            shutil.copy(path, blobs / str(number))
            place = snapshot / path.relative_to(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(os.path.relpath(blobs / str(number), place.parent))
        found = open_checkpoint(str(snapshot))
        assert found.fingerprint == expected.fingerprint
        load_encoder(found, CPU)

    @pytest.mark.parametrize("path", ["../x", "/x", "C:\\x", "a\\..\\..\\x", "a\0b"])
    def test_with_a_path_that_leads_out_is_refused(self, folder: Path, path: str) -> None:
        add_module(folder, path)
        with pytest.raises(CheckpointError, match="leads out"):
            open_checkpoint(str(folder))

    def test_that_is_linked_to_itself_is_refused_or_read_once(self, folder: Path) -> None:
        (folder / "1_Pooling" / "again").symlink_to(folder / "1_Pooling", target_is_directory=True)
        open_checkpoint(str(folder))
        add_module(folder, "loop")
        (folder / "loop").symlink_to(folder / "loop")
        with pytest.raises(CheckpointError, match="loop"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize("name", ["data_config.json", "manifest.json"])
    def test_has_other_files_beside_it_that_are_no_configuration(self, folder: Path, name: str) -> None:
        """all-MiniLM-L6-v2 keeps a list of its training sets in data_config.json."""
        before = open_checkpoint(str(folder)).fingerprint
        (folder / name).write_text("[1]")
        assert open_checkpoint(str(folder)).fingerprint == before


class TestRouters:
    @pytest.mark.parametrize("config", ["router_config.json", "config.json"])
    def test_are_walked_into_their_routers_too(self, tmp_path: Path, config: str) -> None:
        """`config.json` is where a Router of an earlier release, called Asym, keeps the same."""
        router = tmp_path / "router"
        make_toy_checkpoint(router / ".deep" / "query_0_Transformer")
        kinds = {"types": {"query_0_Transformer": TRANSFORMER}, "structure": {"query": ["query_0_Transformer"]}}
        (router / ".deep" / config).write_text(json.dumps(kinds | {"parameters": {}}))
        (router / "router_config.json").write_text(json.dumps({"types": {".deep": ROUTER}}))
        (router / "modules.json").write_text(json.dumps([{"type": ROUTER, "path": ""}]))
        before = open_checkpoint(str(router))
        make_toy_checkpoint(router / ".deep" / "query_0_Transformer", seed=1)
        assert open_checkpoint(str(router)).weights_digest != before.weights_digest
        (router / ".deep" / "query_0_Transformer" / "pytorch_model.bin").write_bytes(b"x")
        with pytest.raises(CheckpointError, match="--allow-pickle"):
            open_checkpoint(str(router))

    @pytest.mark.parametrize("types", [{".": ROUTER}, {"": ROUTER}, {"../x": DENSE}, {"a": 1}, [1], "x"])
    def test_that_hold_themselves_or_nonsense_are_refused(self, folder: Path, types: Any) -> None:
        add_module(folder, "r", ROUTER)
        (folder / "r").mkdir()
        (folder / "r" / "router_config.json").write_text(json.dumps({"types": types}))
        with pytest.raises(CheckpointError, match="router_config"):
            open_checkpoint(str(folder))

    def test_that_hold_themselves_by_a_link_are_refused(self, folder: Path) -> None:
        add_module(folder, "r", ROUTER)
        (folder / "r").mkdir()
        (folder / "r" / "again").symlink_to(folder / "r", target_is_directory=True)
        (folder / "r" / "router_config.json").write_text(json.dumps({"types": {"again": ROUTER}}))
        with pytest.raises(CheckpointError, match="'types' names 'again'"):
            open_checkpoint(str(folder))


class TestNamedWeights:
    def test_count_and_are_checked_wherever_they_lie(self, folder: Path, tmp_path: Path) -> None:
        (folder / ".w").mkdir()
        (folder / "model.safetensors").rename(folder / ".w" / "a.safetensors")
        index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": ".w/a.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        before = open_checkpoint(str(folder)).weights_digest
        other = make_toy_checkpoint(tmp_path / "other", seed=1)
        shutil.copy(other / "model.safetensors", folder / ".w" / "a.safetensors")
        assert open_checkpoint(str(folder)).weights_digest != before

    def test_in_the_configuration_count(self, folder: Path) -> None:
        edit(folder / "config.json", transformers_weights=".w/b.safetensors")
        with pytest.raises(CheckpointError, match=r"\.w/b\.safetensors is missing"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize(
        ("name", "complaint"), [("../x.safetensors", "leads out"), ("x.bin", "expected the name"), (3, "expected")]
    )
    def test_of_another_place_or_form_are_refused(self, folder: Path, name: Any, complaint: str) -> None:
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(CheckpointError, match=complaint):
            open_checkpoint(str(folder))

    def test_of_a_weight_map_that_is_a_list_are_refused(self, folder: Path) -> None:
        (folder / "model.safetensors.index.json").write_text('{"weight_map": []}')
        with pytest.raises(CheckpointError, match="'weight_map' is"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize(
        "settings",
        [
            {"tokenizer_name_or_path": "/elsewhere"},
            {"model_args": {"gguf_file": "x.gguf"}},
            {"processor_kwargs": {"vocab_file": "/elsewhere"}},
        ],
    )
    def test_or_tokenizers_from_elsewhere_are_refused(self, folder: Path, settings: dict[str, Any]) -> None:
        edit(folder / "sentence_bert_config.json", **settings)
        with pytest.raises(CheckpointError, match="something else than this folder"):
            open_checkpoint(str(folder))

    def test_of_an_adapters_base_are_refused_beside_a_whole_model_too(self, folder: Path) -> None:
        """sentence-transformers would read the base that the adapter names, and not the weights of this folder."""
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
        with pytest.raises(CheckpointError, match="merge it into org/base"):
            open_checkpoint(str(folder))


SPARSE = "sentence_transformers.sparse_encoder.models.SpladePooling"
SIGNS: list[tuple[str, dict[str, Any], Kind]] = [
    ("config_sentence_transformers.json", {"model_type": "CrossEncoder"}, Kind.CROSS_ENCODER),
    ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, Kind.SPARSE),
    ("config_sentence_transformers.json", {"model_type": "MultiVectorEncoder"}, Kind.MULTI_VECTOR),
    ("config_sentence_transformers.json", {"model_type": "ColBERT"}, Kind.MULTI_VECTOR),
    ("config_sentence_transformers.json", {"query_prefix": "[Q] ", "do_query_expansion": True}, Kind.MULTI_VECTOR),
    ("sentence_bert_config.json", {"transformer_task": "sequence-classification"}, Kind.CROSS_ENCODER),
    ("sentence_bert_config.json", {"transformer_task": "fill-mask"}, Kind.SPARSE),
    ("config.json", {"architectures": ["HF_ColBERT"]}, Kind.MULTI_VECTOR),
    ("artifact.metadata", {"dim": 16}, Kind.MULTI_VECTOR),
]


class TestKind:
    @pytest.mark.parametrize(("file", "content", "kind"), SIGNS, ids=str)
    def test_is_told_by_the_settings(self, folder: Path, file: str, content: dict[str, Any], kind: Kind) -> None:
        assert kind_of(folder).kind == Kind.DENSE
        edit(folder / file, **content)
        assert kind_of(folder).kind == kind
        with pytest.raises(CheckpointError, match=f"is a {kind}"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize(
        ("module", "kind"),
        [
            (SPARSE, Kind.SPARSE),
            ("sentence_transformers.sparse_encoder.modules.MLMTransformer", Kind.SPARSE),
            ("sentence_transformers.sparse_encoder.models.SparseAutoEncoder", Kind.SPARSE),
            ("sentence_transformers.multi_vector_encoder.modules.MultiVectorMask", Kind.MULTI_VECTOR),
            ("pylate.models.Dense.Dense", Kind.MULTI_VECTOR),
            ("sentence_transformers.cross_encoder.modules.LogitScore", Kind.CROSS_ENCODER),
            (DENSE, Kind.DENSE),
        ],
    )
    def test_is_told_by_the_modules_and_by_those_of_a_router(self, folder: Path, module: str, kind: Kind) -> None:
        add_module(folder, "2", module)
        assert kind_of(folder).kind == kind
        (folder / "r").mkdir()
        (folder / "r" / "router_config.json").write_text(json.dumps({"types": {"query_1": module}}))
        (folder / "modules.json").write_text(json.dumps([{"type": ROUTER, "path": "r"}]))
        assert kind_of(folder).kind == kind

    @pytest.mark.parametrize(
        ("architecture", "plain", "saved"),
        [
            ("BertForSequenceClassification", Kind.CROSS_ENCODER, Kind.DENSE),
            ("BertForMaskedLM", Kind.DENSE, Kind.DENSE),
            ("HF_ColBERT", Kind.MULTI_VECTOR, Kind.MULTI_VECTOR),
            ("BertModel", Kind.DENSE, Kind.DENSE),
        ],
    )
    def test_of_a_plain_folder_is_told_by_its_architecture(
        self, folder: Path, architecture: str, plain: Kind, saved: Kind
    ) -> None:
        edit(folder / "config.json", architectures=[architecture])
        assert kind_of(folder).kind == saved  # modules.json says what is made of it
        (folder / "modules.json").unlink()
        assert kind_of(folder).kind == plain

    def test_that_nobody_knows_is_refused(self, folder: Path) -> None:
        edit(folder / "config_sentence_transformers.json", model_type="HyperEncoder")
        with pytest.raises(CheckpointError, match="'HyperEncoder' is not one of"):
            kind_of(folder)


class TestLengths:
    @pytest.mark.parametrize("length", ["abc", -5, 0, 0.5, True, [], 1e999])
    def test_that_are_no_number_of_tokens_are_refused(self, folder: Path, length: Any) -> None:
        edit(folder / "sentence_bert_config.json", max_seq_length=length)
        with pytest.raises(CheckpointError, match="expected a number of tokens"):
            sequence_length(folder)

    @pytest.mark.parametrize(
        ("kind", "positions", "own", "expected"),
        [
            ("xlm-roberta", 34, 34, 32),  # RoBERTa's positions start at 2
            ("xlm-roberta", 34, None, 32),
            ("xlm-roberta", 514, 512, 512),
            ("bert", 34, 64, 34),
            ("bert", 64, 34, 34),
            ("nomic_bert", 2048, 8192, 8192),  # positions are rotations and have no table
        ],
    )
    def test_end_where_the_table_of_positions_does(
        self, folder: Path, kind: str, positions: int, own: int | None, expected: int
    ) -> None:
        edit(folder / "config.json", model_type=kind, max_position_embeddings=positions)
        edit(folder / "tokenizer_config.json", model_max_length=1e30)
        edit(folder / "sentence_bert_config.json", max_seq_length=own)
        assert sequence_length(folder) == expected


TEXTS = ["a", "some words", "a text that is a good deal longer than the others, and longer still at its end"]


class TestPadding:
    @pytest.mark.parametrize("pooling", ["cls", "mean", "lasttoken"])
    @pytest.mark.parametrize("plain", [True, False])
    def test_on_the_left_leaves_a_text_the_vector_that_it_has_alone(
        self, folder: Path, pooling: str, plain: bool
    ) -> None:
        """Oracle: sentence-transformers, one text at a time. The toy's positions are scaled up so that they matter."""
        edit(folder / "tokenizer_config.json", padding_side="left")
        edit(folder / "1_Pooling" / "config.json", pooling_mode=pooling, include_prompt=plain)
        encoder = load_encoder(open_checkpoint(str(folder)), CPU)
        assert encoder.is_plain is plain
        encoder.model[0].auto_model.embeddings.position_embeddings.weight.data.mul_(50)
        expected = np.concatenate([encoder.model.encode([text]) for text in TEXTS])
        for side in ("query", "passage"):
            found = encoder.encode(texts_of(TEXTS), range(len(TEXTS)), side, "", lambda _: None)  # type: ignore[arg-type]
            np.testing.assert_allclose(found.vectors, expected, atol=1e-5)
        assert encoder.model.tokenizer.padding_side == "left"

    def test_that_moves_a_vector_all_the_same_is_refused(self, folder: Path) -> None:
        encoder = load_encoder(open_checkpoint(str(folder)), CPU)
        encoder.model[0].auto_model.embeddings.position_embeddings.weight.data.mul_(50)
        encoder.refuse_batch_dependence()
        encoder.model.tokenizer.padding_side, encoder.pads_right = "left", False
        with pytest.raises(CheckpointError, match=r"padding is on the left.*--batch-tokens 1"):
            encoder.refuse_batch_dependence()
        encoder.batch_tokens = 1
        encoder.refuse_batch_dependence()


def texts_of(texts: list[str]) -> Any:
    import pyarrow as pa

    from clear_bench.types import make_texts

    ids = [str(number) for number in range(len(texts))]
    return make_texts("eng-Latn", pa.chunked_array([ids]), pa.chunked_array([texts]))


HEADS = [
    "date: 2024-02-30",
    "license: !!int ''",
    "license: !!timestamp x",
    "license: !!bool x",
    "a: &a [*a]\nlicense: *a",
    "license: " + "9" * 5000,
    "license: " + "[" * 3000,
    'license: "\\uD800"',
    "- a",
    "license: {a: b}\nbase_model: 3\ndatasets: 4",
]
LONG = "x" * 3000


class TestWhateverIsInside:
    @pytest.mark.parametrize("head", HEADS, ids=range(len(HEADS)))
    def test_the_head_of_a_model_card_is_no_obstacle(self, folder: Path, head: str) -> None:
        (folder / "README.md").write_text(f"---\n{head}\n---\n")
        found = open_checkpoint(str(folder))
        assert (found.licence, found.trained_on) == (None, ())

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("modules.json", json.dumps([{"type": DENSE, "path": LONG}])),
            ("modules.json", json.dumps([{"type": DENSE, "path": "\ud800"}])),
            ("modules.json", json.dumps([{"type": 3, "path": ""}])),
            ("config.json", "[" * 100_000),
            ("config.json", "[]"),
            ("config_sentence_transformers.json", "null"),
            ("config_sentence_transformers.json", '{"model_type": []}'),
            ("config_sentence_transformers.json", '{"prompts": {"query": "\\ud800"}}'),
            ("config_sentence_transformers.json", '{"similarity_fn_name": [1]}'),
            ("sentence_bert_config.json", '{"model_args": 3}'),
            ("model.safetensors.index.json", "1"),
            ("adapter_config.json", "{}"),
        ],
    )
    def test_an_odd_file_is_named(self, folder: Path, name: str, content: str) -> None:
        (folder / name).write_text(content)
        with pytest.raises(CheckpointError):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize("offsets", [[0, 1e400], [-4, 4], [4, 0], ["0", "4"], [0, 10**300], 3])
    def test_offsets_of_weights_that_cannot_be_are_named(self, folder: Path, offsets: Any) -> None:
        header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
        (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + b"0" * 4)
        with pytest.raises(CheckpointError, match=r"model\.safetensors"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize(
        ("name", "change"),
        [
            ("config.json", {"num_attention_heads": 0}),
            ("config.json", {"hidden_size": []}),
            ("config.json", {"hidden_act": None}),
            ("tokenizer.json", {"model": {}}),
            ("tokenizer.json", {"added_tokens": [{"id": -1}]}),
            ("tokenizer_config.json", {"tokenizer_class": 3}),
            ("1_Pooling/config.json", {"pooling_mode": "sum"}),
            ("1_Pooling/config.json", {"unknown": 1}),
        ],
        ids=str,
    )
    def test_what_the_libraries_cannot_use_is_refused_whatever_they_raise(
        self, folder: Path, name: str, change: dict[str, Any]
    ) -> None:
        edit(folder / name, **change)
        checkpoint = open_checkpoint(str(folder))
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_encoder(checkpoint, CPU)

    def test_a_tokenizer_that_cannot_be_read_is_named_where_tokens_are_counted(self, folder: Path) -> None:
        edit(folder / "tokenizer.json", model={})
        with pytest.raises(CheckpointError, match=r"tokenizer\.json cannot be used"):
            open_tokeniser(open_checkpoint(str(folder)))

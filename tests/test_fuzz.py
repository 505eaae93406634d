"""Whatever is in a file that somebody else made, its parser ends in a value or in a sentence for the user.

Each parser is given changed copies of valid files. Changes that once ended otherwise are kept in `KEPT` and run with
the fast tests.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from made_results import as_manifest, make_manifest, make_scores
from mutations import mutated
from raw_benchmarks import BENCHMARKS, load
from toy import make_toy_checkpoint
from toy_task import write_task, write_vectors
from toy_training import make_collection, write_rows

from clear_bench import console, metrics, readers
from clear_bench.api.summary import summarise_results
from clear_bench.cli import invoke
from clear_bench.compare import Resampling, compare
from clear_bench.documents import read_toml
from clear_bench.errors import UsageError
from clear_bench.gate import read_rules, refuse_unusable
from clear_bench.leaderboard import read_references, refuse_unfit
from clear_bench.models.checkpoint import open_checkpoint
from clear_bench.models.shape import read_shape, read_width
from clear_bench.models.vectors import VectorReader, open_vectors
from clear_bench.mteb_bridge.results_in import find_sources, read_means, save_means
from clear_bench.readers.trec import read_trec_qrels, read_trec_run
from clear_bench.store.baselines import place_baseline
from clear_bench.store.cache import list_cache, verify_cache
from clear_bench.store.embeddings import EmbeddingKey, EmbeddingStore
from clear_bench.store.manifest import manifest_digest
from clear_bench.store.results import MANIFEST, RUN, SCORES, read_result, save_result
from clear_bench.store.trec import read_run, write_trec_runs
from clear_bench.tasks import load_card, select_pairs
from clear_bench.train.parts import DataPart
from clear_bench.train.recipe import load_recipe
from clear_bench.train.sources import read_rows
from clear_bench.types import Manifest

PAIR = "deu-Latn:eng-Latn"


@dataclass(frozen=True)
class Parser:
    """What reads files of others, and valid ones to change."""

    write: Callable[[Path], object]
    """Writes valid files into a folder."""
    parse: Callable[[Path], object]
    """Reads that folder."""
    files: Sequence[str]
    """Which of them are changed."""


# --- results


def write_result(folder: Path) -> None:
    def write(inner: Path) -> Manifest:
        scores = make_scores(["eng-Latn:eng-Latn", PAIR], 4, clusters=2)
        pq.write_table(scores, inner / SCORES)
        hits = scores.select(["query_language", "passage_language", "query_id"])
        hits = hits.append_column("rank", pa.array([1] * len(hits)))
        hits = hits.append_column("passage_id", pa.array(["p"] * len(hits)))
        pq.write_table(hits.append_column("similarity", pa.array([0.5] * len(hits))), inner / RUN)
        return as_manifest(make_manifest("org/m", "t", ["eng-Latn:eng-Latn", PAIR]))

    save_result(folder / "m" / "t", write)


def parse_result(folder: Path) -> None:
    result = read_result(folder / "m" / "t")
    refuse_unfit([result])
    refuse_unusable([result])
    summarise_results([result])
    compare([result], [result], resampling=Resampling(20))
    read_run(result)
    write_trec_runs(result, folder / "runs", "tag")
    place_baseline(result, folder / "baselines")


def run_commands(folder: Path) -> None:
    """Give the result, sealed anew, to every command that reads one."""
    reseal(folder)
    result, out = str(folder / "m" / "t"), str(folder / "out")
    for line in (
        ["gate", result, result, "--junit", f"{out}.xml", "--badge", f"{out}.svg"],
        ["compare", result, result, "--resamples", "20"],
        ["leaderboard", str(folder), "--out", out],
        ["baseline", "accept", result, "--dir", f"{out}-baselines"],
        ["export", result, "--trec", "--out", f"{out}-runs"],
        *(["report", result, "--format", form] for form in ("md", "html", "latex", "csv", "json")),
        *(["report", result, "--format", form] for form in ("eval-results", "model-index")),
        ["report", result, "--format", "svg", "--out", f"{out}-pictures"],
        ["verify", result],
    ):
        assert invoke(line) in (0, 1, 2, 3, 4), line


def parse_resealed(folder: Path) -> None:
    """Compute the digests anew first, as anyone can."""
    reseal(folder)
    parse_result(folder)


def reseal(folder: Path) -> None:
    path = folder / "m" / "t" / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        content["files"] = {name: _digest(path.with_name(name)) for name in content["files"]}
        content["manifest_digest"] = manifest_digest(content)
        path.write_text(json.dumps(content))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OSError):
        pass  # nobody could have sealed it


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_mteb(folder: Path) -> None:
    scores = {"ndcg_at_10": 0.5, "recall_at_100": 0.875, "nauc_ndcg_at_10_max": float("nan"), "main_score": 0.5}
    subsets = [scores | {"hf_subset": f"{a}-{b}", "languages": [f"{a}-Latn", f"{b}-Latn"]} for a, b in
               (("eng", "deu"), ("deu", "eng"))]  # fmt: skip
    content = {"dataset_revision": "abc", "task_name": "MLQARetrieval", "mteb_version": "2.26.0",
               "scores": {"test": subsets}}  # fmt: skip
    inner = folder / "results" / "org__model" / "r1"
    inner.mkdir(parents=True)
    (inner / "MLQARetrieval.json").write_text(json.dumps(content))
    (inner / "model_meta.json").write_text(json.dumps({"name": "org/model", "revision": "r1"}))


def parse_mteb(folder: Path) -> None:
    means = [found for source in find_sources(folder / "results") for found in read_means(source)]
    for path in save_means(means, folder / "out"):
        read_result(path)


# --- TREC


def write_trec(folder: Path) -> None:
    (folder / "run.txt").write_text("q1 Q0 p1 1 0.5 tag\nq1 Q0 p2 2 0.25 tag\nq2 Q0 p1 1 -1e-3 tag\n")
    (folder / "qrels.txt").write_text("q1 0 p1 1\nq2 0 p2 0\n")


def parse_trec(folder: Path) -> None:
    read_trec_run(folder / "run.txt")
    read_trec_qrels(folder / "qrels.txt")


# --- settings in TOML

GATE = (
    'margin = 0.01\nmetric = "nDCG@10"\ntasks = ["t"]\n[[gate]]\nname = "direct"\npairs = ["direct"]\nover = "mean"\n'
)
SCORE = (
    '[[score]]\ntask = "t"\nmodel = "m"\nmetric = "nDCG@10"\nall = 50.0\nsource = "s"\nurl = "https://example.org"\n'
)
SETTINGS = '[gate]\nmargin = 0.01\ntasks = ["t"]\n[run]\nindex = "flat"\n'
RECIPE = """
[model]
base = "m"
query_length = 8
dropout = 0.1
[data]
files = ["rows.jsonl"]
negatives = 1
roles = { anchor = "q" }
[loss]
name = "clear"
[batch]
size = 4
[training]
steps = 2
learning_rate = 1e-3
[evaluation]
tasks = ["mini"]
pairs = "all"
"""


def text(name: str, content: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(content)


def parse_settings(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert invoke(["gate", "nothing", "nothing"]) != console.BUG


# --- collections and cards


def write_collection(folder: Path) -> None:
    write_task(folder, size=3)
    path = folder / "queries" / "en.jsonl"
    lines = [json.dumps(json.loads(line) | {"answers": ["a"]}) for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def parse_collection(folder: Path) -> None:
    task = load_card(folder)
    metrics.expand(task.metrics)
    readers.read(task, task.pairs[:4], True)


COLLECTION = ("queries/en.jsonl", "corpus/en.jsonl", "qrels.tsv")


def benchmark(name: str) -> Parser:
    raw, pairs = BENCHMARKS[name]
    made = raw()
    files = [f"{repository}/{file}" for repository, content in made.repositories.items() for file in content]
    files += [Path(url).name for url in made.site]

    def parse(folder: Path) -> None:
        task = load(name)
        task = _placed(task, folder)
        readers.read(task, select_pairs(task, pairs), True)

    return Parser(lambda folder: made.write(folder), parse, files)


def _placed(task: Any, folder: Path) -> Any:
    from dataclasses import replace

    return replace(task, source={**task.source, "path": str(folder)})


# --- training


def write_training(folder: Path) -> None:
    make_collection(folder / "collection", items=6)
    for path in (folder / "collection").rglob("*.gz"):
        import gzip

        path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
        path.unlink()
    write_rows(folder / "rows.jsonl", items=4)
    (folder / "rows.csv").write_text("anchor,positive,negative_1\na,b,c\nd,e,f\n")


def parse_training(folder: Path) -> None:
    collection = DataPart(collection=str(folder / "collection"), negatives=1)
    files = [DataPart(files=(str(folder / name),), negatives=1) for name in ("rows.jsonl", "rows.csv")]
    for data in (collection, *files):
        read_rows(data, ("anchor", "positive"))


# --- vectors, shards, checkpoints


def write_shards(folder: Path) -> None:
    shards = EmbeddingStore(folder).open(KEY, 3, {"model": "m", "language": "eng-Latn"})
    with shards.lock():
        shards.write(0, np.eye(3, 4, dtype=np.float32), 9, 0)


KEY = EmbeddingKey("v" * 64, "t" * 64, "query", "")
SHARDS = f"embeddings/{KEY.folder}"


def parse_shards(folder: Path) -> None:
    list_cache(folder)
    verify_cache(folder)
    shards = EmbeddingStore(folder).open(KEY, 3)
    assert all(block.shape == (3, 4) for block in shards.blocks())
    shards.total("tokens")


def write_given_vectors(folder: Path) -> None:
    write_task(folder / "task", size=3)
    write_vectors(folder / "v", size=3)
    (folder / "v" / "vectors.json").write_text(
        '{"name": "m", "similarity": "dot", "licence": "MIT", "trained_on": ["a"]}'
    )
    (folder / "v" / "queries" / "en.ids.txt").write_text("q0\nq1\nq2\n")


def parse_vectors(folder: Path) -> None:
    task = load_card(folder / "task")
    queries = readers.read(task, select_pairs(task, "en:en"), True).queries["eng-Latn"]
    open_vectors(folder / "v")
    VectorReader(folder / "v").encode(queries, range(3), "query", "", lambda count: None)


def write_checkpoint(folder: Path) -> None:
    make_toy_checkpoint(folder)
    head = "license: mit\nbase_model: a/b\ndatasets:\n- c/d\nlanguage: [en, 'no']\ndate: 2024-01-02\n"
    (folder / "README.md").write_text(f"---\n{head}---\n# m\n")


def parse_checkpoint(folder: Path) -> None:
    checkpoint = open_checkpoint(str(folder))
    read_width(checkpoint)
    read_shape(checkpoint)


CHECKPOINT = (
    *("config.json", "modules.json", "1_Pooling/config.json", "sentence_bert_config.json"),
    *("config_sentence_transformers.json", "tokenizer_config.json", "README.md", "model.safetensors"),
)

PARSERS = {
    "manifest": Parser(write_result, parse_result, [f"m/t/{MANIFEST}"]),
    "sealed manifest": Parser(write_result, parse_resealed, [f"m/t/{MANIFEST}"]),
    "commands": Parser(write_result, run_commands, [f"m/t/{MANIFEST}"]),
    "scores": Parser(write_result, parse_resealed, [f"m/t/{SCORES}"]),
    "run": Parser(write_result, parse_resealed, [f"m/t/{RUN}"]),
    "mteb": Parser(
        write_mteb, parse_mteb, [f"results/org__model/r1/{n}.json" for n in ("MLQARetrieval", "model_meta")]
    ),
    "trec": Parser(write_trec, parse_trec, ["run.txt", "qrels.txt"]),
    "gate": Parser(text("g.toml", GATE), lambda f: read_rules(read_toml(f / "g.toml", UsageError), "g"), ["g.toml"]),
    "references": Parser(text("r.toml", SCORE), lambda folder: read_references(folder / "r.toml"), ["r.toml"]),
    "settings": Parser(text("clear-bench.toml", SETTINGS), parse_settings, ["clear-bench.toml"]),
    "recipe": Parser(text("r.toml", RECIPE), lambda folder: load_recipe(folder / "r.toml"), ["r.toml"]),
    "card": Parser(write_collection, parse_collection, ["card.toml"]),
    "collection": Parser(write_collection, parse_collection, COLLECTION),
    "training": Parser(
        write_training,
        parse_training,
        [
            "rows.jsonl",
            "rows.csv",
            "collection/queries/en.jsonl",
            "collection/corpus/en.jsonl",
            "collection/negatives.jsonl",
        ],
    ),
    "shards": Parser(
        write_shards, parse_shards, [f"{SHARDS}/{name}" for name in ("key.json", "manifest.jsonl", "000000.npy")]
    ),
    "vectors": Parser(
        write_given_vectors, parse_vectors, ["v/queries/en.npy", "v/vectors.json", "v/queries/en.ids.txt"]
    ),
    "checkpoint": Parser(write_checkpoint, parse_checkpoint, CHECKPOINT),
    **{f"benchmark {name}": benchmark(name) for name in BENCHMARKS},
}


def survive(parser: Parser, folder: Path) -> None:
    """Parse a folder; an error must be one that the command line puts into a sentence."""
    try:
        parser.parse(folder)
    except Exception as error:
        if console.expected(error) is None:
            raise


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Give a folder with the valid files of a parser."""
    made: dict[str, Path] = {}

    def give(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("valid")
            PARSERS[name].write(made[name])
        return made[name]

    return give


@pytest.mark.parametrize("name", PARSERS)
def test_valid_files_are_read(name: str, valid: Callable[[str], Path], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(valid(name), folder)
    PARSERS[name].parse(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", PARSERS)
def test_changed_files_are_read_or_refused(name: str, valid: Callable[[str], Path], tmp_path: Path) -> None:
    parser, source, rounds = PARSERS[name], valid(name), iter(range(10**9))

    @settings(max_examples=200, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data())
    def fuzz(data: st.DataObject) -> None:
        file = data.draw(st.sampled_from(list(parser.files)))
        content = data.draw(mutated((source / file).read_bytes(), file.rpartition(".")[2]))
        note(f"({file!r}, {content!r})")
        folder = tmp_path / str(next(rounds))
        shutil.copytree(source, folder)
        (folder / file).write_bytes(content)
        survive(parser, folder)
        shutil.rmtree(folder)

    fuzz()


def npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00v\x00" + header.ljust(117).encode() + b"\n" + bytes(48)


SHARD = f"{SHARDS}/000000.npy"
LINE = f"{SHARDS}/manifest.jsonl"
TOY = 'name = "a"\nreader = "jsonl"\nlanguages = ["en"]\npairs = "all"\nmetrics = ["mAP"]\nmain_metric = "mAP"\n'
KEPT: list[tuple[str, str, bytes]] = [
    # Arrow's parser of JSON ends the process on these two.
    ("collection", "queries/en.jsonl", b'null\n{"_id": "q1", "text": "a"}\n'),
    ("collection", "queries/en.jsonl", b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"\n"),
    ("benchmark africlirmatrix", "castorini/africlirmatrix/africlirmatrix-v1.0-hausa/corpus.jsonl", b"null\n"),
    (
        "benchmark africlirmatrix",
        "castorini/africlirmatrix/africlirmatrix-v1.0-hausa/corpus.jsonl",
        b'{"id": "1", "contents": "\\ud800"}\n',
    ),
    ("benchmark belebele", "facebook/belebele/README.md", b"\x1f\x8b---\nconfigs:\n- a\n---\n"),
    ("benchmark belebele", "facebook/belebele/README.md", b"---\nconfigs:\n- 1\n- {config_name: default}\n---\n"),
    ("benchmark miracl-hn", "mteb/MIRACLRetrievalHardNegatives/en-corpus/dev-00000-of-00001.parquet", b""),
    ("benchmark neuclir", "topics.0720.utf8.jsonl", b'{"topic_id": "1", "topics": ["x"]}\n'),
    ("benchmark neuclir", "topics.0720.utf8.jsonl", b'{"topic_id": "1", "topics": null}\n'),
    (
        "benchmark xor",
        "xor_dev_retrieve_eng_span_v1_1.jsonl",
        b'{"id": "1", "question": null, "lang": "fi", "answers": []}\n',
    ),
    ("benchmark xquad-r", "ar.json", b'{"data": []}'),
    ("card", "card.toml", f'{TOY}licence = "x"\nsource.path = "."\ncodes = {{ en = ["en"] }}\n'.encode()),
    ("card", "card.toml", b"a = " + b"[" * 3000),
    ("gate", "g.toml", b"gate = [1]"),
    ("gate", "g.toml", b"margin = " + b"9" * 5000),
    ("references", "r.toml", b"score = [1]"),
    ("settings", "clear-bench.toml", b"gate = 1"),
    ("shards", SHARD, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }ortran_order': False")),
    ("shards", SHARD, npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), (")),
    ("shards", LINE, b"[" * 100_000),
    ("shards", LINE, b'{"shard": 0, "rows": [0, 3], "sha256": "", "dim": 4, "tokens": "many", "truncated": 0}\n'),
    ("vectors", "v/queries/en.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 8), }\r\n ")),
    ("vectors", "v/vectors.json", b'{"trained_on": true}'),
    ("vectors", "v/queries/en.ids.txt", b"\x80q0\nq1\nq2\n"),
]
"""Parser, file, content: what once ended in a traceback, or with the process."""


@pytest.mark.parametrize(("name", "file", "content"), KEPT)
def test_file_that_once_ended_in_a_traceback_is_read_or_refused(
    name: str, file: str, content: bytes, valid: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(valid(name), folder)
    (folder / file).write_bytes(content)
    survive(PARSERS[name], folder)

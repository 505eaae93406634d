"""Bad input and bad luck: the exit code, a message with the value and what would be right, and nothing half-written."""

from __future__ import annotations

import errno
import gzip
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from toy import make_toy_checkpoint
from toy_task import write_task, write_vectors

from clear_bench import disk
from clear_bench.cli import invoke
from clear_bench.models.safetensors import write_safetensors
from clear_bench.store import embeddings, manifest
from clear_bench.store.folders import publish  # noqa: F401 - loaded before `disk` is patched, so that it keeps the real one

Faulty = Callable[..., str]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to stand in, with the card of a toy task and vectors for it."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task")
    write_vectors(tmp_path / "vectors")
    return tmp_path


@pytest.fixture
def fails(place: Path, capsys: pytest.CaptureFixture[str]) -> Faulty:
    """Run the toy task, expect an exit code, nothing on stdout and nothing in OUT; gives the message."""

    def call(code: int, *arguments: str, model: str = "toy", vectors: bool = True) -> str:
        capsys.readouterr()
        line = ["run", "--model", model, "--tasks", "task/card.toml", "--out", "out", *arguments]
        found = invoke([*line, *(["--vectors", "vectors"] if vectors else [])])
        captured = capsys.readouterr()
        assert (found, captured.out) == (code, ""), captured.err
        assert "Traceback" not in captured.err
        assert not list((place / "out").rglob("*")), "something was left in OUT"
        return captured.err

    return call


def edit(path: str, change: Callable[[str], str]) -> None:
    Path(path).write_text(change(Path(path).read_text()))


# Names and settings: 2


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (("--tasks", "minni"), ("'minni'", "'mini'")),
        (("--tasks", "task/crad.toml"), ("task/crad.toml", "there is no card")),
        (("--pairs", "en:grman"), ("'grman'",)),
        (("--pairs", "en:fr"), ("'en:fr'", "eng-Latn:deu-Latn")),
        (("--pairs", "monolingaul"), ("'monolingaul'", "'monolingual'")),
        (("--metrics", "nDGC@10"), ("'nDGC@10'", "'nDCG@10'")),
        (("--metrics", "recall@"), ("recall@",)),
        (("--index", "fais"), ("'fais'", "'faiss'")),
        (("--limit", "0"), ("--limit", "0")),
        (("--precision", "fp8"), ("fp8", "fp16")),
        (("--similarity", "euclidean"), ("euclidean", "cosine")),
        (("--store-dtype", "int4"), ("int4", "int8")),
        (("--index", "int8:all"), ("int8:all", "int8:8")),
        (("--limt", "3"), ("--limt", "--limit")),
        (("--truncate-dim", "9"), ("9", "8 dimensions")),
    ],
)
def test_unknown_names_and_values_are_usage_errors(
    fails: Faulty, arguments: tuple[str, ...], shown: tuple[str]
) -> None:
    message = fails(2, *arguments)
    assert all(part in message for part in shown), message


@pytest.mark.parametrize(("text", "near"), [("limt = 3", "limit"), ("pair = 'a'", "pairs")])
def test_unknown_key_of_the_configuration_file_is_a_usage_error(fails: Faulty, text: str, near: str) -> None:
    Path("clear-bench.toml").write_text(f"[run]\n{text}\n")
    message = fails(2)
    assert "clear-bench.toml [run]" in message
    assert repr(near) in message


def test_missing_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--tasks", "mini"]) == 2
    assert "--model" in capsys.readouterr().err


# Cards and collections: 3, and 2 for names that do not exist


def without(key: str) -> Callable[[str], str]:
    return lambda card: "\n".join(line for line in card.splitlines() if not line.startswith(key))


@pytest.mark.parametrize(
    ("code", "change", "shown"),
    [
        (3, without("licence"), ("card.toml", "licence")),
        (3, without("qrels"), ("qrels",)),
        (3, lambda card: card.replace("queries/{code}.jsonl", "query/{code}.jsonl"), ("query/en.jsonl", "no file")),
        (3, lambda card: card.replace("[codes]", "[codes"), ("card.toml",)),
        (3, lambda card: card + '[expected]\n"eng-Latn" = { queries = 9 }\n', ("toy", "9", "8")),
        (2, lambda card: card.replace("[files]", "[filse]"), ("card.toml", "'filse'", "'files'")),
        (2, lambda card: card.replace('reader = "jsonl"', 'reader = "jsnol"'), ("'jsnol'", "'jsonl'")),
        (2, lambda card: card.replace('"deu-Latn"', '"dex-Latn"'), ("'dex-Latn'", "'deu-Latn'")),
        (2, lambda card: card.replace("nDCG@10", "nDGC@10"), ("'nDGC@10'", "'nDCG@10'")),
    ],
)
def test_bad_card_is_refused(fails: Faulty, code: int, change: Callable[[str], str], shown: tuple[str, ...]) -> None:
    edit("task/card.toml", change)
    message = fails(code)
    assert all(part in message for part in shown), message


def rows(*changed: dict[str, str]) -> str:
    return "".join(json.dumps(row) + "\n" for row in changed)


@pytest.mark.parametrize(
    ("path", "content", "shown"),
    [
        ("qrels.tsv", b"query-id\tcorpus-id\tscore\nq0\tp99\t1\n", ("qrels.tsv", "line 2", "p99")),
        ("qrels.tsv", b"query-id\tcorpus-id\tscore\nq99\tp0\t1\n", ("qrels.tsv", "line 2", "q99")),
        ("qrels.tsv", b"query-id\tcorpus-id\tscore\nq0\tp0\tyes\n", ("qrels.tsv", "line 2", "yes")),
        ("qrels.tsv", b"query-id\tcorpus-id\tscore\nq0\tp0\t0\n", ("none of the 8 queries",)),
        ("corpus/en.jsonl", b"", ("en.jsonl",)),
        ("corpus/en.jsonl", b'{"_id": "p0", "text": "  "}\n', ("en.jsonl", "line 1", "blank")),
        ("corpus/en.jsonl", b'{"_id": "p0", "text": "a"}\n{"_id": "p0", "text": "b"}\n', ("en.jsonl", "line 2", "p0")),
        ("corpus/en.jsonl", b'{"_id": "p0", "text": "a\xff"}\n', ("en.jsonl", "line 1", "UTF-8")),
        ("corpus/en.jsonl", b'{"_id": "p0", "text": "a"\n', ("en.jsonl", "line 1")),
        ("queries/en.jsonl", b'{"_id": "q0"}\n', ("en.jsonl", "line 1", "text")),
    ],
)
def test_bad_collection_is_refused_with_file_and_line(
    fails: Faulty, path: str, content: bytes, shown: tuple[str, ...]
) -> None:
    (Path("task") / path).write_bytes(content)
    message = fails(3)
    assert all(part in message for part in shown), message


def test_truncated_gzip_is_refused_with_its_name(fails: Faulty) -> None:
    whole = gzip.compress(Path("task/corpus/en.jsonl").read_bytes() * 1)
    Path("task/corpus/en.jsonl").unlink()
    Path("task/corpus/en.jsonl.gz").write_bytes(whole[:-12])
    message = fails(3)
    assert "en.jsonl.gz" in message
    assert "line" in message


def test_pair_without_a_judged_passage_is_refused(fails: Faulty) -> None:
    Path("task/corpus/de.jsonl").write_text(rows({"_id": "p99", "text": "another"}))
    assert "deu-Latn" in fails(3, "--pairs", "en:de")


# Checkpoints: 3


@pytest.fixture
def model(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Its handler holds the stderr of the test that imported transformers first, closed since.
    monkeypatch.setattr(logging.getLogger("transformers"), "handlers", [])
    return make_toy_checkpoint(place / "model")


def test_folder_without_a_model_is_refused(fails: Faulty, place: Path) -> None:
    (place / "empty").mkdir()
    message = fails(3, model="empty", vectors=False)
    assert "empty is not a checkpoint" in message
    assert "modules.json" in message


def test_name_that_leads_nowhere_is_a_usage_error(fails: Faulty) -> None:
    message = fails(2, model="modle", vectors=False)
    assert "'modle'" in message
    assert "embedded:NAME" in message


def test_unknown_embedded_model_is_a_usage_error(fails: Faulty) -> None:
    assert "'me5-small-q4'" in fails(2, model="embedded:me5-smal-q4", vectors=False)


def test_truncated_safetensors_are_refused(fails: Faulty, model: Path) -> None:
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    message = fails(3, model="model", vectors=False)
    assert "model.safetensors is truncated" in message
    assert "copy it again" in message


def test_pickled_weights_need_their_flag(fails: Faulty, model: Path) -> None:
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    message = fails(3, model="model", vectors=False)
    assert "pytorch_model.bin" in message
    assert "--allow-pickle" in message


def test_remote_code_needs_its_flag_and_does_not_run(fails: Faulty, model: Path, place: Path) -> None:
    (model / "modeling_toy.py").write_text(f"open({str(place / 'ran')!r}, 'w')\n")
    edit("model/config.json", lambda text: json.dumps(json.loads(text) | {"auto_map": {"AutoModel": "modeling_toy.M"}}))
    message = fails(3, model="model", vectors=False)
    assert "modeling_toy.py" in message
    assert "--trust-remote-code" in message
    assert not (place / "ran").exists()


def rewrite(folder: Path, change: Callable[[str, np.ndarray], np.ndarray | None]) -> None:
    """Change the weights of a checkpoint; what becomes None is left out."""
    from safetensors.numpy import load_file

    values = {name: change(name, value) for name, value in load_file(folder / "model.safetensors").items()}
    write_safetensors(
        folder / "model.safetensors",
        [(name, value.shape, lambda v=value: v) for name, value in values.items() if value is not None],
    )


def test_model_whose_vectors_are_nan_is_refused(fails: Faulty, model: Path) -> None:
    rewrite(model, lambda name, value: value * (np.nan if "word_embeddings" in name else 1))
    message = fails(3, model="model", vectors=False)
    assert "not finite (NaN or infinity)" in message
    assert "'q0'" in message
    assert "--precision fp32" in message


def test_model_whose_vectors_are_zero_is_refused(fails: Faulty, model: Path) -> None:
    rewrite(model, lambda name, value: value * (0 if "LayerNorm" in name else 1))
    assert "gave a vector that is zero for text 'q0'" in fails(3, model="model", vectors=False)


def test_weights_that_do_not_fit_the_configuration_are_refused(fails: Faulty, model: Path) -> None:
    edit("model/config.json", lambda text: json.dumps(json.loads(text) | {"hidden_size": 48}))
    assert "model cannot be loaded" in fails(3, model="model", vectors=False)


@pytest.mark.parametrize("name", ["encoder.layer.0.attention.self.query.weight", "embeddings.LayerNorm.bias"])
def test_weights_with_a_gap_are_refused(fails: Faulty, model: Path, name: str) -> None:
    """Transformers fills it with random numbers and goes on: every run would score differently."""
    rewrite(model, lambda found, value: None if found == name else value)
    message = fails(3, model="model", vectors=False)
    assert "model lacks weights that its configuration asks for" in message
    assert name in message


def test_weights_that_lack_several_layers_are_refused(fails: Faulty, model: Path) -> None:
    """Transformers reports up to ten layers on one line, with commas and blanks between their numbers."""
    edit("model/config.json", lambda text: json.dumps(json.loads(text) | {"num_hidden_layers": 4}))
    message = fails(3, model="model", vectors=False)
    assert "model lacks weights that its configuration asks for" in message
    assert "encoder.layer.{2, 3}." in message


def test_vectors_of_the_wrong_width_are_refused(fails: Faulty, place: Path) -> None:
    path = place / "vectors" / "passages" / "de.npy"
    np.save(path, np.load(path)[:, :5])
    message = fails(3)
    assert "5" in message
    assert "8" in message


def test_vectors_of_other_texts_are_refused(fails: Faulty, place: Path) -> None:
    path = place / "vectors" / "passages" / "de.npy"
    np.save(path, np.load(path)[:5])
    assert "vectors/passages/de.npy holds float32 [5, 8]" in fails(3)


# Hub, disk, memory: 4


def test_unreachable_hub_names_the_model_and_the_way_to_go_on(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "clear_bench", "run", "--model", "organisation/name@v2", "--tasks", "task/card.toml"],
        capture_output=True, text=True, timeout=240, cwd=place,
        env=os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(place / "hub")},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (4, "")
    assert "http://127.0.0.1:9 cannot be reached for 'organisation/name' at revision 'v2'" in done.stderr
    assert "go on offline" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (place / "results").exists()


def test_offline_run_never_asks_the_hub(fails: Faulty) -> None:
    assert "this run is offline" in fails(4, "--offline", model="organisation/name", vectors=False)


@pytest.mark.parametrize("where", [disk, manifest])
def test_full_disk_is_named_and_leaves_nothing(
    fails: Faulty, monkeypatch: pytest.MonkeyPatch, where: object, place: Path
) -> None:
    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    # What a file needs of the disk is only certain at fsync; `disk` stands for the cache, `manifest` for OUT.
    monkeypatch.setattr(where, "sync", full)
    message = fails(4)
    assert "the disk is full" in message
    assert "--cache-dir" in message
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert not list((place / "cache").rglob("*.tmp"))
    monkeypatch.setenv("CLEAR_BENCH_CACHE", str(place / "cache"))
    assert invoke(["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml", "--out", "out"]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_shard_that_does_not_fit_says_that_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's own error for that has no errno, so it looked like a bug of ours."""
    from clear_bench.errors import EnvironmentFault

    monkeypatch.setattr(disk.tempfile, "mkstemp", lambda **_: (os.open("/dev/full", os.O_WRONLY), "/dev/full"))
    monkeypatch.setattr(disk.Path, "unlink", lambda self, missing_ok=False: None)
    key = embeddings.EmbeddingKey("0" * 64, "1" * 64, "query", "")
    shards = embeddings.EmbeddingStore(tmp_path).open(key, 1024)
    with pytest.raises(EnvironmentFault, match="the disk is full"):
        shards.write(0, np.ones((1024, 64), np.float32), None, None)


def test_folder_that_is_a_file_is_named(fails: Faulty, place: Path) -> None:
    (place / "taken").write_text("a file")
    assert "taken" in fails(4, "--cache-dir", "taken")
    assert "taken" in fails(4, "--out", "taken")


def test_memory_that_runs_out_is_no_traceback(fails: Faulty, monkeypatch: pytest.MonkeyPatch) -> None:
    def greedy(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("clear_bench.encode._checked", greedy)
    assert "out of memory: try a smaller --batch-tokens" in fails(4)


# Some tasks fail after the start: 5


def test_finished_task_is_kept_when_a_later_one_fails(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_task(place / "other", "other", size=9)  # the vectors have eight rows
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml,other/card.toml"]
    assert invoke([*line, "--out", "out"]) == 5
    error = capsys.readouterr().err
    assert "other failed" in error
    assert "Finished and saved: toy" in error
    assert [path.parent.name for path in place.glob("out/*/*/manifest.json")] == ["toy"]
    assert [path.name for path in next((place / "out").iterdir()).iterdir()] == ["toy"]


# Interrupts, and two at once

PROGRAM = """
import sys, time
from pathlib import Path
from toy_task import WordEncoder
from clear_bench.cli import main
from clear_bench.models import loading, objects
from clear_bench.store import embeddings

pause, log = float(sys.argv.pop(1)), Path(sys.argv.pop(1))
embeddings.SMALL_SHARD, objects.CHUNK = 32, 16

class Slow(WordEncoder):
    def encode(self, texts):
        with log.open("a") as file:
            file.write("".join(text + "\\n" for text in texts))
        time.sleep(pause)
        return super().encode(texts)

loading.load_encoder = lambda *_: objects.ObjectEncoder(Slow())
main()
"""
"""The command line with an encoder that is slow, tells what it encodes, and stores its vectors in small shards."""

SIZE, SHARD = 150, 32
SETS = 4
TOTAL = SETS * SIZE
"""Texts of two pairs, de:en and en:de: two query sets and two corpora."""


@pytest.fixture
def slow(place: Path) -> SimpleNamespace:
    """The slow program: `start` it in the background, `finish` it in one go; `encoded` lists what was encoded."""
    write_task(place / "task", size=SIZE)
    make_toy_checkpoint(place / "model")
    (place / "program.py").write_text(PROGRAM)
    log = place / "log"

    def start(pause: float = 0.0, out: str = "out", cache: str = "kept") -> subprocess.Popen[str]:
        command = [sys.executable, "program.py", str(pause), str(log), "run", "--model", "model"]
        command += ["--tasks", "task/card.toml", "--pairs", "de:en,en:de", "--out", out, "--cache-dir", cache]
        path = os.pathsep.join([str(Path(__file__).parent / "support"), str(Path(__file__).parents[1])])
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": path}
        )

    def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
        out, err = process.communicate(timeout=240)
        return process.returncode, out, err

    def encoded() -> list[str]:
        return log.read_text().splitlines() if log.exists() else []

    return SimpleNamespace(start=start, finish=finish, encoded=encoded, log=log)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < end, "the program did not come so far"
        time.sleep(0.01)


def shards_of(cache: str) -> int:
    return sum(len(path.read_text().splitlines()) for path in Path(cache).rglob("manifest.jsonl"))


def content(out: str, cache: str) -> dict[str, bytes]:
    """Everything that must be the same, byte for byte, whatever happened on the way."""
    found = {path.name: path.read_bytes() for path in Path(out).glob("*/*/*.parquet")}
    return found | {str(path.relative_to(cache)): path.read_bytes() for path in Path(cache).rglob("*.npy")}


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (signal.SIGINT, 130),
        pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow),
        (signal.SIGKILL, -signal.SIGKILL),
    ],
)
def test_run_goes_on_after_an_interrupt_where_it_stopped(
    slow: SimpleNamespace, sent: signal.Signals, code: int
) -> None:
    process = slow.start(pause=0.05)
    # In the middle of the second text set, in the middle of a shard.
    wait_for(lambda: shards_of("kept") == 6 and len(slow.encoded()) >= 6 * SHARD, process)
    process.send_signal(sent)
    found, out, error = slow.finish(process)
    assert (found, out) == (code, "")
    assert "Traceback" not in error
    assert not list(Path("out").glob("*/[!.]*")), "no result"
    if sent != signal.SIGKILL:
        assert not list(Path("out").glob("*")), "and no temporary folder"
    kept = sum(line["rows"][1] - line["rows"][0] for path in Path("kept").rglob("manifest.jsonl")
               for line in map(json.loads, path.read_text().splitlines()))  # fmt: skip
    slow.log.unlink()
    assert slow.finish(slow.start())[0] == 0
    again = slow.encoded()
    assert len(again) == TOTAL - kept, "what was kept is not encoded again"
    assert len(again) - len(set(again)) == 0
    assert not list(Path("out").glob("*/.*")), "what a killed run left is removed by the next one"
    assert slow.finish(slow.start(out="fresh", cache="empty"))[0] == 0
    assert content("out", "kept") == content("fresh", "empty")
    assert not list(Path("kept").rglob("*.tmp"))


def test_two_processes_share_a_cache_and_a_result(slow: SimpleNamespace) -> None:
    processes = [slow.start(pause=0.02) for _ in range(2)]
    done = [slow.finish(process) for process in processes]
    assert [code for code, _, _ in done] == [0, 0], done
    assert done[0][1] == done[1][1]
    assert sorted(slow.encoded()) == sorted(set(slow.encoded())), "no text was encoded twice"
    assert len(slow.encoded()) == TOTAL
    assert [path.name for path in next(Path("out").iterdir()).iterdir()] == ["toy"]
    assert invoke(["verify", str(next(Path("out").iterdir())), "--task", "task/card.toml"]) == 0


@pytest.mark.slow
def test_damaged_shard_is_encoded_again_and_nothing_else(slow: SimpleNamespace) -> None:
    assert slow.finish(slow.start())[0] == 0
    before = content("out", "kept")
    path = sorted(Path("kept").rglob("000001.npy"))[0]
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    slow.log.unlink()
    code, _, error = slow.finish(slow.start(out="other"))
    assert code == 0
    assert "does not match its checksum; it is encoded again" in error
    assert len(slow.encoded()) == SHARD
    assert content("other", "kept") == before

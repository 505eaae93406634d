from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from toy import make_toy_checkpoint
from toy_task import write_many

import clear_bench
from clear_bench.cli import invoke
from clear_bench.cluster import devices, processes
from clear_bench.cluster.devices import choose_devices
from clear_bench.cluster.processes import TRIES, at_work
from clear_bench.cluster.worker import Loading, Unit
from clear_bench.encode import PromptedTexts
from clear_bench.errors import CheckpointError, EnvironmentFault, MissingExtraError, UsageError
from clear_bench.models.rows import EncodedRows
from clear_bench.models.safetensors import write_safetensors
from clear_bench.settings import ModelSettings
from clear_bench.store.embeddings import EmbeddingKey, EmbeddingStore
from clear_bench.types import Checkpoint, Texts, make_texts

PASSAGES = 5_000
"""Five shards of 1,024 rows, the last one short."""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vector's last bits may depend on the number of threads."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


# The names: no process is started


@pytest.mark.parametrize(
    ("given", "gpus", "expected"),
    [
        ("cpu,cpu", 0, ("cpu", "cpu")),
        (["cpu", "cpu"], 4, ("cpu", "cpu")),
        ("3", 0, ("cpu",) * 3),
        (2, 4, ("cuda:0", "cuda:1")),
        ("cuda", 2, ("cuda:0", "cuda:1")),
        (" cuda:3 , cuda:1", 4, ("cuda:3", "cuda:1")),
    ],
)
def test_devices_are_names_or_a_number(
    given: str, gpus: int, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    assert choose_devices(given) == expected


@pytest.mark.parametrize(
    ("given", "gpus", "error", "shown"),
    [
        ("cuda:7", 2, EnvironmentFault, "there is no cuda:7 here; torch finds cuda:0 to cuda:1"),
        ("cuda", 0, EnvironmentFault, "there is no cuda:0 here; torch finds no CUDA device"),
        ("3", 1, EnvironmentFault, "there is no cuda:1 here; torch finds one CUDA device, cuda:0"),
        ("cuda:0,cuda:0", 2, UsageError, "cuda:0 stands there twice"),
        ("cpu,cuda:0", 2, UsageError, "devices of one kind"),
        ("cpu,gpu", 2, UsageError, "'gpu' is not a device"),
        ("cuda,cuda:1", 2, UsageError, "'cuda' is not a device"),
        ("0", 2, UsageError, "'0' is not a device"),
        ("-1", 2, UsageError, "'-1' is not a device"),
        ("", 2, UsageError, "'' is not a device"),
    ],
)
def test_devices_that_make_no_sense_or_are_not_there_are_refused(
    given: str, gpus: int, error: type[Exception], shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_gpus", lambda: gpus)
    with pytest.raises(error, match=r"--devices") as raised:
        choose_devices(given)
    assert shown in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (("--devices", "cpu,cpu", "--engine", "ray"), 2, "--engine ray has workers of its own"),
        (("--devices", "cpu,cpu", "--device", "cpu"), 2, "give one of them"),
        (("--devices", "cpu,cpu", "--model", "bm25"), 2, "--devices cpu,cpu needs a model that its workers can open"),
        (("--devices", "cpu,cpu", "--vectors", "vectors"), 2, "needs a model that its workers can open"),
        (("--devices", "cuda:99"), 4, "no cuda:99 here; torch finds no CUDA device"),
        (("--devices", "cpu,cuda:0"), 2, "devices of one kind"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    arguments: tuple[str, ...],
    code: int,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from toy_task import write_task, write_vectors

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(devices, "_gpus", lambda: 0)
    write_task(tmp_path / "task")
    write_vectors(tmp_path / "vectors")
    make_toy_checkpoint(tmp_path / "toy")
    assert invoke(["run", "--model", "toy", "--tasks", "task/card.toml", "--out", "out", *arguments]) == code
    captured = capsys.readouterr()
    assert shown in captured.err
    assert (captured.out, captured.err.count("\n"), Path("out").exists()) == ("", 1, False)


def test_a_model_in_memory_cannot_travel(tmp_path: Path) -> None:
    class Model:
        def encode(self, texts: list[str]) -> np.ndarray:
            return np.ones((len(texts), 2))

    with pytest.raises(UsageError, match=r"--devices cpu,cpu needs a model that its workers can open"):
        clear_bench.evaluate(Model(), "mini", pairs="en:en", devices="cpu,cpu")


def test_an_error_with_arguments_of_its_own_survives_the_way_back() -> None:
    ours, theirs = multiprocessing.Pipe()
    theirs.send(MissingExtraError("torch", "cpu"))
    assert str(ours.recv()) == str(MissingExtraError("torch", "cpu"))


# The pool, with threads in the place of processes


class ThreadPlace:
    """A worker that answers what a function of its unit says; `None` is sudden death."""

    device = "cpu"

    def __init__(self, answer: Callable[[Unit], object]) -> None:
        self.answer, self.deaths = answer, 0
        self.connection: Connection | None = None
        self.is_over = False

    def connect(self) -> Connection:
        if self.is_over:
            raise CancelledError
        if self.connection is None:
            self.connection, self.theirs = multiprocessing.Pipe()
            threading.Thread(target=self._work, args=(self.theirs,), daemon=True).start()
        return self.connection

    def _work(self, theirs: Connection) -> None:
        try:
            while True:
                unit = theirs.recv()
                theirs.send(1)
                answer = self.answer(unit)
                if answer is None:
                    break
                theirs.send(answer)
        except (EOFError, OSError, TypeError):  # the last where `end` has closed it meanwhile
            return
        theirs.close()

    def died(self) -> str:
        self.deaths += 1
        self.connection = None
        if self.is_over:
            raise CancelledError
        return "signal 9"

    def end(self) -> None:
        self.is_over = True
        if self.connection is not None:
            self.theirs.close()


LOADING = Loading("toy", "f" * 64, ModelSettings(), Path("cache"))


def texts(count: int) -> Texts:
    numbers = [f"{i}" for i in range(count)]
    return make_texts("deu-Latn", pa.chunked_array([numbers]), pa.chunked_array([numbers]))


def prompted(count: int) -> PromptedTexts:
    return PromptedTexts(Checkpoint("toy", None, "f" * 64, "", prompts={}), texts(count), "passage", "")


def numbers(unit: Unit) -> EncodedRows:
    return EncodedRows(np.array([[float(text)] for text in unit.texts.text.to_pylist()], np.float32))


def parts(count: int, step: int) -> list[range]:
    return [range(start, min(count, start + step)) for start in range(0, count, step)]


def test_every_part_comes_back_once_with_its_own_rows_and_progress_adds_up() -> None:
    told: list[int] = []
    with at_work(LOADING, [ThreadPlace(numbers) for _ in range(3)]) as pool:
        found = dict(pool.encode(prompted(1000), parts(1000, 7), told.append))
    assert sorted(found, key=lambda rows: rows.start) == parts(1000, 7)
    assert all(encoded.vectors[:, 0].tolist() == list(rows) for rows, encoded in found.items())
    assert sum(told) == 1000


def test_a_part_whose_worker_died_is_made_again_and_its_progress_is_taken_back() -> None:
    died: set[str] = set()

    def once_dead(unit: Unit) -> EncodedRows | None:
        first = unit.texts.text[0].as_py()
        if int(first) % 3 == 0 and first not in died:
            died.add(first)
            return None
        return numbers(unit)

    told: list[int] = []
    with at_work(LOADING, [ThreadPlace(once_dead) for _ in range(2)]) as pool:
        found = dict(pool.encode(prompted(100), parts(100, 10), told.append))
    assert len(found) == 10
    assert died == {"0", "30", "60", "90"}
    assert sum(told) == 100


def test_a_part_that_kills_every_worker_ends_the_run_after_a_few() -> None:
    place = ThreadPlace(lambda _: None)
    with (
        pytest.raises(EnvironmentFault, match=r"3 workers on cpu died over the same 10 texts in deu-Latn \(signal 9\)"),
        at_work(LOADING, [place]) as pool,
    ):
        list(pool.encode(prompted(100), parts(100, 10), lambda _: None))
    assert place.deaths >= TRIES  # the next part may have begun before the pool ended


def test_an_error_of_one_worker_ends_the_others_at_once() -> None:
    forever = threading.Event()

    def fails_first(unit: Unit) -> object:
        if unit.texts.text[0].as_py() == "0":
            return CheckpointError("the weights are bad")
        forever.wait()
        return None

    started = time.monotonic()
    places = [ThreadPlace(fails_first) for _ in range(2)]
    try:
        with pytest.raises(CheckpointError, match="the weights are bad"), at_work(LOADING, places) as pool:
            pool.each(lambda n: list(pool.encode(prompted(n), parts(n, 10), lambda _: None)), [100, 100])
    finally:
        forever.set()
    assert time.monotonic() - started < 30


def test_a_run_that_ends_waits_for_no_other_process(tmp_path: Path) -> None:
    key = EmbeddingKey("a" * 64, "b" * 64, "passage", "")

    def wait_or_fail(waits: bool) -> None:
        if not waits:
            raise CheckpointError("the weights are bad")
        with EmbeddingStore(tmp_path).open(key, 10).lock(lambda: pool.is_over):
            pytest.fail("two runs held one lock")

    with (
        EmbeddingStore(tmp_path).open(key, 10).lock(),  # as another run does, for as long as this test lasts
        pytest.raises(CheckpointError, match="the weights are bad"),
        at_work(LOADING, [ThreadPlace(numbers) for _ in range(2)]) as pool,
    ):
        pool.each(wait_or_fail, [True, False])


def test_small_text_sets_are_encoded_at_once() -> None:
    both = threading.Barrier(2, timeout=120)  # breaks unless two workers meet

    def meet(unit: Unit) -> EncodedRows:
        both.wait()
        return numbers(unit)

    with at_work(LOADING, [ThreadPlace(meet) for _ in range(2)]) as pool:
        sets = pool.each(lambda n: dict(pool.encode(prompted(n), [range(n)], lambda _: None)), [3, 4, 5, 6])
    assert [len(encoded.vectors) for (encoded,) in (found.values() for found in sets)] == [3, 4, 5, 6]


# Real processes


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy_checkpoint(tmp_path_factory.mktemp("models") / "toy")


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_many(tmp_path_factory.mktemp("many"), PASSAGES, 30)


def line(model: Path, card: Path, folder: Path) -> list[str]:
    places = ["--cache-dir", str(folder / "cache"), "--out", str(folder / "out")]
    return ["run", "--model", str(model), "--tasks", str(card), *places]


def made(folder: Path) -> dict[str, bytes]:
    """The files that two runs must have in common: vectors, scores and hits."""
    vectors = {str(path.relative_to(folder)): path.read_bytes() for path in folder.glob("cache/embeddings/*/*/*.npy")}
    return vectors | {name: next(folder.glob(f"out/*/many/{name}.parquet")).read_bytes() for name in ("scores", "run")}


def shards(folder: Path) -> int:
    return len(list(folder.glob("cache/embeddings/*/*/0*.npy")))


@pytest.fixture(scope="module")
def alone(toy: Path, card: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What one process makes, with one thread."""
    folder = tmp_path_factory.mktemp("alone")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        assert invoke(line(toy, card, folder)) == 0
    finally:
        torch.set_num_threads(threads)
    return made(folder)


@pytest.fixture
def killer() -> Iterator[Callable[[Callable[[], bool]], list[int]]]:
    """Kill a worker process of this one as soon as something is true; gives the list of the killed."""
    stop = threading.Event()

    def start(ready: Callable[[], bool]) -> list[int]:
        killed: list[int] = []

        def kill() -> None:
            while not stop.wait(0.005):
                if ready() and (alive := multiprocessing.active_children()):
                    killed.append(alive[0].pid or 0)
                    alive[0].kill()
                    return

        threading.Thread(target=kill, daemon=True).start()
        return killed

    yield start
    stop.set()


@pytest.mark.slow
def test_two_workers_of_which_one_is_killed_give_the_bytes_of_one_process(
    toy: Path, card: Path, alone: dict[str, bytes], tmp_path: Path, killer: Callable[..., list[int]]
) -> None:
    killed = killer(lambda: shards(tmp_path) > 0)
    assert invoke([*line(toy, card, tmp_path), "--devices", "cpu,cpu"]) == 0
    assert len(killed) == 1
    assert made(tmp_path) == alone
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_model_error_in_a_worker_is_that_of_one_process(
    card: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file

    broken = make_toy_checkpoint(tmp_path / "broken")
    values = load_file(broken / "model.safetensors")
    name = next(name for name in values if "encoder.layer.0.output.dense.weight" in name)
    kept = [(key, value.shape, lambda value=value: value) for key, value in values.items() if key != name]
    write_safetensors(broken / "model.safetensors", kept)
    found = []
    for more in ((), ("--devices", "cpu,cpu")):
        code = invoke([*line(broken, card, tmp_path / "x"), *more])
        found.append((code, capsys.readouterr().err))
    assert found[0] == found[1]
    assert found[0][0] == 3
    assert "lacks weights" in found[0][1]
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_and_keeps_finished_shards(toy: Path, card: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clear_bench", *line(toy, card, tmp_path), "--devices", "cpu,cpu"]
    # A group of its own, as a terminal's foreground job has, so that the signal goes to all of it.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True) as run:
        while not shards(tmp_path) and run.poll() is None:
            time.sleep(0.005)
        os.killpg(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=240)
    assert run.returncode == 130
    told = [line for line in errors.splitlines() if line and not line.startswith("encoding many:")]
    assert told == ["interrupted; finished work is kept"]
    assert shards(tmp_path) > 0
    assert is_gone(run.pid)


@pytest.mark.slow
def test_workers_of_a_killed_run_end_too(toy: Path, card: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "clear_bench", *line(toy, card, tmp_path), "--devices", "cpu,cpu"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while not shards(tmp_path) and run.poll() is None:
            time.sleep(0.005)
        run.kill()
    assert is_gone(run.pid)


def is_gone(group: int) -> bool:
    """Whether a process group has nobody left, after some seconds at most."""
    for _ in range(200):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


# torchrun


def torchrun(*arguments: str) -> list[str]:
    return [
        sys.executable,
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "clear_bench", *arguments),
    ]


@pytest.mark.slow
def test_torchrun_gives_the_bytes_of_one_process_and_prints_once(
    toy: Path, card: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    command = torchrun(*line(toy, card, tmp_path), "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    assert json.loads(done.stdout)["results"][0]["n_queries"] == 100
    assert made(tmp_path) == alone
    again = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)  # nothing to encode
    assert again.stdout == done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "shown"),
    [
        (("--limt", "3"), 2, "No such option"),
        (("--devices", "cpu,cpu"), 2, "each takes one device"),
        (("--tasks", "minni"), 2, "'mini'"),
    ],
)
def test_under_torchrun_rank_0_alone_says_what_is_wrong_and_all_exit_with_its_code(
    arguments: tuple[str, ...], code: int, shown: str, toy: Path, card: Path, tmp_path: Path
) -> None:
    command = torchrun(*line(toy, card, tmp_path), *arguments)
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1, "torchrun's own code"
    assert done.stderr.count(shown) == 1
    assert done.stderr.count(f"exitcode  : {code} ") == 2
    assert done.stdout == ""


@pytest.mark.slow
def test_a_killed_rank_ends_all_and_the_next_run_goes_on(
    toy: Path, card: Path, alone: dict[str, bytes], tmp_path: Path
) -> None:
    import psutil

    with subprocess.Popen(torchrun(*line(toy, card, tmp_path)), stderr=subprocess.PIPE, text=True) as run:
        while not shards(tmp_path) and run.poll() is None:
            time.sleep(0.005)
        ranks = psutil.Process(run.pid).children()
        rank_1 = next(one for one in ranks if one.environ().get("RANK") == "1")
        rank_1.kill()
        _, errors = run.communicate(timeout=240)
    assert run.returncode == 1, errors
    assert not psutil.wait_procs(ranks, timeout=30)[1]
    kept = shards(tmp_path)
    assert kept > 0
    assert not list(tmp_path.glob("out/*/many/manifest.json"))
    done = subprocess.run(torchrun(*line(toy, card, tmp_path)), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    assert made(tmp_path) == alone


@pytest.mark.gpu
@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_worker_gives_the_bytes_of_one_process_on_the_gpu(toy: Path, card: Path, tmp_path: Path) -> None:
    assert invoke([*line(toy, card, tmp_path / "one"), "--device", "cuda"]) == 0
    assert invoke([*line(toy, card, tmp_path / "all"), "--devices", "cuda"]) == 0
    assert made(tmp_path / "all") == made(tmp_path / "one")


def test_no_worker_starts_where_nothing_is_missing(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "ensure_running", lambda: pytest.fail("a pool was opened"))
    command = ["run", "--model", str(toy), "--tasks", "mini", "--pairs", "en:en", "--cache-dir", str(tmp_path / "c")]
    assert invoke([*command, "--out", str(tmp_path / "first")]) == 0
    assert invoke([*command, "--out", str(tmp_path / "second"), "--devices", "cpu,cpu"]) == 0

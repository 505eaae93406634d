from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from toy import make_toy_checkpoint
from toy_task import write_many

from clear_bench import cluster
from clear_bench.cli import invoke
from clear_bench.cluster import index
from clear_bench.cluster.index import groups, merged

COUNT = 6_000
"""Passages: six shards of 1,024 rows, the last one short."""


def test_groups_depend_on_the_rows_alone_and_none_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "GROUP", 1500)
    parts = [np.zeros((rows, 2), np.float32) for rows in (700, 700, 700, 700, 20)]
    assert [[len(part) for part in group] for group in groups(parts)] == [[700, 700, 700, 700, 20]]
    parts = [np.zeros((rows, 2), np.float32) for rows in (700, 700, 700, 700, 700, 800)]
    assert [sum(map(len, group)) for group in groups(parts)] == [2100, 2200]


def test_merged_hits_are_the_best_of_both_in_any_order() -> None:
    rng = np.random.default_rng(0)
    similarities = rng.integers(0, 6, (4, 30)).astype(np.float32)  # ties everywhere
    halves = []
    for columns in (np.arange(0, 12), np.arange(12, 30)):
        order = np.argsort(-similarities[:, columns], axis=1, kind="stable")[:, :10]
        halves.append((np.take_along_axis(similarities[:, columns], order, 1), columns[order]))
    found = merged(merged(None, halves[0], 10), halves[1], 10)
    other = merged(merged(None, halves[1], 10), halves[0], 10)
    best = np.argsort(-similarities, axis=1, kind="stable")[:, :10]
    assert np.array_equal(found[1], best)
    assert all(np.array_equal(one, two) for one, two in zip(found, other, strict=True))


def test_a_model_in_memory_cannot_travel(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    arguments = ["--vectors", str(tmp_path), "--model", "x", "--tasks", "mini", "--engine", "ray"]
    assert invoke(["run", *arguments]) in {2, 3}


@pytest.fixture
def card(tmp_path: Path) -> Path:
    return write_many(tmp_path / "many", COUNT, 40)


SCRIPT = """
import os, signal, sys, threading, time
from pathlib import Path
import psutil
from clear_bench.cluster import index
from clear_bench.cli import main

index.GROUP = 2000
what, cache, arguments = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]

def written():
    return len(list(cache.glob("embeddings/*/*/0*.npy")))

def kill():
    while written() < 2:
        time.sleep(0.01)
    own = psutil.Process().children(recursive=True)
    names = {"worker": ["ray::Worker"], "cluster": ["gcs_server", "ray::Worker"], "node": ["raylet"]}[what]
    chosen = [one for one in own if any(name in " ".join(one.cmdline()[:1] or [one.name()]) for name in names)]
    print("killed", [one.name() for one in chosen], "after", written(), file=sys.stderr, flush=True)
    for one in chosen[:1] if what == "worker" else chosen:
        one.send_signal(signal.SIGKILL)

if what != "nothing":
    threading.Thread(target=kill, daemon=True).start()
try:
    main(arguments)
finally:
    print("files", written(), file=sys.stderr, flush=True)
"""


def run(tmp_path: Path, card: Path, what: str, *options: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    name = "-".join([what, *options]).replace("--", "")
    cache, out = tmp_path / f"cache-{name}", tmp_path / name
    model = make_toy_checkpoint(tmp_path / "toy") if not (tmp_path / "toy").exists() else tmp_path / "toy"
    arguments = ["run", "--model", str(model), "--tasks", str(card), "--cache-dir", str(cache), "--out", str(out)]
    command = [sys.executable, "-c", SCRIPT, what, str(cache), *arguments, *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    return done, out


def scores(out: Path) -> list[bytes]:
    return [next(out.glob(f"*/many/{name}.parquet")).read_bytes() for name in ("scores", "run")]


RAY = ("--engine", "ray", "--ray-workers", "2")


@pytest.mark.slow
@pytest.mark.skipif(not cluster.is_installed(), reason="ray is not installed")
def test_a_killed_worker_is_replaced_and_the_scores_are_those_of_one_machine(tmp_path: Path, card: Path) -> None:
    local, local_out = run(tmp_path, card, "nothing")
    assert local.returncode == 0, local.stderr
    killed, killed_out = run(tmp_path, card, "worker", *RAY)
    assert killed.returncode == 0, killed.stderr
    assert "ray::Worker" in killed.stderr
    assert scores(killed_out) == scores(local_out)


@pytest.mark.slow
@pytest.mark.skipif(not cluster.is_installed(), reason="ray is not installed")
def test_a_killed_node_on_the_machine_of_the_run_exits_4_and_keeps_what_is_finished(tmp_path: Path, card: Path) -> None:
    gone, out = run(tmp_path, card, "node", *RAY)
    assert gone.returncode == 4, gone.stderr
    assert "what is finished is kept: run the same command again" in gone.stderr
    assert not list(out.glob("*/many/manifest.json"))


@pytest.mark.slow
@pytest.mark.skipif(not cluster.is_installed(), reason="ray is not installed")
def test_a_cluster_that_vanishes_exits_4_and_keeps_what_is_finished(tmp_path: Path, card: Path) -> None:
    gone, out = run(tmp_path, card, "cluster", *RAY)
    assert gone.returncode == 4, gone.stderr
    assert "does not answer any more" in gone.stderr
    assert not list(out.glob("*/many/manifest.json"))
    kept = len(list((tmp_path / "cache-cluster-engine-ray-ray-workers-2").glob("embeddings/*/*/0*.npy")))
    assert kept >= 2


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("os._exit(0)", 0),
        ("os._exit(3)", 3),
        ("os._exit(130)", 130),
        ("os._exit(1)", 4),
        ("os.kill(os.getpid(), 9)", 4),
    ],
)
def test_a_process_that_waits_gives_the_exit_code_of_the_run_and_4_for_what_ray_does_to_it(end: str, code: int) -> None:
    program = (
        "import os, sys\n"
        "from clear_bench import console\n"
        "from clear_bench.cli.supervise import supervise\n"
        "try:\n"
        "    code = supervise()\n"
        f"    sys.exit(code) if code is not None else {end}\n"
        "except Exception as error:\n"
        "    sys.exit(console.ending(error)[0])\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=240).returncode == code

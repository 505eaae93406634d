"""What a person sees while a run trains, what an interrupted run says, and what a killed one goes on from."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_training import RECIPES, smoke

from clear_bench.errors import InputError, Interrupted, UsageError
from clear_bench.train.loop import Journal, RoleTrainer
from clear_bench.train.record import COUNTERS, last_state
from clear_bench.train.trainer import train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")

LINE = re.compile(
    r"train: (\d+) of (\d+) steps, loss [\d.]+ \(forward [\d.]+, reverse [\d.]+, kl [\d.]+\), "
    r"[\d,]+ tokens/s, about ([\d,]+|inf) s left"
)


def start(
    base: Path, collection: Path, out: Path, *words: str, python: Sequence[str] = ("-m", "clear_bench")
) -> subprocess.Popen[str]:
    sets = [word for value in (f"model.base={base}", f"data.collection={collection}") for word in ("--set", value)]
    command = [sys.executable, *python, "-v", "train", str(RECIPES / "smoke.toml"), *sets, *words]
    return subprocess.Popen([*command, "--out", str(out)], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                            env={**os.environ, "OMP_NUM_THREADS": "1"})  # fmt: skip


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 240
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.002)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def steps_of(folder: Path, key: str = "loss") -> list[int]:
    lines = (folder / "logs" / "train.jsonl").read_text().splitlines()
    return [line["step"] for line in map(json.loads, lines) if key in line]


def test_a_log_tells_step_loss_parts_rate_and_time_left(
    base: Path, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(smoke(base, collection), tmp_path / "out")
    found = [LINE.fullmatch(line) for line in capsys.readouterr().err.splitlines() if line.startswith("train: ")]
    assert None not in found
    ends = [match.groups() for match in found if match]
    assert (ends[0][:2], ends[-1]) == (("1", "10"), ("10", "10", "0"))
    # Every second step is logged, the first, and the last.
    assert steps_of(tmp_path / "out") == [1, 2, 4, 6, 8, 10]


def test_a_terminal_shows_a_bar_with_the_loss(
    base: Path, collection: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    train(smoke(base, collection, "training.steps=3", "training.log_every=1"), tmp_path / "out")
    shown = capsys.readouterr().err
    assert re.search(r"3/3.*loss [\d.]+ \(forward .*tokens/s", shown)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_what_is_kept_and_how_it_goes_on(
    number: int, code: int, base: Path, collection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "my run"
    process = start(base, collection, out, "--set", "training.steps=2000")
    wait_for(out / ".training" / "checkpoint-8" / COUNTERS, process)
    process.send_signal(number)
    _, said = process.communicate(timeout=240)
    kept = last_state(out / ".training")
    assert kept is not None
    step = kept.name.removeprefix("checkpoint-")
    assert process.returncode == code, said
    assert f"interrupted; the state of step {step} is kept in {kept}" in said
    assert re.search(rf"go on with: clear-bench train \S+/smoke.toml .* --out '{out}' --resume\n", said)
    assert "Traceback" not in said
    assert "4 of 2,000" in said or "1 of 2,000" in said


def test_an_interrupted_run_without_a_state_says_that_nothing_is_kept(
    base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from clear_bench.cli import invoke

    def stop(self: RoleTrainer, *_args: object, **_kwargs: object) -> None:
        raise KeyboardInterrupt

    sets = [f"model.base={base}", f"data.collection={collection}", "training.save_every=0"]
    words = ["train", str(RECIPES / "smoke.toml"), *(word for one in sets for word in ("--set", one))]
    with monkeypatch.context() as patch:
        patch.setattr(RoleTrainer, "training_step", stop)
        assert invoke([*words, "--out", str(tmp_path / "out")]) == 130
        with pytest.raises(Interrupted, match="nothing of this run is kept"):
            train(smoke(base, collection, "training.save_every=0"), tmp_path / "again")
    said = capsys.readouterr().err
    assert "interrupted before a state was saved (training.save_every): nothing of this run is kept" in said
    assert re.search(r"start again with: clear-bench train .* --out \S+out\n", said)
    assert "finished work is kept" not in said
    # That command works: nothing stands in its way.
    assert invoke([*words, "--set", "training.steps=1", "--out", str(tmp_path / "out")]) == 0


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """Add up in the order of the processes that `start` makes: the number of threads decides it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def straight(base: Path, collection: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One uninterrupted smoke run."""
    return train(smoke(base, collection), tmp_path_factory.mktemp("straight") / "out")


def same_run(one: Path, other: Path) -> bool:
    """Whether two folders hold the same weights and count the same work, each step once in the journal."""
    whole, again = weights(one), weights(other)
    seen = [json.loads((folder / "manifest.json").read_text())["seen"] for folder in (one, other)]
    counts = [{key: value for key, value in each.items() if key != "seconds"} for each in seen]
    same = all(torch.equal(whole[name], again[name]) for name in whole)
    return same and counts[0] == counts[1] and steps_of(one) == steps_of(other)


KILL = """
import os, signal, sys
from clear_bench.cli import main
from clear_bench.train.loop import Journal, RoleTrainer
owner, name, step = {"state": (Journal, "on_save", 4), "half": (RoleTrainer, "_save_rng_state", 8)}[sys.argv.pop(1)]
original = getattr(owner, name)
def kill(self, *args, **kwargs):
    original(self, *args, **kwargs)
    if (self.trainer() if owner is Journal else self).state.global_step == step:
        os.kill(os.getpid(), signal.SIGKILL)
setattr(owner, name, kill)
main()
"""


@pytest.mark.parametrize(("when", "kept"), [("state", 4), ("half", 4)], ids=["after a state", "while it writes one"])
def test_a_killed_run_goes_on_to_the_same_weights(
    when: str, kept: int, straight: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    process = start(base, collection, out, python=["-c", KILL, when])
    _, said = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGKILL, said
    state = last_state(out / ".training")
    assert state is not None
    assert state.name == f"checkpoint-{kept}"
    assert (out / ".training" / "checkpoint-8").exists() == (when == "half")
    with pytest.raises(UsageError, match="continue it with --resume"):
        train(smoke(base, collection), out)
    assert same_run(straight, train(smoke(base, collection), out, resume=True))


def test_a_state_that_was_cut_off_before_its_counters_is_not_taken(
    straight: Path, base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = Journal.on_save

    def cut(self: Journal, args: object, state: object, *rest: object, **more: object) -> None:
        if state.global_step == 8:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        original(self, args, state, *rest, **more)  # type: ignore[arg-type]

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "on_save", cut)
        with pytest.raises(Interrupted, match="the state of step 4 is kept"):
            train(smoke(base, collection), out)
    assert (out / ".training" / "checkpoint-8" / "trainer_state.json").is_file()
    assert same_run(straight, train(smoke(base, collection), out, resume=True))


def test_a_run_that_was_killed_before_its_first_state_starts_again(
    straight: Path, base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = RoleTrainer.training_step

    def stop(self: RoleTrainer, *args: object, **kwargs: object) -> torch.Tensor:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        found: torch.Tensor = original(self, *args, **kwargs)
        return found

    for resume in (True, False):
        out = tmp_path / str(resume)
        with monkeypatch.context() as patch:
            patch.setattr(RoleTrainer, "training_step", stop)
            with pytest.raises(Interrupted, match="nothing of this run is kept"):
                train(smoke(base, collection), out)
        with (out / "logs" / "train.jsonl").open("a") as journal:
            journal.write('{"step": 3, "los')  # a kill cuts a line in two
        (out / ".training" / "checkpoint-4").mkdir()  # or leaves the beginning of a state
        assert same_run(straight, train(smoke(base, collection), out, resume=resume))


def test_what_a_kill_after_the_end_leaves_is_cleared_away(
    straight: Path, base: Path, collection: Path, tmp_path: Path
) -> None:
    out = Path(shutil.copytree(straight, tmp_path / "out"))
    (out / ".training" / "checkpoint-8").mkdir(parents=True)
    assert train(smoke(base, collection), out) == out
    assert not (out / ".training").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"identity": 5}', '{"identity": {"recipe": []}}', "[" * 100_000])
def test_a_manifest_of_something_else_is_refused(content: str, base: Path, collection: Path, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises((InputError, UsageError), match="choose another --out"):
        train(smoke(base, collection), tmp_path)

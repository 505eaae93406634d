from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from toy_training import RECIPES, smoke

from clear_bench.errors import CheckpointError, EnvironmentFault
from clear_bench.train.trainer import last_state, train

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def fill_the_disk(patch: pytest.MonkeyPatch, after: int) -> None:
    """Let `after` saves pass and break the next one off half-way."""
    original, calls = SentenceTransformer.save_pretrained, []

    def save(self: Any, path: str, *args: Any, **kwargs: Any) -> None:
        calls.append(path)
        if len(calls) > after:
            Path(path).mkdir(parents=True, exist_ok=True)
            (Path(path) / "model.safetensors").write_bytes(b"half a file")
            raise OSError(28, "No space left on device")
        original(self, path, *args, **kwargs)

    patch.setattr(SentenceTransformer, "save_pretrained", save)


# Steps 4 and 8 save a state, the end saves the model: the second state is cut off, then the model.
@pytest.mark.parametrize("after", [1, 2])
def test_a_full_disk_keeps_the_previous_state_whole_and_the_run_goes_on_from_it(
    after: int, base: Path, collection: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = smoke(base, collection)
    with monkeypatch.context() as patch:
        fill_the_disk(patch, after)
        with pytest.raises(EnvironmentFault, match="disk is full"):
            train(recipe, tmp_path / "out")
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    kept = last_state(tmp_path / "out" / ".training")
    assert kept is not None
    assert Path(kept).name == f"checkpoint-{4 * after}"
    resumed, straight = train(recipe, tmp_path / "out", resume=True), train(recipe, tmp_path / "straight")
    whole = weights(straight)
    assert all(torch.equal(tensor, whole[name]) for name, tensor in weights(resumed).items())


def test_a_base_without_safetensors_is_refused(base: Path, collection: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "pickled"))
    torch.save(weights(folder), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors"):
        train(smoke(folder, collection), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return int(place.getsockname()[1])


@pytest.mark.slow
def test_two_processes_train_as_one_that_accumulates_their_batches(
    base: Path, collection: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(base, tmp_path / "base"))
    config = json.loads((folder / "config.json").read_text())
    quiet = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (folder / "config.json").write_text(json.dumps(config | quiet))
    settings = [f"model.base={folder}", f"data.collection={collection}", "training.steps=4", "training.device=cpu"]
    words = [word for setting in settings for word in ("--set", setting)]
    command = ["-m", "clear_bench", "train", str(RECIPES / "smoke.toml"), *words, "--out", str(tmp_path / "two")]
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, *command],
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    one = train(smoke(folder, collection, "training.steps=4", "training.accumulate=2"), tmp_path / "one")
    expected = weights(one)
    for name, tensor in weights(tmp_path / "two").items():
        # Sums of float32 gradients in another order, four steps of Adam at 1e-3.
        torch.testing.assert_close(tensor, expected[name], atol=2e-4, rtol=1e-3)
    counts = [json.loads((path / "manifest.json").read_text())["seen"] for path in (tmp_path / "two", one)]
    assert (counts[0]["rows"], counts[0]["tokens"]) == (counts[1]["rows"], counts[1]["tokens"])

"""Encoding beside sentence-transformers' own `encode`, on the passages of a card, in one process.

python benchmarks/encode.py [CARD] [--model embedded:me5-small-q4] [--languages ar,en,zh] [--repeat 3]
python benchmarks/encode.py [CARD] --budgets 1024,2048,4096,8192     which number of tokens a batch should have

Language by language, the library with its default batches of 32 (as mteb calls it) and ours take turns, so that load
from elsewhere meets both alike. CPU seconds count all of torch's threads; compare ratios, not seconds. On a shared
machine set OMP_WAIT_POLICY=PASSIVE: threads that spin while they wait for a core count as work.

The share of the matmul rate says how well the device is used: arithmetic of the model's matrices and of attention for
the tokens encoded (padding is no work), over wall time, over the rate at which the same device multiplies two square
matrices in the same precision.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sections import report, table

from clear_bench import languages, readers
from clear_bench.models import load_encoder, open_checkpoint, passage_prompt
from clear_bench.models.encoder import SentenceEncoder
from clear_bench.models.loading import DTYPES
from clear_bench.models.rate import matmul_rate, operations
from clear_bench.settings import ModelSettings
from clear_bench.tasks import find_task
from clear_bench.types import Texts

Vectors = NDArray[np.float32]


def ours(encoder: SentenceEncoder, texts: Texts, prompt: str) -> Vectors:
    return encoder.encode(texts, range(len(texts)), "passage", prompt, lambda _: None).vectors


def library(encoder: SentenceEncoder, texts: list[str], prompt: str) -> Vectors:
    return encoder.model.encode(texts, prompt=prompt, show_progress_bar=False)


@dataclass
class Tally:
    """What one way of encoding cost, over languages and repetitions."""

    cpu: float = 0.0
    wall: float = 0.0
    ratios: list[float] = field(default_factory=list)
    """CPU seconds over those of the first way, per language and repetition."""
    difference: float = 0.0


def take_turns(work: dict[str, Callable[[], Vectors]], tallies: dict[str, Tally]) -> None:
    """Run each way of encoding one language; the first is what the others are compared with."""
    base, expected = 0.0, None
    for name, step in work.items():
        cpu, wall = time.process_time(), time.perf_counter()
        vectors = step()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        if expected is None:
            base, expected = cpu, vectors
        tally = tallies.setdefault(name, Tally())
        tally.cpu += cpu
        tally.wall += wall
        tally.ratios.append(cpu / base)
        tally.difference = max(tally.difference, float(np.abs(vectors - expected).max()))


def side_by_side(
    encoder: SentenceEncoder, prompt: str, sets: list[Texts], budgets: list[int | None], repeat: int
) -> dict[str, Tally]:
    ways = [SentenceEncoder(encoder.model, budget) for budget in budgets]
    ours(encoder, sets[0].head(range(32)), prompt)  # first calls allocate
    tallies: dict[str, Tally] = {}
    for _ in range(repeat):
        for texts in sets:
            strings = texts.text.to_pylist()
            work: dict[str, Callable[[], Vectors]] = {
                "sentence-transformers": lambda strings=strings: library(encoder, strings, prompt)
            }
            for way in ways:
                name = f"clear-bench, {way.batch_tokens} tokens a batch"
                work[name] = lambda way=way, texts=texts: ours(way, texts, prompt)
            take_turns(work, tallies)
    return tallies


def rows(tallies: dict[str, Tally], peak: float, work: float) -> list[tuple[str, ...]]:
    """Lay out the table; `work` are the operations of all repetitions, `peak` the matmul rate."""
    base = tallies["sentence-transformers"]
    return [
        (
            name,
            f"{tally.cpu:.1f}",
            f"{tally.cpu / base.cpu:.2f}",
            f"{min(tally.ratios):.2f} to {max(tally.ratios):.2f}",
            f"{tally.difference:.1e}",
            f"{work / tally.wall / peak:.0%}",
        )
        for name, tally in tallies.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("card", nargs="?", default="xquad", help="task name, or the path of a card; default: xquad")
    parser.add_argument("--model", default="embedded:me5-small-q4")
    parser.add_argument("--languages", help="default: all of the card")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--budgets", help="tokens a batch, comma-separated; default: what the device gets")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--write", action="store_true", help="put the table into RESULTS.md")
    args = parser.parse_args()
    corpora = readers.read(find_task(args.card)).corpora
    chosen = [languages.canonical(code) for code in args.languages.split(",")] if args.languages else list(corpora)
    sets = [corpora[language] for language in chosen]
    checkpoint = open_checkpoint(args.model, ModelSettings(precision=args.precision))
    budgets: list[int | None] = [int(budget) for budget in args.budgets.split(",")] if args.budgets else [None]
    encoder, prompt = load_encoder(checkpoint, ModelSettings(device=args.device)), passage_prompt(checkpoint)
    peak = matmul_rate(torch.device(args.device), DTYPES[args.precision])
    strings = [prompt + text for texts in sets for text in texts.text.to_pylist()]
    lengths = np.array([len(ids) for ids in encoder._tokenise(strings)[0]])
    tallies = side_by_side(encoder, prompt, sets, budgets, args.repeat)
    body = (
        f"{args.model} {args.precision} on {args.device}: {len(strings):,} passages of {lengths.mean():.0f} tokens in "
        f"{len(sets)} languages, {torch.get_num_threads()} threads, in turn, {args.repeat} times. Two square matrices "
        f"are multiplied at {peak / 1e12:.2f} TFLOP/s.\n\n"
    )
    columns = ("encoder", "CPU s", "of sentence-transformers", "languages", "largest difference", "of the matmul rate")
    lines = rows(tallies, peak, args.repeat * operations(encoder.model[0].auto_model, lengths))
    report("encode", "Encoding", body + table(columns, lines), write=args.write)


if __name__ == "__main__":
    main()

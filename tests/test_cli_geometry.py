"""`clear-bench geometry` measures what the store holds, of a result or a model, and says what it cannot."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

import jsonschema
import numpy as np
import pytest
from toy_task import CODES, write_task, write_vectors

from clear_bench.api import make_plans
from clear_bench.api.geometry import Drawn, survey
from clear_bench.cli import invoke
from clear_bench.disk import cache_root
from clear_bench.geometry import MEASURES
from clear_bench.types import Embeddings

SIZE = 40
Key = tuple[str, str, str | None, str | None]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """The result of a toy task whose vectors are precomputed."""
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task", size=SIZE)
    write_vectors(tmp_path / "vectors", size=SIZE, noise=0.3, dimensions=16)
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml", "--out", "out"]
    assert invoke(line) == 0
    capsys.readouterr()
    return next(Path("out").glob("*/toy"))


def measured(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[Key, Mapping[str, Any]]:
    assert invoke(["geometry", *arguments, "--json", "--resamples", "200"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    jsonschema.validate(document, json.loads(files("clear_bench").joinpath("schemas/geometry.json").read_text("utf-8")))
    rows = {(m["name"], m["side"], m["language"], m["other_language"]): m for m in document["measures"]}
    assert len(rows) == len(document["measures"])
    assert {name for name, *_ in rows} <= set(MEASURES)
    return rows


def of_vectors(capsys: pytest.CaptureFixture[str], vectors: Path) -> dict[Key, Mapping[str, Any]]:
    return measured(capsys, "toy", "--vectors", str(vectors), "--tasks", "task/card.toml")


def test_result_is_measured_from_the_store_as_its_model_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored, anew = measured(capsys, str(folder)), of_vectors(capsys, Path("vectors"))
    shutil.rmtree("vectors")
    assert measured(capsys, str(folder.parent), "--tasks", "task/card.toml") == stored
    assert {key: row for key, row in stored.items() if not key[0].startswith(("score", "direct"))} == anew


def test_every_measure_of_every_pair_is_there_with_its_interval(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measured(capsys, str(folder))
    for side in ("query", "passage"):
        for one in CODES:
            for name in ("mean_cosine", "effective_rank", "language_probe_accuracy"):
                assert rows[name, side, one, None]["n"] == SIZE
            for other in set(CODES) - {one}:
                for name in ("translation_cosine", "random_cosine", "bitext_accuracy"):
                    row = rows[name, side, one, other]
                    assert row["n"] == SIZE
                    if row["lower"] is not None:  # all may be found
                        assert row["lower"] <= row["value"] <= row["upper"]
        assert rows["language_variance_share", side, None, None]["n"] == SIZE * len(CODES)
        assert rows["language_chance", side, None, None]["value"] == pytest.approx(1 / 3)
    assert rows["hub_skewness", "passage", "deu-Latn", "ara-Arab"]["n"] == SIZE
    assert ("first_foreign_rank", "query", "deu-Latn", None) in rows
    # Direct pairs are ar:de and de:ar alone; with three languages nothing is regressed on its legs.
    assert ("english_pull", "query", "deu-Latn", "ara-Arab") in rows
    assert not [key for key in rows if key[0].startswith("direct")]


def test_values_are_those_of_the_vectors(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = measured(capsys, str(folder))
    en, de = (np.load(f"vectors/passages/{code}.npy").astype(np.float64) for code in ("en", "de"))
    en, de = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in (en, de))
    own = (en * de).sum(axis=1)
    others = ((en @ de.T).sum() - own.sum()) / (SIZE * (SIZE - 1))
    assert rows["translation_cosine", "passage", "eng-Latn", "deu-Latn"]["value"] == pytest.approx(own.mean(), abs=1e-6)
    assert rows["random_cosine", "passage", "deu-Latn", "eng-Latn"]["value"] == pytest.approx(others, abs=1e-6)
    contrast = rows["translation_contrast", "passage", "deu-Latn", "eng-Latn"]["value"]
    assert contrast == pytest.approx(own.mean() - others, abs=1e-6)


def test_a_rotation_of_the_vectors_changes_no_measure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = of_vectors(capsys, Path("vectors"))
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((16, 16)))[0]
    for path in Path("vectors").glob("*/*.npy"):
        np.save(path, (np.load(path) @ turn).astype(np.float32))
    after = of_vectors(capsys, Path("vectors"))
    for key, row in before.items():
        assert after[key]["value"] == pytest.approx(row["value"], abs=1e-4), key


def test_permuted_ids_destroy_the_alignment_of_their_language_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("vectors/passages/de.npy")
    np.save(path, np.load(path)[np.random.default_rng(0).permutation(SIZE)])
    rows = of_vectors(capsys, Path("vectors"))
    assert rows["bitext_accuracy", "passage", "deu-Latn", "eng-Latn"]["value"] < 0.15
    assert rows["bitext_accuracy", "passage", "ara-Arab", "eng-Latn"]["value"] > 0.9
    assert rows["bitext_accuracy", "query", "deu-Latn", "eng-Latn"]["value"] > 0.9
    same = [rows[name, "passage", "deu-Latn", "eng-Latn"]["value"] for name in ("translation_cosine", "random_cosine")]
    assert abs(same[0] - same[1]) < 0.15


def test_a_language_that_is_moved_is_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = of_vectors(capsys, Path("vectors"))
    path = Path("vectors/passages/de.npy")
    np.save(path, np.load(path) + np.float32(1.5))
    after = of_vectors(capsys, Path("vectors"))
    share, told = ("language_variance_share", "passage", None, None), ("language_probe_accuracy", "passage")
    assert after[share]["value"] > before[share]["value"] + 0.15
    assert after[(*told, "deu-Latn", None)]["value"] > 0.95
    assert after[share]["lower"] > before[share]["upper"]


def test_sample_is_the_same_for_a_seed_and_its_size_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (str(folder), "--sample", "20")
    one, again = measured(capsys, *arguments), measured(capsys, *arguments)
    other = measured(capsys, *arguments, "--seed", "1")
    key = ("translation_cosine", "passage", "deu-Latn", "eng-Latn")
    assert one == again
    assert one[key]["n"] == 20
    assert other[key]["value"] != one[key]["value"]
    assert invoke(["geometry", *arguments]) == 0
    assert "a sample of 20 of up to 40" in capsys.readouterr().err


def test_tables_name_measures_languages_and_hubs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["geometry", str(folder)]) == 0
    out = capsys.readouterr().out
    for word in ("Geometry of toy on toy", "cosine of translations", "German (de)", "Hubs:", "x expected"):
        assert word in out


def test_texts_without_translations_are_not_aligned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Qrels of each language's own say that equal ids mean nothing across languages."""
    monkeypatch.chdir(tmp_path)
    card = write_task(tmp_path / "task", size=SIZE)
    write_vectors(tmp_path / "vectors", size=SIZE, noise=0.3)
    for i, code in enumerate(CODES.values()):
        lines = [f"q{q}\tp{(q + i) % SIZE}\t1" for q in range(SIZE)]
        (tmp_path / f"task/qrels-{code}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n")
    text = (
        card.read_text().replace('"qrels.tsv"', '"qrels-{query}.tsv"').replace('pairs = "all"', 'pairs = "monolingual"')
    )
    card.write_text(text)
    rows = of_vectors(capsys, Path("vectors"))
    assert not [key for key in rows if key[0] in ("translation_cosine", "bitext_accuracy", "english_pull")]
    assert ("language_probe_accuracy", "passage", "deu-Latn", None) in rows
    assert invoke(["geometry", "toy", "--vectors", "vectors", "--tasks", "task/card.toml"]) == 0
    assert "no translations here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("toy", "--vectors", "vectors"), 2, "name the tasks"),
        (("bm25", "--tasks", "task/card.toml"), 2, "bm25 has no vectors"),
        (("out", "--tasks", "mini"), 2, "name the tasks"),
    ],
)
def test_refusals_say_what_would_help(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], code: int, words: str
) -> None:
    if arguments[0] == "out":
        arguments, words = (str(folder), *arguments[1:]), "has no result of mini"
    assert invoke(["geometry", *arguments]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err


def test_result_without_its_vectors_encodes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(cache_root() / "embeddings")
    assert invoke(["geometry", str(folder)]) == 4
    # 3 languages, 40 queries and 40 passages each.
    assert "240 of its texts have no vectors" in capsys.readouterr().err


def test_changed_texts_are_not_those_of_the_result(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("task/corpus/de.jsonl")
    path.write_text(path.read_text().replace("river 0", "lake 0"))
    assert invoke(["geometry", str(folder)]) == 3
    assert "differs from the one that was evaluated" in capsys.readouterr().err


def test_dimensions_that_were_cut_are_measured_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_task(tmp_path / "task", size=SIZE)
    write_vectors(tmp_path / "vectors", size=SIZE, dimensions=16)
    line = ["run", "--model", "toy", "--vectors", "vectors", "--tasks", "task/card.toml", "--truncate-dim", "4"]
    assert invoke([*line, "--out", "out"]) == 0
    capsys.readouterr()
    rows = measured(capsys, str(next(Path("out").glob("*/toy"))))
    assert rows["effective_rank", "passage", "deu-Latn", None]["value"] <= 4


def test_compare_shows_what_changed_in_the_space(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The candidate's translations are nearer to each other, text by text."""
    write_vectors(Path("near"), size=SIZE, noise=0.1, dimensions=16)
    line = ["run", "--model", "near", "--vectors", "near", "--tasks", "task/card.toml", "--out", "out"]
    assert invoke(line) == 0
    other = next(Path("out").glob("near-*"))
    capsys.readouterr()
    assert invoke(["compare", str(folder.parent), str(other), "--geometry", "--resamples", "0"]) == 0
    out = capsys.readouterr().out
    assert "In the space: translations stand out more (0." in out
    assert "Geometry: near against toy on toy" in out
    both = ["compare", str(folder.parent), str(other), "--resamples", "0", "--json"]
    assert invoke([*both, "--geometry"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    jsonschema.validate(document, json.loads(files("clear_bench").joinpath("schemas/compare.json").read_text("utf-8")))
    rows = {(row["name"], row["side"]): row for row in document["comparisons"][0]["geometry"]}
    closer = rows["translation_cosine", "passage"]
    before, after = (of_vectors(capsys, Path(vectors)) for vectors in ("vectors", "near"))
    values = [
        np.mean([row["value"] for key, row in found.items() if key[:2] == ("translation_cosine", "passage")])
        for found in (before, after)
    ]
    assert closer["base"] == pytest.approx(values[0])
    assert closer["delta"] == pytest.approx(values[1] - values[0])
    assert 0 < closer["lower"] < closer["delta"] < closer["upper"]
    assert invoke(both) == 0
    assert "geometry" not in json.loads(capsys.readouterr().out)["comparisons"][0]


def test_a_model_compared_with_itself_has_not_moved(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["compare", str(folder), str(folder), "--geometry", "--resamples", "0"]
    assert invoke(line) == 0
    assert "translations as before, language shows as before, hubs unchanged" in capsys.readouterr().out


def test_report_draws_the_space_and_says_where_it_cannot(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = ["report", str(folder), "--geometry"]
    assert invoke([*report, "--format", "html", "--out", "page.html"]) == 0
    page = Path("page.html").read_text("utf-8")
    assert "Languages, and texts in all of them" in page
    assert "Cosine of translations x 100, passages" in page
    assert invoke([*report, "--format", "svg", "--out", "pictures"]) == 0
    assert {path.name.split("-toy-")[1] for path in Path("pictures").iterdir()} >= {"geometry-plane.svg"}
    assert invoke(report) == 0
    assert "Geometry of toy on toy" in capsys.readouterr().out
    assert invoke([*report, "--format", "csv"]) == 2
    assert "--format csv has no --geometry; md, html, latex, svg" in capsys.readouterr().err
    assert invoke(["report", str(folder), "--format", "html", "--out", "plain.html"]) == 0
    assert "Geometry" not in Path("plain.html").read_text("utf-8")


def test_a_folder_with_a_manifest_and_no_scores_is_a_model(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a trained checkpoint has."""
    Path("trained").mkdir()
    Path("trained/manifest.json").write_text('{"schema": "clear-bench/training/1"}')
    rows = measured(capsys, "trained", "--vectors", "vectors", "--tasks", "task/card.toml")
    assert ("mean_cosine", "query", "deu-Latn", None) in rows


def test_json_of_several_tasks_is_refused_before_anything_is_measured(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_task(Path("second"), "second", size=SIZE)
    line = ["geometry", "toy", "--vectors", "vectors", "--tasks", "task/card.toml,second/card.toml"]
    assert invoke([*line, "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--json describes one task, and these are toy, second" in captured.err
    assert invoke(line) == 0
    assert "Geometry of toy on second" in capsys.readouterr().out


class Counted:
    """Rows that remember how many were read at once."""

    def __init__(self, rows: Any) -> None:
        self.rows, self.shape, self.most = rows, rows.shape, 0

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: Any) -> Any:
        found = self.rows[chosen]
        self.most = max(self.most, len(found))
        return found


def test_no_more_than_the_sample_is_read_of_a_corpus(tmp_path: Path) -> None:
    plan = make_plans([str(write_task(tmp_path / "task", size=200))])[0]
    rng = np.random.default_rng(0)
    read = [{code: Counted(rng.standard_normal((200, 8)).astype(np.float32)) for code in CODES} for _ in range(2)]
    sides = [{code: Embeddings((cast("Any", rows),)) for code, rows in one.items()} for one in read]
    found = survey("toy", plan, *sides, "cosine", Drawn(size=25))
    assert {rows.most for one in read for rows in one.values()} == {25}
    assert max(len(cell.parts) for cell in found.cells) == 25


def test_every_measure_is_defined_in_the_docs() -> None:
    text = (Path(__file__).parents[1] / "docs/geometry.md").read_text("utf-8")
    assert [name for name in MEASURES if f"`{name}`" not in text] == []

"""Tiny copies of the field's benchmarks, file by file as their authors lay them out: what the package's cards read."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.parquet as pq

from clear_bench.tasks import Task, find_task

Row = dict[str, Any]


@dataclass
class Raw:
    """The files of a benchmark: of repositories, and of sites by URL."""

    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    site: dict[str, bytes] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        """Lay the files out as `fetch --source FOLDER` takes them."""
        for repository, files in self.repositories.items():
            for name, content in files.items():
                _write(folder / repository / name, content)
        for url, content in self.site.items():
            _write(folder / Path(urlsplit(url).path).name, content)
        return folder


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def parquet(rows: Iterable[Row]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows)), out)
    return out.getvalue()


def jsonl(rows: Iterable[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def tsv(rows: Iterable[Iterable[object]]) -> bytes:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows).encode()


def readme(configs: dict[str, dict[str, str]]) -> bytes:
    """Declare configs, splits and paths, as the hub's data sets do."""
    lines = ["---", "configs:"]
    for name, splits in configs.items():
        lines += [f"- config_name: {name}", "  data_files:"]
        for split, path in splits.items():
            lines += [f"  - split: {split}", f"    path: {path}"]
    return "\n".join([*lines, "---", "# A data set", ""]).encode()


def relaxed(task: Task, **changes: Any) -> Task:
    """Give a task that expects no counts and no hashes: those of the real data."""
    options = {key: value for key, value in task.options.items() if key != "hashes"}
    options["queries"] = {key: value for key, value in options.get("queries", {}).items() if key != "total"}
    if not options["queries"]:
        del options["queries"]
    return replace(task, expected={}, options=options, **changes)


def load(name: str) -> Task:
    return relaxed(find_task(name))


# Three paragraphs with two questions each, in every language of the parallel sets.
PARAGRAPHS = 3


def xquad(codes: Iterable[str] = ("en", "de", "ar")) -> Raw:
    files = {}
    for code in codes:
        rows = [
            {
                "id": f"q{i}",
                "context": f"{code} paragraph {i // 2}.",
                "question": f"{code} question {i}?",
                "answers": {"text": ["paragraph"], "answer_start": [3]},
            }
            for i in range(2 * PARAGRAPHS)
        ]
        files[f"xquad.{code}/validation-00000-of-00001.parquet"] = parquet(rows)
    return Raw({"google/xquad": files})


def squad_json(code: str, other: str = "", questions: Iterable[int] = range(6), sentences: int = 0) -> bytes:
    """SQuAD's nesting; with sentence boundaries where `sentences` of them are asked for."""
    paragraphs: dict[int, Row] = {}
    for i in questions:
        number = i // 2
        parts = [f"{code} paragraph {number} says {s}." for s in range(sentences or 1)]
        context = " ".join(parts)
        paragraph = paragraphs.setdefault(number, {"context": context, "qas": []})
        if sentences:
            starts = [context.index(part) for part in parts]
            paragraph["sentences"] = parts
            paragraph["sentence_breaks"] = [[at, at + len(part)] for at, part in zip(starts, parts, strict=True)]
        answer = parts[i % len(parts)]
        at = context.index(answer) + len(answer) - 2
        paragraph["qas"].append(
            {
                "id": f"q{i}",
                "question": f"{other or code} question {i}?",
                "answers": [{"answer_start": at, "text": "x"}],
            }
        )
    return json.dumps({"data": [{"title": "T", "paragraphs": list(paragraphs.values())}]}).encode()


def xquad_r() -> Raw:
    # German has a sentence more in every paragraph, so sentence numbers do not line up.
    task = find_task("xquad-r")
    entry = task.files["data"]
    sentences = {code: 3 if code == "de" else 2 for code in task.codes.values()}
    return Raw(site={entry.replace("{code}", code): squad_json(code, sentences=n) for code, n in sentences.items()})


MLQA = {("en", "en"): range(6), ("de", "de"): range(4), ("en", "de"): range(4), ("de", "en"): range(4)}
"""Passage and query code -> the questions of a file; German lacks the last paragraph."""


def mlqa() -> Raw:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for passage in ("ar", "de", "en", "es", "hi", "vi", "zh"):
            for query in ("ar", "de", "en", "es", "hi", "vi", "zh"):
                questions = MLQA.get((passage, query), range(2))
                name = f"MLQA_V1/test/test-context-{passage}-question-{query}.json"
                archive.writestr(name, squad_json(passage, query, questions))
    return Raw(site={find_task("mlqa").files["data"].partition("#")[0]: out.getvalue()})


def belebele(codes: Iterable[str] = ("eng_Latn", "deu_Latn", "arb_Arab")) -> Raw:
    files = {}
    for code in codes:
        rows = [
            {
                "link": f"https://en.wikinews.org/wiki/{i // 2}",
                "question_number": i % 2 + 1,
                "flores_passage": f"{code} passage {i // 2}",
                "question": f"{code} question {i}",
                "mc_answer1": "a",
                "correct_answer_num": "1",
                "dialect": code,
                "ds": "2023-05-03",
            }
            for i in range(2 * PARAGRAPHS)
        ]
        files[f"data/{code}.jsonl"] = jsonl(rows)
    files["README.md"] = readme({"default": {code: f"data/{code}.jsonl" for code in codes}})
    return Raw({"facebook/belebele": files})


def miracl(codes: Iterable[str] = ("en", "sw")) -> Raw:
    topics, corpus = {}, {}
    for code in codes:
        name = f"miracl-v1.0-{code}"
        topics[f"{name}/topics/topics.{name}-dev.tsv"] = tsv([(i, f'{code} question "{i}"') for i in range(3)])
        grades = [(i, "Q0", f"{j}#{i}", int(i == j)) for i in range(3) for j in range(2)]
        topics[f"{name}/qrels/qrels.{name}-dev.tsv"] = tsv([*grades, (2, "Q0", "2#2", 1)])
        for shard in (0, 1, 10):
            rows = [
                {"docid": f"{j}#{i}", "title": f"Title {j}", "text": f"{code} passage {i} of {j}"}
                for j in range(4)
                for i in range(3)
                if (j * 3 + i) % 3 == (0, 1, 10).index(shard)
            ]
            corpus[f"miracl-corpus-v1.0-{code}/docs-{shard}.jsonl.gz"] = gzip.compress(jsonl(rows), mtime=0)
    return Raw({"miracl/miracl": topics, "miracl/miracl-corpus": corpus})


def miracl_hn(codes: Iterable[str] = ("en", "sw"), key: str = "_id") -> Raw:
    files, configs = {}, {}
    for code in codes:
        tables = {
            "corpus": [{key: f"{j}#0", "title": f"Title {j}", "text": f"{code} passage {j}"} for j in range(4)],
            "queries": [{key: str(i), "text": f"{code} question {i}"} for i in range(3)],
            "qrels": [{"query-id": str(i), "corpus-id": f"{i}#0", "score": 1} for i in range(3)],
        }
        for kind, rows in tables.items():
            files[f"{code}-{kind}/dev-00000-of-00001.parquet"] = parquet(rows)
            configs[f"{code}-{kind}"] = {"dev": f"{code}-{kind}/dev-*"}
    return Raw({"mteb/MIRACLRetrievalHardNegatives": {**files, "README.md": readme(configs)}})


def mrtydi(names: Iterable[str] = ("english", "swahili")) -> Raw:
    topics, corpus = {}, {}
    for name in names:
        folder = f"mrtydi-v1.1-{name}"
        topics[f"{folder}/ir-format-data/topics.test.txt"] = tsv([(i, f"{name} question {i}") for i in range(3)])
        topics[f"{folder}/ir-format-data/qrels.test.txt"] = tsv([(i, "Q0", f"{i}#0", 1) for i in range(3)])
        rows = [{"docid": f"{i}#0", "title": f"Title {i}", "text": f"{name} passage {i}"} for i in range(5)]
        corpus[f"{folder}/corpus.jsonl.gz"] = gzip.compress(jsonl(rows), mtime=0)
    return Raw({"castorini/mr-tydi": topics, "castorini/mr-tydi-corpus": corpus})


def xor() -> Raw:
    task = find_task("xor")
    questions = [
        {"id": "1", "question": "Missä Oslo on?", "lang": "fi", "answers": ["Norway"]},
        {"id": "2", "question": "Onko se?", "lang": "fi", "answers": ["yes"]},
        {"id": "3", "question": "オスロはどこ", "lang": "ja", "answers": ["Norway", "no"]},
    ]
    passages = 'id\ttext\ttitle\n1\t"Oslo is in ""Norway"" today."\t"Oslo"\n2\tHelsinki is in Finland.\tNorway pages\n'
    return Raw(site={task.files["queries"]: jsonl(questions), task.files["corpus"]: passages.encode()})


def mkqa() -> Raw:
    task = find_task("mkqa")

    def row(number: int, kind: str, text: str | None) -> Row:
        queries = {code: f"{code} question {number}" for code in task.codes.values()}
        answers = {"en": [{"type": kind, "entity": "Q1", "text": text, "aliases": ["Wien"] if text else []}]}
        return {"query": "x", "example_id": number, "queries": queries, "answers": answers}

    rows = [
        row(1, "entity", "Vienna"),
        row(2, "unanswerable", None),
        row(3, "binary", "yes"),
        row(4, "long_answer", ""),
    ]
    corpus = [{"_id": "doc0", "title": "Austria", "text": "Its capital is Wien."}, {"_id": "doc1", "text": "Other."}]
    files = {
        "README.md": readme({"corpus": {"corpus": "corpus.jsonl"}, "queries": {"queries": "queries.jsonl"}}),
        "corpus.jsonl": jsonl(corpus),
    }
    return Raw({"mteb/nq": files}, {task.files["queries"]: gzip.compress(jsonl(rows), mtime=0)})


def neuclir() -> Raw:
    task = find_task("neuclir")

    def topic(number: int) -> Row:
        texts = [
            {"lang": "fas", "source": "human translation", "topic_title": "فارسی", "topic_description": "متن"},
            {"lang": "eng", "source": "original", "topic_title": f"Topic {number}", "topic_description": "What is it?"},
        ]
        return {"topic_id": str(number), "languages_with_qrels": ["fas"], "topics": texts}

    qrels = [(1, "fas", "f1", 3), (1, "rus", "r1", 1), (2, "fas", "f2", 0), (2, "zho", "z1", 1)]
    files = {}
    for code, letter in (("fas", "f"), ("rus", "r"), ("zho", "z")):
        rows = [{"id": f"{letter}{i}", "title": f"News {i}", "text": f"{code} text {i}", "url": "u"} for i in (1, 2)]
        files[f"data/{code}-00000-of-00001.jsonl.gz"] = gzip.compress(jsonl(rows), mtime=0)
    site = {task.files["queries"]: jsonl([topic(1), topic(2)]), task.files["qrels"]: tsv(qrels)}
    return Raw({"neuclir/neuclir1": files}, site)


def ciral() -> Raw:
    names = {"ha": "hausa", "so": "somali", "sw": "swahili", "yo": "yoruba"}
    topics, corpus = {}, {}
    for code, name in names.items():
        topics[f"ciral-{name}/topics/topics.ciral-v1.0-{code}-test-a.tsv"] = tsv([(1, f"about {name}"), (2, "more")])
        topics[f"ciral-{name}/qrels/qrels.ciral-v1.0-{code}-test-a-pools.tsv"] = tsv(
            [(1, "Q0", "d#1", 1), (2, "Q0", "d#2", 1)]
        )
        rows = [{"docid": f"d#{i}", "title": f"T{i}", "text": f"{name} {i}", "url": "u"} for i in (1, 2, 3)]
        corpus[f"passages-v1.0/{name}_passages.jsonl"] = jsonl(rows)
    return Raw({"CIRAL/ciral": topics, "CIRAL/ciral-corpus": corpus})


def africlirmatrix() -> Raw:
    task = find_task("africlirmatrix")
    folders = {"hau": "hausa", "arz": "egyptian-arabic"}
    raw = Raw({"castorini/africlirmatrix": {}})
    for code in task.options["names"]:
        raw.site[task.files["queries"].replace("{passage}", code)] = tsv([(7, f"English {code}")])
        raw.site[task.files["qrels"].replace("{passage}", code)] = tsv([(7, "Q0", "62443", 2), (7, "Q0", "5", 0)])
    for code, name in folders.items():
        rows = [{"id": "62443", "contents": f"{code} article"}, {"id": "5", "contents": f"{code} other"}]
        raw.repositories["castorini/africlirmatrix"][f"africlirmatrix-v1.0-{name}/corpus.jsonl"] = jsonl(rows)
    return raw


def curev1() -> Raw:
    # A split for each discipline; a passage can be in several. "all" is no split but the union of them.
    files, configs = {}, {}
    for n, discipline in enumerate(("dermatology", "genetics")):
        numbers = range(2 * n, 2 * n + 3)
        tables = {
            "corpus": [{"_id": f"d{i}", "title": "", "text": f"passage {i}"} for i in numbers],
            "qrels": [{"query-id": f"q{i}", "corpus-id": f"d{i}", "score": 2.0} for i in list(numbers)[:2]],
        }
        for code in ("en", "es", "fr"):
            tables[f"queries-{code}"] = [{"_id": f"q{i}", "text": f"{code} question {i}"} for i in list(numbers)[:2]]
        for name, rows in tables.items():
            files[f"{name}/{discipline}-00000-of-00001.parquet"] = parquet(rows)
            configs.setdefault(name, {})[discipline] = f"{name}/{discipline}-*"
    return Raw({"clinia/CUREv1": {**files, "README.md": readme(configs)}})


def mmarco() -> Raw:
    files = {"data/qrels.dev.small.tsv": tsv([(i, 0, i, 1) for i in range(3)])}
    for name in ("english", "german"):
        files[f"data/google/collections/{name}_collection.tsv"] = tsv([(i, f'{name} "passage {i}') for i in range(4)])
        files[f"data/google/queries/dev/{name}_queries.dev.small.tsv"] = tsv([(i, f"{name} {i}") for i in range(3)])
    return Raw({"unicamp-dl/mmarco": files})


BENCHMARKS = {
    "africlirmatrix": (africlirmatrix, "en:ha,en:arz"),
    "belebele": (belebele, "en:de,de:ar,ar:ar,en:en"),
    "ciral": (ciral, "en:ha,en:yo"),
    "curev1": (curev1, "es:en,en:en"),
    "miracl": (miracl, "en:en,sw:sw"),
    "miracl-hn": (miracl_hn, "en:en,sw:sw"),
    "mkqa": (mkqa, "de:en,en:en"),
    "mlqa": (mlqa, "en:en,de:en,en:de,de:de"),
    "mmarco": (mmarco, "en:en,de:de"),
    "mrtydi": (mrtydi, "en:en,sw:sw"),
    "neuclir": (neuclir, "en:fa,en:zh"),
    "xor": (xor, "fi:en,ja:en"),
    "xquad": (xquad, "en:de,de:ar,ar:ar"),
    "xquad-r": (xquad_r, "en:mixed,ar:mixed"),
}
"""Card -> its tiny copy, and pairs that the copy can serve."""

"""Loading over the network, from a small hub on the loopback interface: what is fetched, kept, resumed and refused."""

from __future__ import annotations

import gzip
import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hub_server import Fault, Hub, serve
from raw_benchmarks import BENCHMARKS, Raw, jsonl, load, miracl, miracl_hn, mlqa, mrtydi, parquet, xor, xquad

from clear_bench import readers, retry
from clear_bench.errors import CardError, DataError, EnvironmentFault, UserError
from clear_bench.tasks import Task, select_pairs
from clear_bench.types import Collection

SECRET = "hf_thisIsSecret"
HN = "mteb/MIRACLRetrievalHardNegatives"

pytestmark = pytest.mark.network


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Run a hub, and point the client at it with a cache of its own and no patience."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    monkeypatch.setattr(retry, "WAITS", (0.01, 0.01))
    monkeypatch.setattr(_http.time, "sleep", lambda _: None)  # the client's own waits
    with serve() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HUB_OFFLINE", "0")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf"))
        yield hub


def publish(hub: Hub, raw: Raw, task: Task) -> Task:
    """Serve the files of a benchmark at the revisions that its card names; gives the card with sites on the hub."""
    entries = " ".join(task.files.values())
    for repository, files in raw.repositories.items():
        revision = task.source.get("revision", "")
        if repository != task.source.get("hub"):
            revision = entries.split(f"{repository}@")[1].split("/")[0]
        hub.add(repository, files, None if revision == "main" else revision)
    for url, content in raw.site.items():
        hub.site[url.partition("://")[2]] = content
    files = {key: entry.replace("https://", f"{hub.url}/site/") for key, entry in task.files.items()}
    return replace(task, files=files)


def read(task: Task, pairs: str, offline: bool = False) -> Collection:
    return readers.read(task, select_pairs(task, pairs), offline)


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_card_reads_its_repositories_and_sites_once_and_then_offline(name: str, hub: Hub) -> None:
    make, pairs = BENCHMARKS[name]
    task = publish(hub, make(), load(name))
    online = read(task, pairs)
    asked = len(hub.requests)
    offline = read(task, pairs, offline=True)
    assert len(hub.requests) == asked
    assert {k: v.digest for k, v in offline.corpora.items()} == {k: v.digest for k, v in online.corpora.items()}
    assert {k: v.digest for k, v in offline.queries.items()} == {k: v.digest for k, v in online.queries.items()}
    assert {k: v.digest for k, v in offline.qrels.items()} == {k: v.digest for k, v in online.qrels.items()}


DATASETS = """
import json, sys
import datasets
datasets.disable_progress_bars()
name, revision, config, split, columns = sys.argv[1:]
rows = datasets.load_dataset(name, config, split=split, revision=revision)
print(json.dumps([[str(row[column]) for column in columns.split(",")] for row in rows]))
"""


@pytest.mark.parametrize(
    ("name", "language", "config", "split", "columns"),
    [
        ("miracl-hn", "swa-Latn", "sw-queries", "dev", "_id,text"),
        ("curev1", "spa-Latn", "queries-es", "all", "_id,text"),
        ("belebele", "deu-Latn", "default", "deu_Latn", "link,question_number,question"),
    ],
)
def test_configs_and_splits_mean_what_the_datasets_library_takes_them_for(
    name: str, language: str, config: str, split: str, columns: str, hub: Hub, tmp_path: Path
) -> None:
    task = publish(hub, BENCHMARKS[name][0](), load(name))
    settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "0"}
    arguments = [sys.executable, "-c", DATASETS, task.source["hub"], task.source["revision"], config, split, columns]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env={**os.environ, **settings})
    assert done.returncode == 0, done.stderr
    own = read(task, f"{language[:3]}:{language[:3]}" if name == "belebele" else f"{language[:3]}:*").queries[language]
    ids = ["#".join(row[:-1]) for row in json.loads(done.stdout)]
    assert own.ids.to_pylist() == ids
    assert own.text.to_pylist() == [row[-1] for row in json.loads(done.stdout)]


def test_only_the_files_of_the_asked_languages_are_fetched(hub: Hub) -> None:
    read(publish(hub, miracl(), load("miracl")), "sw:sw")
    fetched = {path for method, path, _ in hub.requests if method == "GET" and "/resolve/" in path}
    assert len(fetched) == 5  # topics, judgements, three shards
    assert all("-sw" in path for path in fetched)


def test_a_pinned_corpus_is_not_asked_for_again(hub: Hub) -> None:
    task = publish(hub, miracl(), load("miracl"))
    read(task, "sw:sw")
    before = len(hub.requests)
    hub.faults.append(Fault("miracl-corpus", "500"))
    read(task, "sw:sw")
    assert not any("miracl-corpus" in path for _, path, _ in hub.requests[before:])


def test_offline_never_opens_a_connection_and_says_how_to_go_on(hub: Hub) -> None:
    task = publish(hub, xquad(), load("xquad"))
    with pytest.raises(EnvironmentFault, match=r"google/xquad at revision 51adfef.*this run is offline.*HF_HOME"):
        read(task, "en:en", offline=True)
    with pytest.raises(EnvironmentFault, match=r"not fetched yet, and this run is offline.*--source FILE"):
        read(publish(hub, xor(), load("xor")), "fi:en", offline=True)
    assert hub.requests == []


def test_half_of_a_data_set_is_not_taken_for_the_whole_offline(hub: Hub) -> None:
    task = publish(hub, miracl(), load("miracl"))
    hub.faults.append(Fault("docs-10", "500"))
    with pytest.raises(EnvironmentFault):
        read(task, "sw:sw")
    with pytest.raises(EnvironmentFault, match="not wholly in the local cache"):
        read(task, "sw:sw", offline=True)


def test_an_unreachable_hub_names_the_repository_and_the_way_out(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    task = publish(hub, xquad(), load("xquad"))
    nowhere = "http://127.0.0.1:9"
    monkeypatch.setenv("HF_ENDPOINT", nowhere)
    monkeypatch.setattr(constants, "ENDPOINT", nowhere)
    with pytest.raises(EnvironmentFault, match=r"127.0.0.1:9 .*google/xquad at revision 51adfef.*--source FOLDER"):
        read(task, "en:en")


@pytest.mark.parametrize(("status", "times"), [("429", 2), ("503", 2), ("500", 1)])
def test_a_busy_hub_is_asked_again(status: str, times: int, hub: Hub) -> None:
    task = publish(hub, xquad(), load("xquad"))
    hub.faults.append(Fault("/tree/", status, times, {"Retry-After": "0"}))
    assert len(read(task, "en:en").queries["eng-Latn"]) == 6


@pytest.mark.parametrize("part", ["/tree/", "/resolve/"])
@pytest.mark.parametrize("status", ["429", "502"])
def test_a_hub_that_stays_busy_ends_with_exit_code_4(part: str, status: str, hub: Hub) -> None:
    task = publish(hub, xquad(), load("xquad"))
    hub.faults.append(Fault(part, status))
    with pytest.raises(EnvironmentFault, match=rf"does not serve google/xquad .*HTTP status {status}") as caught:
        read(task, "en:en")
    assert caught.value.exit_code == 4


def test_the_hub_s_wait_is_kept(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", waits.append)
    task = publish(hub, xquad(), load("xquad"))
    hub.faults.append(Fault("/tree/", "429", 1, {"Retry-After": "7"}))
    read(task, "en:en")
    assert any(7.0 <= wait <= 8.0 for wait in waits)


def test_a_gated_data_set_says_where_to_accept_and_which_variable_to_set(hub: Hub) -> None:
    task = publish(hub, xquad(), load("xquad"))
    hub.gated.add("google/xquad")
    with pytest.raises(EnvironmentFault, match=rf"accept it at {hub.url}/datasets/google/xquad, then set HF_TOKEN"):
        read(task, "en:en")


@pytest.mark.parametrize("status", ["401", "403", "500"])
def test_a_token_is_sent_and_stands_in_no_message_or_log(
    status: str, hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("HF_TOKEN", SECRET)
    task = publish(hub, xquad(), load("xquad"))
    hub.faults.append(Fault("google/xquad", status))
    with pytest.raises(UserError) as caught:
        read(task, "en:en")
    assert hub.tokens
    assert all(SECRET in token for token in hub.tokens)
    assert SECRET not in f"{caught.value} {caplog.text}"
    hub.faults.clear()
    hub.gated.add("google/xquad")
    read(task, "en:en")
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()


def test_a_token_is_never_sent_to_an_official_site(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    read(publish(hub, xor(), load("xor")), "fi:en")
    assert hub.tokens == []


def test_a_revision_that_is_gone_a_missing_repository_and_a_missing_file(hub: Hub) -> None:
    task = publish(hub, xquad(), load("xquad"))
    gone = replace(task, source={"hub": "google/xquad", "revision": "0" * 40})
    with pytest.raises(CardError, match=f"google/xquad has no revision '{'0' * 40}' any more"):
        read(gone, "en:en")
    nowhere = replace(task, source={"hub": "google/squad-x", "revision": "1" * 40})
    with pytest.raises(EnvironmentFault, match=r"has no dataset google/squad-x .* that this user may read"):
        read(nowhere, "en:en")
    with pytest.raises(CardError, match=r"has no file xquad.el/validation.*; it has xquad.ar, xquad.de, xquad.en"):
        read(task, "el:el")


def test_a_missing_config_or_split_of_a_repository_names_what_there_is(hub: Hub) -> None:
    task = publish(hub, miracl_hn(), load("miracl-hn"))
    with pytest.raises(CardError, match=r"has no config 'de-queries'; it has en-corpus, en-queries, en-qrels, sw-"):
        read(task, "de:de")


def test_a_cut_connection_is_gone_on_with(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 256)  # what is kept of a broken download is whole chunks
    raw = miracl()
    rows = [{"docid": f"{j}#{i}", "title": "", "text": f"passage {j} {i} " * 40} for j in range(4) for i in range(3)]
    raw.repositories["miracl/miracl-corpus"]["miracl-corpus-v1.0-sw/docs-0.jsonl.gz"] = gzip.compress(jsonl(rows), 0)
    for shard in (1, 10):
        del raw.repositories["miracl/miracl-corpus"][f"miracl-corpus-v1.0-sw/docs-{shard}.jsonl.gz"]
    task = publish(hub, raw, load("miracl"))
    hub.faults.append(Fault("docs-0", "cut", times=2))  # the HEAD counts too
    assert len(read(task, "sw:sw").corpora["swa-Latn"]) == 12
    assert any(path.endswith("docs-0.jsonl.gz") and offset for _, path, offset in hub.requests)


def test_a_cut_download_from_a_site_is_gone_on_with_and_survives_the_program(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = publish(hub, xor(), load("xor"))
    hub.faults.append(Fault("enwiki", "cut"))
    monkeypatch.setattr(retry, "WAITS", ())
    with pytest.raises(EnvironmentFault, match=r"enwiki.*the connection .*--source FILE"):
        read(task, "fi:en")
    hub.faults.clear()
    hub.requests.clear()
    assert len(read(task, "fi:en").corpora["eng-Latn"]) == 2
    assert [offset for _, path, offset in hub.requests if "enwiki" in path] != [""]


def test_a_site_s_file_that_changed_in_between_is_fetched_whole(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    task = publish(hub, xor(), load("xor"))
    name = next(name for name in hub.site if "enwiki" in name)
    hub.faults.append(Fault("enwiki", "cut"))
    monkeypatch.setattr(retry, "WAITS", ())
    with pytest.raises(EnvironmentFault):
        read(task, "fi:en")
    hub.faults.clear()
    hub.site[name] = b"id\ttext\ttitle\n9\tnew text that is long enough to differ\tNew\n"
    assert read(task, "fi:en").corpora["eng-Latn"].ids.to_pylist() == ["9"]


@pytest.mark.parametrize(("status", "kind"), [("404", CardError), ("403", EnvironmentFault), ("503", EnvironmentFault)])
def test_a_site_that_refuses_says_how_to_give_the_file(status: str, kind: type[UserError], hub: Hub) -> None:
    task = publish(hub, xor(), load("xor"))
    hub.faults.append(Fault("enwiki", status))
    with pytest.raises(kind, match=rf"status {status}.*get enwiki_20190201_w100.tsv elsewhere"):
        read(task, "fi:en")


def test_content_that_differs_from_the_hub_s_hash_is_refused(hub: Hub, tmp_path: Path) -> None:
    task = publish(hub, xquad(), load("xquad"))
    read(task, "en:en")
    blob = next(path for path in (tmp_path / "hf").rglob("blobs/*") if path.read_bytes()[:4] == b"PAR1")
    other = parquet([{"id": "q0", "context": "c", "question": "forged"}])
    blob.chmod(0o644)
    blob.write_bytes(other)
    with pytest.raises(DataError, match="does not have the hash that the hub names it by"):
        read(task, "en:en", offline=True)


def test_a_file_with_another_hash_than_the_card_states_is_refused(hub: Hub) -> None:
    task = publish(hub, xor(), load("xor"))
    task = replace(task, options={**task.options, "hashes": {"enwiki_20190201_w100.tsv": "sha256:" + "0" * 64}})
    with pytest.raises(DataError, match=r"sha256 is [0-9a-f]{64}, but the card xor states 0{64}"):
        read(task, "fi:en")


def test_an_unpinned_revision_is_warned_about_and_followed(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    pinned = load("mrtydi")
    files = {key: re.sub("@[0-9a-f]{40}", "@main", text) for key, text in pinned.files.items()}
    task = publish(hub, mrtydi(), replace(pinned, source={**pinned.source, "revision": "main"}, files=files))
    first = read(task, "sw:sw").corpora["swa-Latn"]
    warned = [record.getMessage() for record in caplog.records if "not a fixed commit" in record.getMessage()]
    assert [text.split(" at ")[0] for text in warned] == [
        "mrtydi: the card reads castorini/mr-tydi",
        "mrtydi: the card reads castorini/mr-tydi-corpus",
    ]
    changed = mrtydi()
    name = "mrtydi-v1.1-swahili/corpus.jsonl.gz"
    rows = [{"docid": f"{i}#0", "title": "", "text": f"second edition {i}"} for i in range(5)]
    changed.repositories["castorini/mr-tydi-corpus"][name] = gzip.compress(jsonl(rows), mtime=0)
    hub.add("castorini/mr-tydi-corpus", changed.repositories["castorini/mr-tydi-corpus"])
    second = read(task, "sw:sw").corpora["swa-Latn"]
    assert second.text[0].as_py() == "second edition 0"
    assert second.digest != first.digest
    assert read(task, "sw:sw", offline=True).corpora["swa-Latn"].digest == second.digest


def test_a_pinned_revision_stays_when_main_moves_on(hub: Hub) -> None:
    task = publish(hub, xquad(), load("xquad"))
    hub.add("google/xquad", xquad(("de",)).repositories["google/xquad"])
    assert len(read(task, "en:en").queries["eng-Latn"]) == 6


def test_members_of_an_archive_are_taken_out_once(hub: Hub, tmp_path: Path) -> None:
    task = publish(hub, mlqa(), load("mlqa"))
    read(task, "en:en")
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*context*.json")}
    assert len(kept) == 13  # of each language with English, both ways
    read(task, "en:en")
    assert {path: path.stat().st_mtime_ns for path in kept} == kept

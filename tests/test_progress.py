"""Progress: what a person sees while texts are encoded."""

from __future__ import annotations

import sys

import pytest

from clear_bench.progress import progress


def test_writes_a_line_now_and_then_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, "encoding toy", interval=0) as advance:
        advance(4)
        advance(6)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("encoding toy: 4 of 10 texts, ")
    assert lines[1].startswith("encoding toy: 10 of 10 texts, ")
    assert "s left" in lines[0]


def test_says_nothing_before_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10) as advance:
        advance(4)
    assert capsys.readouterr().err == ""


def test_shows_a_bar_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    with progress(10, "encoding toy") as advance:
        advance(4)
        advance(6)
    assert "10/10" in (shown := capsys.readouterr().err)
    assert "texts/s" in shown


def test_says_what_share_of_the_peak_a_shard_had(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, interval=0) as shown:
        shown(4)
        shown.tell(0.314)
        shown(1)
    before, after = capsys.readouterr().err.splitlines()
    assert "peak" not in before
    assert ", 31% of the device's peak, about " in after


def test_survives_a_worker_that_takes_back_all_it_told(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(10, interval=0) as shown:
        shown(4)
        shown(-4)
        shown(10)
    assert [line.split(",")[0] for line in capsys.readouterr().err.splitlines()] == [
        "encoding: 4 of 10 texts",
        "encoding: 10 of 10 texts",
    ]


def test_the_time_left_goes_by_the_work_and_not_by_the_number_of_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("clear_bench.progress.time.monotonic", lambda: now[0])
    with progress(100, work=10 * 1.0 + 90 * 20.0) as shown:
        shown.started = now[0]
        now[0] += 5
        shown(10)  # short queries
        assert shown.left == pytest.approx(5 / 10 * 1800)
        now[0] += 5
        shown(45, each=20.0)
        assert shown.left == pytest.approx(10 / 910 * 900, rel=1e-6)


def test_nothing_is_left_without_an_estimate_before_the_first_text() -> None:
    with progress(100) as shown:
        assert shown.left == float("inf")

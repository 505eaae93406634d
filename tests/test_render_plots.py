from __future__ import annotations

from pathlib import Path

import pytest
from made_results import HOSTILE, entry

from clear_bench.render import plots as module
from clear_bench.render.plots import plots

pytest.importorskip("matplotlib")


def test_a_hostile_name_is_drawn_and_not_read_as_mathematics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib.mathtext

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a label was read as mathematics")

    monkeypatch.setattr(matplotlib.mathtext.MathTextParser, "parse", refuse)
    drawn = plots(entry(tmp_path, HOSTILE), "png")
    assert sorted(drawn) == ["forest", "heatmap", "heatmap-gain"]
    assert all(content.startswith(b"\x89PNG") for content in drawn.values())


def test_the_same_result_gives_the_same_files(tmp_path: Path) -> None:
    one = entry(tmp_path, base=False)
    for form in ("png", "pdf"):
        assert plots(one, form) == plots(one, form)


def test_a_missing_matplotlib_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from clear_bench.errors import MissingExtraError

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install .*\[report\]"):
        module.plots(entry(tmp_path, base=False), "png")

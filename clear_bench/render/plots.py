"""Draw the heat maps and forest plots with matplotlib, for PNG and PDF; needs the extra `report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from clear_bench.errors import MissingExtraError
from clear_bench.languages import side
from clear_bench.render.axis import gain_ramp, score_ramp
from clear_bench.render.escape import printable
from clear_bench.render.forest import Mark
from clear_bench.render.numbers import points, signed
from clear_bench.render.panels import marks
from clear_bench.render.records import TITLES, Entry
from clear_bench.types import LanguagePair

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

NOT_MEASURED = "#d9dcdf"
COLOURS = {"gain": "#1c62b0", "loss": "#a8530a", "unsure": "#6b7580", "score": "#1c62b0"}
SHAPES = {"gain": "o", "loss": "s", "unsure": "o", "score": "o"}
# Names come from strangers: nothing in them is mathematics.
LITERAL = {"parse_math": False}


def plots(entry: Entry, form: str) -> dict[str, bytes]:
    """Draw the pictures of one result: name -> file in this form (png, pdf).

    Raises `MissingExtraError` where matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "report") from error
    scores = {pair: cell.value for pair, cell in entry.summary.cells.items()}
    drawn = {"heatmap": _heatmap(Figure, entry, scores, False)} if scores else {}
    if entry.gains:
        deltas = {pair: gain.delta for pair, gain in entry.gains.cells.items()}
        drawn["heatmap-gain"] = _heatmap(Figure, entry, deltas, True)
    if rows := marks(entry):
        drawn["forest"] = _forests(Figure, entry, rows)
    return {name: _file(figure, form) for name, figure in drawn.items()}


def _file(figure: Figure, form: str) -> bytes:
    out = BytesIO()
    # No date: the same result gives the same file.
    figure.savefig(out, format=form, dpi=200, metadata={"CreationDate": None} if form == "pdf" else None)
    return out.getvalue()


def _heatmap(kind: type[Figure], entry: Entry, values: Mapping[LanguagePair, float], is_gain: bool) -> Figure:
    import numpy as np

    queries, passages = entry.summary.sides
    grid = np.array([[values.get(LanguagePair(q, p), np.nan) for p in passages] for q in queries])
    ramp = gain_ramp(values.values()) if is_gain else score_ramp(values.values())
    figure = kind(figsize=(1.6 + 0.48 * len(passages), 1.5 + 0.36 * len(queries)), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(grid, cmap=_colours(is_gain), vmin=ramp.low, vmax=ramp.high, aspect="auto")
    axes.set_xticks(range(len(passages)), [printable(side(code)) for code in passages], **LITERAL)
    axes.set_yticks(range(len(queries)), [printable(side(code)) for code in queries], **LITERAL)
    axes.set_xlabel("passage language")
    axes.set_ylabel("query language")
    axes.set_title(_title(entry, is_gain), fontsize=9, **LITERAL)
    if len(passages) <= 30:
        _write_numbers(axes, grid, image, is_gain)
    return figure


def _write_numbers(axes: Axes, grid: NDArray[np.float64], image: AxesImage, is_gain: bool) -> None:
    show = signed if is_gain else points
    for row, column in ((row, column) for row in range(grid.shape[0]) for column in range(grid.shape[1])):
        value = grid[row, column]
        red, green, blue, _ = image.cmap(image.norm(value))
        dark = 0.3 * red + 0.59 * green + 0.11 * blue < 0.55
        text = "–" if value != value else show(float(value))
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "black")


def _forests(kind: type[Figure], entry: Entry, groups: Mapping[str, Sequence[Mark]]) -> Figure:
    most = max(len(rows) for rows in groups.values())
    figure = kind(figsize=(3.1 * len(groups) + 0.4, 1.1 + 0.24 * most), layout="constrained")
    found = figure.subplots(1, len(groups), sharex=True, squeeze=False)
    for axes, (group, rows) in zip(found[0], groups.items(), strict=True):
        _forest(axes, rows, TITLES[group], is_gain=entry.gains is not None, margin=entry.margin)
    figure.suptitle(_title(entry, entry.gains is not None), fontsize=9, **LITERAL)
    return figure


def _forest(axes: Axes, rows: Sequence[Mark], title: str, *, is_gain: bool, margin: float | None) -> None:
    for y, mark in enumerate(rows):
        name = mark.kind(is_gain=is_gain)
        style = {"color": COLOURS[name], "markerfacecolor": "white" if name == "unsure" else COLOURS[name]}
        if mark.lower is not None and mark.upper is not None:
            axes.plot([100 * mark.lower, 100 * mark.upper], [y, y], color=COLOURS[name], linewidth=1.4)
        axes.plot([100 * mark.value], [y], marker="D" if mark.is_mean else SHAPES[name], markersize=4.5, **style)
    if is_gain:
        axes.axvline(0, color="black", linewidth=0.8)
        for end in (-margin, margin) if margin else ():
            axes.axvline(100 * end, color=COLOURS["loss"], linewidth=0.8, linestyle="--")
    axes.set_yticks(range(len(rows)), [printable(mark.label) for mark in rows], fontsize=8, **LITERAL)
    axes.invert_yaxis()
    axes.set_title(title, fontsize=8)
    axes.tick_params(axis="x", labelsize=8)


def _title(entry: Entry, is_gain: bool) -> str:
    summary = entry.summary
    against = f" over {entry.gains.base}" if is_gain and entry.gains else ""
    return printable(f"{summary.model}{against} on {summary.task}, {summary.metric} x 100")


def _colours(is_gain: bool) -> Colormap:
    from matplotlib.colors import LinearSegmentedColormap

    arms = ["#7a3a06", "#eba45c", "#f1f1ef", "#8fbfe2", "#0d4684"]
    steps = arms if is_gain else ["#f1f6fb", "#abcce7", "#3a78b5", "#08336a"]
    return LinearSegmentedColormap.from_list("clear-bench", steps).with_extremes(bad=NOT_MEASURED)

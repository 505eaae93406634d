"""Show the progress of long work: a bar on a terminal, elsewhere a line on stderr at intervals."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

INTERVAL = 30.0
"""Seconds between two lines where stderr is not a terminal."""


@dataclass(slots=True)
class Progress:
    """The progress of work such as encoding. Call it with the number of texts that were just finished."""

    total: int
    """Texts, or whatever the unit is."""
    work: float
    """Cost of the whole, in any unit."""
    show: Callable[[Progress], None] = lambda _: None
    """Called after each step."""
    done: int = 0
    worked: float = 0.0
    share: float | None = None
    """Share of the device's peak that the last measured shard reached."""
    started: float = field(default_factory=time.monotonic)
    unit: str = "texts"
    is_due: bool = False
    """Whether the next line is written whatever the time."""

    def __call__(self, count: int, each: float = 1.0) -> None:
        """Add finished texts and their cost; a negative count subtracts the texts of a worker that died."""
        self.done += count
        self.worked += count * each
        self.show(self)

    def tell(self, share: float) -> None:
        """Set the share of the device's peak at which a shard was encoded."""
        self.share = share

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self.started + 1e-9

    @property
    def left(self) -> float:
        """Seconds that the rest takes at the present speed."""
        return (self.work - self.worked) / self.worked * self.seconds if self.worked > 0 else float("inf")

    def __str__(self) -> str:
        share = "" if self.share is None else f", {self.share:.0%} of the device's peak"
        return f"{self.done / self.seconds:,.0f} texts/s{share}"


@contextmanager
def progress(
    total: int, what: str = "encoding", interval: float = INTERVAL, work: float | None = None
) -> Iterator[Progress]:
    """Show the encoding of `total` texts while the block runs. Without `work` every text costs the same."""
    shown = Progress(total, float(total) if work is None else work)
    with showing(shown, what, interval):
        yield shown


@contextmanager
def showing(shown: Progress, what: str, interval: float = INTERVAL) -> Iterator[None]:
    """Show the progress of some work while the block runs."""
    if sys.stderr.isatty() and shown.total:
        with _bar(shown, what):
            yield
    else:
        shown.show = _Lines(what, interval)
        yield


@contextmanager
def _bar(shown: Progress, what: str) -> Iterator[None]:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = ("[progress.description]{task.description}", "{task.fields[count]}", "{task.fields[rate]}")
    with Bar(
        TextColumn(columns[0]),
        BarColumn(),
        TextColumn(columns[1]),
        TextColumn(columns[2]),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=shown.work, count=f"0/{shown.total:,}", rate="")

        def show(shown: Progress) -> None:
            count = f"{shown.done:,}/{shown.total:,}"
            bar.update(task, completed=shown.worked, count=count, rate=str(shown))

        shown.show = show
        yield


@dataclass(slots=True)
class _Lines:
    """Writes a line whenever an interval has passed."""

    what: str
    interval: float
    last: float = field(default_factory=time.monotonic)

    def __call__(self, shown: Progress) -> None:
        now = time.monotonic()
        if not shown.done or not (shown.is_due or now - self.last >= self.interval):
            return
        self.last = now
        count = f"{shown.done:,} of {shown.total:,} {shown.unit}"
        line = f"{self.what}: {count}, {shown}, about {shown.left:,.0f} s left"
        with suppress(OSError):  # where stderr takes nothing more, the work goes on
            sys.stderr.write(f"{line}\n")
            sys.stderr.flush()

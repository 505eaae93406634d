"""Shows how far the encoding is: a bar on a terminal, else a line on stderr now and then."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

INTERVAL = 30.0
"""Seconds between two lines where stderr is no terminal."""


@dataclass(slots=True)
class Progress:
    """How far the encoding of some texts is; called with the number of those that were just encoded."""

    total: int
    show: Callable[[Progress, int], None]
    """Called after each step with the number of its texts."""
    done: int = 0
    share: float | None = None
    """Share of the device's peak, of the last shard that knew it."""
    started: float = field(default_factory=time.monotonic)

    def __call__(self, count: int) -> None:
        """Count texts; less than none where a worker died with what it had told."""
        self.done += count
        self.show(self, count)

    def tell(self, share: float) -> None:
        """Take over the share of the device's peak that a shard was encoded at."""
        self.share = share

    @property
    def rate(self) -> float:
        """Texts a second, since the start."""
        return self.done / (time.monotonic() - self.started + 1e-9)

    def __str__(self) -> str:
        share = "" if self.share is None else f", {self.share:.0%} of the device's peak"
        return f"{self.rate:,.0f} texts/s{share}"


@contextmanager
def progress(total: int, what: str = "encoding", interval: float = INTERVAL) -> Iterator[Progress]:
    """Show the encoding of `total` texts for as long as the block lasts."""
    if sys.stderr.isatty() and total:
        with _bar(total, what) as shown:
            yield shown
    else:
        yield Progress(total, _Lines(what, interval))


@contextmanager
def _bar(total: int, what: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = ("[progress.description]{task.description}", "{task.fields[rate]}")
    with Bar(
        TextColumn(columns[0]),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(columns[1]),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    ) as bar:
        task = bar.add_task(what, total=total, rate="")
        yield Progress(total, lambda shown, count: bar.update(task, advance=count, rate=str(shown)))


@dataclass(slots=True)
class _Lines:
    """Writes a line whenever an interval has passed."""

    what: str
    interval: float
    last: float = field(default_factory=time.monotonic)

    def __call__(self, shown: Progress, _count: int) -> None:
        now = time.monotonic()
        if now - self.last < self.interval or not shown.done:
            return
        self.last, left = now, (shown.total - shown.done) / shown.rate
        line = f"{self.what}: {shown.done:,} of {shown.total:,} texts, {shown}, about {left:,.0f} s left"
        print(line, file=sys.stderr, flush=True)

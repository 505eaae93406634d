"""Place the ticks of an axis, and choose the colour of a value."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

STEPS = 9
"""Steps of the ramp from low to high."""
ARMS = 4
"""Steps of each arm of the ramp from loss to gain."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """Maps values to the colour classes `s0` .. `s8` (low to high), or `l4` .. `z` .. `g4` (loss to gain)."""

    low: float
    high: float
    is_gain: bool = False

    def step(self, value: float) -> str:
        """Return the colour class of a value. Values beyond the ends take the last step."""
        if self.is_gain:
            arm = min(ARMS, math.floor(abs(value) / self.high * (ARMS + 0.5) + 0.5)) if self.high else 0
            return "z" if arm == 0 else f"{'g' if value > 0 else 'l'}{arm}"
        place = (value - self.low) / (self.high - self.low)
        return f"s{min(STEPS - 1, max(0, int(place * STEPS)))}"

    @property
    def steps(self) -> tuple[str, ...]:
        """The classes in order, for a legend."""
        if not self.is_gain:
            return tuple(f"s{i}" for i in range(STEPS))
        return (*(f"l{i}" for i in range(ARMS, 0, -1)), "z", *(f"g{i}" for i in range(1, ARMS + 1)))


def score_ramp(values: Iterable[float]) -> Ramp:
    """Return a ramp over the scores (0-1). Its ends are multiples of 0.05, so pictures of one task often share them."""
    known = list(values) or [0.0, 1.0]
    low, high = math.floor(min(known) * 20 + 1e-9) / 20, math.ceil(max(known) * 20 - 1e-9) / 20
    return Ramp(low, high if high > low else low + 0.05)


def gain_ramp(deltas: Iterable[float]) -> Ramp:
    """Return a ramp around 0, at least one point wide each way, so that noise does not look like a result."""
    widest = max((abs(delta) for delta in deltas), default=0.0)
    end = max(0.01, math.ceil(widest * 100 - 1e-9) / 100)
    return Ramp(-end, end, is_gain=True)


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers within a range, at most `most` of them.

    >>> ticks(-0.013, 0.042)
    [-0.01, 0.0, 0.01, 0.02, 0.03, 0.04]
    """
    if high <= low:
        return [low]
    raw = (high - low) / max(1, most - 1)
    power = 10 ** math.floor(math.log10(raw))
    for step in (factor * power for factor in (1, 2, 2.5, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]
    return [low]

"""Format numbers. This is the only rounding in the code base: scores are shown x 100, with one decimal."""

from __future__ import annotations

MISSING = "–"


def points(value: float | None) -> str:
    """Show a score of 0-1.

    >>> points(0.96849), points(None)
    ('96.8', '–')
    """
    return MISSING if value is None else _zero(f"{100 * value:.1f}")


def signed(delta: float | None) -> str:
    """Show a difference of scores, with its sign.

    >>> signed(0.0123), signed(-0.00001)
    ('+1.2', '0.0')
    """
    return MISSING if delta is None else _zero(f"{100 * delta:+.1f}")


def percent(delta: float, base: float) -> str:
    """Show a difference relative to its base; a dash for a base of 0 or below."""
    return MISSING if base <= 0 else _zero(f"{100 * delta / base:+.1f}") + " %"


def bounds(lower: float | None, upper: float | None, *, sign: bool = False) -> str:
    """Show an interval.

    >>> bounds(0.951, 0.98), bounds(-0.001, 0.02, sign=True), bounds(None, None)
    ('95.1 to 98.0', '-0.1 to +2.0', '–')
    """
    if lower is None or upper is None:
        return MISSING
    show = signed if sign else points
    return f"{show(lower)} to {show(upper)}"


def score(metric: str, value: float | None) -> str:
    """Show a value of any metric: ranks are not shares and stay as they are.

    >>> score("nDCG@10", 0.5), score("Max@R", 17.25)
    ('50.0', '17.2')
    """
    return plain(value, 1) if metric == "Max@R" else points(value)


def p_value(p: float | None) -> str:
    """Show a p value; below 0.001 its exact size says nothing."""
    if p is None:
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def plain(value: float | None, digits: int = 2) -> str:
    """Show a number that is not a score: an effect size, a slope."""
    return MISSING if value is None else _zero(f"{value:.{digits}f}")


def count(number: int | None) -> str:
    """Show a count, with thousands apart."""
    return MISSING if number is None else f"{number:,}"


def minus(text: str) -> str:
    """Set the sign of negative numbers as a minus, which is as wide as a plus."""
    return text.replace("-", "−")


def _zero(text: str) -> str:
    """Drop the sign of a number that rounds to nothing."""
    return text.lstrip("+-") if not text.strip("+-0.") else text

r"""Make any text harmless in the format it is written into. Names of models, tasks and languages come from strangers.

Every function keeps what a reader sees: the escaped text shows as the original. Only characters that cannot be shown
(control characters, direction overrides, half surrogates) are spelled out as `\x1b`, and line breaks become blanks.
"""

from __future__ import annotations

import codecs
import html as _html
import json
import re
from collections.abc import Mapping
from typing import Any

_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")
_BREAK = re.compile(r"[\t\n\x0b\x0c\r\x85\u2028\u2029]+")
_RUNNER_COMMAND = re.compile(r"^(\s*)(?=::)|(?<=#)(?=#\[)")
_MARKDOWN = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;"}
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\symbol{34}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "→": r"\textrightarrow{}",
    "–": r"\textendash{}",
    "−": r"\textminus{}",
    "×": r"\texttimes{}",
    **{c: f"\\{c}" for c in "{}$&#_%"},
    # After a line's \\ these would be read as its optional argument or star.
    **{c: f"{{{c}}}" for c in "[]*"},
}

STAND_IN = "clear_bench.stand_in"
"""Name of the error handler by which a stream writes characters that its code page lacks."""
_STAND_INS = str.maketrans(
    {
        **dict.fromkeys("‐‑‒–—−", "-"),
        **dict.fromkeys("‘’‚′", "'"),
        **dict.fromkeys("“”„″", '"'),
        **{"→": "->", "←": "<-", "↔": "<->", "×": "x", "…": "...", "·": "*", "•": "*", "±": "+-", "≤": "<=", "≥": ">="},
        **{"≈": "~", "√": "sqrt", "\u00a0": " ", "\u202f": " ", "✓": "ok", "█": "#", "░": ".", "▒": ":", "▓": "#"},
    }
)


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end].translate(_STAND_INS)
    return lacking.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(STAND_IN, _stand_in)


def encodable(text: str, encoding: str | None) -> str:
    r"""Spell out what a code page lacks: ASCII stand-ins for arrows and dashes, else `\xe9`, `\u4e2d`.

    >>> encodable("X→en – 中", "ascii"), encodable("é – 中", "cp1252")
    ('X->en - \\u4e2d', 'é – \\u4e2d')
    """
    return text.encode(encoding or "utf-8", STAND_IN).decode(encoding or "utf-8")


def printable(text: str) -> str:
    r"""Spell out what no writer may emit raw, on one line.

    >>> printable("a\x1b[31m\nb")
    'a\\x1b[31m b'
    """
    return _UNSAFE.sub(lambda m: m[0].encode("unicode_escape").decode("ascii"), _BREAK.sub(" ", text))


def markdown(text: str) -> str:
    r"""Escape for a Markdown paragraph or table cell, as GitHub renders it (no HTML, mathematics or mentions).

    >>> markdown("org/x|<b>_y_</b>")
    'org/x\\|&lt;b&gt;\\_y\\_&lt;/b&gt;'
    """
    safe = re.sub(r"[&<>$]", lambda m: _MARKDOWN[m[0]], re.sub(r"([\\`*_{}\[\]#!|~])", r"\\\1", printable(text)))
    # A mention or an address would become a link; nDCG@10 is neither.
    safe = re.sub(r"(?<![A-Za-z])@|@(?!\d+(?![\w.-]))", "&#64;", safe)
    safe = re.sub(r"(?i)\b(https?|ftp):(?=//)", r"\1&#58;", re.sub(r"(?i)\bwww\.", "www&#46;", safe))
    # Lists, rules and underlined headings start only at the start of a block.
    return re.sub(
        r"^(\s*)(?=[=:]|[-+](?:[\s-]|$))|^(\s*\d+)(?=[.)](?:\s|$))", lambda m: f"{m[1] or m[2] or ''}\\", safe
    )


def html(text: str) -> str:
    """Escape for HTML text and for attribute values in quotes."""
    return _html.escape(printable(text), quote=True)


def xml(text: str) -> str:
    """Escape for XML text and for attribute values in quotes; what XML cannot hold at all is spelled out."""
    return html(text).replace("&#x27;", "&apos;")


def latex(text: str) -> str:
    r"""Escape for LaTeX text.

    >>> print(latex(r"$\frac{"))
    \$\textbackslash{}frac\{
    """
    # Two hyphens in a row would become a dash.
    return "".join(_LATEX.get(c, c) for c in printable(text)).replace("--", "-{}-").replace("--", "-{}-")


def plain(text: str) -> str:
    r"""Escape for plain lines on a terminal or in a log.

    In a log of GitHub Actions, a line that starts with `::` or holds `##[` is a command; a backslash stops that.

    >>> print(plain("::error::x"))
    \::error::x
    """
    return _RUNNER_COMMAND.sub(lambda m: f"{m[1] or ''}\\", printable(text))


def terminal(text: str) -> str:
    r"""Escape for a string that rich reads as markup.

    >>> print(terminal("[/bold]"))
    \[/bold]
    """
    # rich counts the backslashes before a bracket in pairs; one more than a multiple of two never starts a tag.
    return re.sub(r"(\\*)(\[|$)", lambda m: m[1] * 2 + ("\\[" if m[2] else ""), plain(text))


def workflow(text: str) -> str:
    """Escape for the message of a GitHub workflow command (`::error::message`); line breaks stay line breaks."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "%0A".join(printable(line).replace("%", "%25") for line in lines)


def workflow_property(text: str) -> str:
    """Escape for a property of a GitHub workflow command (`::error title=property::`)."""
    return workflow(text).replace(":", "%3A").replace(",", "%2C")


def csv(text: str) -> str:
    """Keep a spreadsheet from reading a name as a formula; quoting is left to the csv module."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def json_document(document: Mapping[str, Any]) -> str:  # Any: JSON
    r"""Write a JSON document whose texts show nothing raw that a terminal obeys; it reads back as the same values.

    >>> print(json_document({"model": "\u202ex"}))
    {
     "model": "\u202ex"
    }
    """
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda m: m[0] if m[0] == "\n" else f"\\u{ord(m[0]):04x}", text)


def yaml(text: str) -> str:
    """Write a double-quoted YAML string, quotes included."""
    return json.dumps(printable(text), ensure_ascii=False)

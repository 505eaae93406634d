"""`python -m clear_bench.mteb_bridge run -t ClearXquad ...`: mteb's own command line, with our tasks registered.

`--cards a.toml,b.toml`, given first, registers these cards instead of those of the package.
"""

from __future__ import annotations

import sys

from clear_bench import console


def main(arguments: list[str]) -> int:
    """Register tasks and hand the rest of the line to mteb."""
    from clear_bench.mteb_bridge.registration import register

    cards = "all"
    if arguments[:1] == ["--cards"]:
        cards, arguments = arguments[1] if len(arguments) > 1 else "", arguments[2:]
    try:
        console.open_streams()
        register(cards)
    except Exception as error:
        code, sentence = console.ending(error)
        console.note(sentence)
        return code
    from mteb.cli import main as run_mteb

    sys.argv = ["mteb", *arguments]
    run_mteb()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Draws the table of turn-taking as a state diagram for the docs.

python -m antiphon.turns.drawing                 prints it, as Mermaid
python -m antiphon.turns.drawing --into FILE     puts it between the marks in a document
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from antiphon.turns import states as st
from antiphon.turns.table import AGENT, CALLER

BEGIN, END = "<!-- turns.table -->", "<!-- /turns.table -->"


def mermaid() -> str:
    """Returns both sides as one state diagram, with its fence."""
    lines = ["```mermaid", "stateDiagram-v2"]
    for name, first, rows in (("caller", st.Quiet, CALLER), ("agent", st.Silent, AGENT)):
        lines += [f"    state {name} {{", f"        [*] --> {first.__name__}"]
        edges: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            for source in row.sources:
                edges.setdefault((source.__name__, row.target.__name__), []).append(row.when)
        for (one, other), when in edges.items():
            lines.append(f"        {one} --> {other}: {' / '.join(when).replace(':', ',')}")
        lines.append("    }")
    return "\n".join([*lines, "```"])


def into(text: str) -> str:
    """Returns a document with the drawing between its marks."""
    if BEGIN not in text or END not in text:
        raise ValueError(f"the document has no {BEGIN} and {END}")
    return re.sub(f"{BEGIN}.*?{END}", f"{BEGIN}\n{mermaid()}\n{END}", text, count=1, flags=re.DOTALL)


def main() -> None:
    parser = argparse.ArgumentParser(description="Draws the states of turn-taking.")
    parser.add_argument("--into", type=Path, help="a document to put the drawing into")
    path = parser.parse_args().into
    if path is None:
        print(mermaid())  # noqa: T201 - what a command prints
    else:
        path.write_text(into(path.read_text()))


if __name__ == "__main__":
    main()

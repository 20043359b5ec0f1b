"""The web page and the browser SDK as files; signaling serves them, nothing here runs."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).resolve().parent

STATIC: Path = _HERE / "static"
"""Directory to mount at `/`: `index.html` and what it loads."""

SDK: Path = (_HERE / "sdk" / "antiphon.js").resolve()
"""The file to serve at `/sdk/antiphon.js`: services/antiphon-js in a checkout, through a link; a copy in a wheel."""

SDK_MODULES: Path = _HERE / "sdk" / "src"
"""Directory to mount at `/sdk/src`: the modules that it loads, links and copies like it."""

SDK_TYPES: Path = (_HERE / "sdk" / "antiphon.d.ts").resolve()
"""Its types, to serve beside it."""

__all__ = ["SDK", "SDK_MODULES", "SDK_TYPES", "STATIC"]

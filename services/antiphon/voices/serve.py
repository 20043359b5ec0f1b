"""`python -m antiphon.voices.serve espeak|piper [VOICE]`: a JSON line in, a JSON line and samples out.

In: {"text": ...}. Out: {"samples": n, "rate": hz, "wordEnds": [seconds] or null} and n int16, or {"error": ...}.
The first line out, {"ready": true} or an error, comes once the voice is loaded.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from antiphon.voices.engine import Engine


def load(name: str, voice: str) -> Engine:
    if name == "espeak":
        from antiphon.voices.espeak import Espeak  # noqa: PLC0415 - each needs a library of its own

        return Espeak(voice or "en-us")
    if name == "piper":
        from antiphon.voices.piper import Piper  # noqa: PLC0415

        return Piper(voice)
    raise ValueError(f"voice engine {name!r}: expected espeak or piper")


def serve(engine: Engine, lines: BinaryIO, out: BinaryIO) -> None:
    for line in lines:
        try:
            said = engine.speak(str(json.loads(line)["text"]))
        except Exception as error:  # noqa: BLE001 - the next text may be sayable
            _tell(out, {"error": f"{type(error).__name__}: {error}"})
        else:
            _tell(out, {"samples": len(said.pcm), "rate": said.rate, "wordEnds": said.word_ends}, said.pcm.tobytes())


def _tell(out: BinaryIO, header: dict[str, Any], samples: bytes = b"") -> None:
    out.write(json.dumps(header).encode() + b"\n" + samples)
    out.flush()


def main() -> None:
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what libraries print must not reach the pipe
    try:
        engine = load(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    except Exception as error:  # noqa: BLE001 - told over the pipe
        _tell(out, {"error": f"{type(error).__name__}: {error}"})
        return
    _tell(out, {"ready": True})
    serve(engine, sys.stdin.buffer, out)


if __name__ == "__main__":
    main()

"""Calls the built-in echo, says a tone, and fails unless it comes back: what `helm test` runs."""

import json
import math
import os
import struct
import subprocess
import sys
import wave

RATE = 48_000
SECONDS = 2
FILE = "/tmp/tone.wav"  # noqa: S108 - an empty directory of the pod's own


def write_tone() -> None:
    with wave.open(FILE, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        samples = (int(12_000 * math.sin(2 * math.pi * 440 * at / RATE)) for at in range(RATE * SECONDS))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def main() -> None:
    write_tone()
    key, value = next(iter(json.loads(os.environ["API_KEYS"]).items()))
    secret = value if isinstance(value, str) else value["secret"]
    command = ["antiphon", "call", "--agent", "echo", "--play", FILE, "--seconds", "30", "--json"]
    done = subprocess.run(  # noqa: S603 - our own words
        command, env=os.environ | {"ANTIPHON_TOKEN": f"{key}.{secret}"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"the call failed: {done.stderr.strip()}")
    call = json.loads(done.stdout)
    heard = sum(end - begin for begin, end in call["heard"])
    if heard < SECONDS / 2:
        sys.exit(f"of {SECONDS} s of sound only {heard:.1f} s came back over edge {call['edge']}")
    print(f"{call['session']}: edge {call['edge']}, worker {call['worker']}, {heard:.1f} s of sound came back")


if __name__ == "__main__":
    main()

"""What an assistant's parts count. Labels are words of this code."""

from antiphon.telemetry import counter, histogram

REFUSED = counter("assistant_refused", "Work that a part refused or gave up, and why.", ["part", "reason"])
FAILED = counter("assistant_failures", "Replies in which a part failed.", ["part"])
RECOGNITION_WAIT = histogram("assistant_recognition_wait_seconds", "For how long audio waited to be recognised.")
RECOGNITION = histogram("assistant_recognition_seconds", "How long recognition took.")
FIRST_TOKEN = histogram("assistant_first_token_seconds", "From a turn's text to the model's first words.")
FIRST_SOUND = histogram("assistant_first_sound_seconds", "From a sentence's text to its speech.")
TOOLS = counter("assistant_tool_calls", "Calls of tools.", ["outcome"])

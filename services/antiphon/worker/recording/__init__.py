"""Records sessions: what their callers were received to say, and what of their agents was heard."""

from antiphon.worker.recording.recorder import Recorder
from antiphon.worker.recording.recordings import Recordings, recordings_of

__all__ = ["Recorder", "Recordings", "recordings_of"]

"""Native callers for load tests and calibration: real ICE, DTLS, SRTP and Opus, no packet in Python."""

from antiphon.callers.clips import Clip, clip_of, vowels
from antiphon.callers.native import NoCallersError, address_towards, start_callers

__all__ = ["Clip", "NoCallersError", "address_towards", "clip_of", "start_callers", "vowels"]

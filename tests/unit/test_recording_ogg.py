"""Tracks as files: any reader finds what was said where it was said, over pauses and losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from antiphon.opus import Encoder
from antiphon.worker.recording.ogg import OggTrack

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAME = 960
RATE = 48_000


def tone(seconds: float) -> NDArray[np.int16]:
    return (8_000 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * RATE)) / RATE)).astype(np.int16)


def decoded(path: Path) -> NDArray[np.float32]:
    with av.open(str(path)) as file:
        assert file.streams.audio[0].codec_context.name in {"opus", "libopus"}
        return np.concatenate([frame.to_ndarray().ravel() for frame in file.decode(audio=0)])


def loud_s(pcm: NDArray[np.float32]) -> tuple[float, float]:
    found = np.flatnonzero(np.abs(pcm) > 0.03)
    return float(found[0]) / RATE, float(found[-1] + 1) / RATE


def packets(pcm: NDArray[np.int16], *, dtx: bool = False) -> list[bytes]:
    encoder = Encoder(dtx=dtx)
    return [encoder.encode(pcm[at : at + FRAME]) for at in range(0, len(pcm), FRAME)]


@pytest.mark.parametrize("gap_s", [0.0, 0.02, 0.0375, 0.5, 3.0])
@pytest.mark.parametrize("bridge", [True, False])
def test_packets_stand_in_their_places(tmp_path: Path, gap_s: float, *, bridge: bool) -> None:
    track = OggTrack(tmp_path / "track.ogg")
    for number, packet in enumerate(packets(np.zeros(RATE // 2, np.int16))):
        assert track.place(number * FRAME, FRAME, packet, bridge=bridge)
    begin = RATE // 2 + round(gap_s * RATE)
    for number, packet in enumerate(packets(np.concatenate((tone(1.0), np.zeros(FRAME * 2, np.int16))))):
        assert track.place(begin + number * FRAME, FRAME, packet, bridge=bridge)
    track.close()
    found = loud_s(decoded(tmp_path / "track.ogg"))
    assert found == pytest.approx((0.5 + gap_s, 1.5 + gap_s), abs=0.008)


def test_a_pause_in_which_an_encoder_sent_next_to_nothing_lasts_as_long(tmp_path: Path) -> None:
    pcm = np.concatenate((tone(1.0), np.zeros(3 * RATE, np.int16), tone(1.0), np.zeros(FRAME, np.int16)))
    track = OggTrack(tmp_path / "track.ogg")
    sent = [(number, packet) for number, packet in enumerate(packets(pcm, dtx=True)) if len(packet) > 2]
    assert len(sent) < 160, "most of the pause was not sent"
    for number, packet in sent:
        assert track.place(number * FRAME, FRAME, packet, bridge=True)
    track.close()
    found = decoded(tmp_path / "track.ogg")
    assert len(found) / RATE == pytest.approx(5.02, abs=0.02)
    assert loud_s(found[round(2 * RATE) :])[0] == pytest.approx(2.0, abs=0.02)


def test_a_place_that_is_taken_is_refused_and_a_pad_is_silence(tmp_path: Path) -> None:
    track = OggTrack(tmp_path / "track.ogg")
    said = packets(tone(0.2))
    assert all(track.place(number * FRAME, FRAME, packet, bridge=True) for number, packet in enumerate(said))
    assert not track.place(3 * FRAME, FRAME, said[0], bridge=True)
    track.pad(RATE * 2, bridge=False)
    assert track.end == RATE * 2
    track.close()
    assert np.abs(decoded(tmp_path / "track.ogg")[RATE // 2 :]).max() < 0.001


def test_what_was_written_can_be_read_though_nobody_closed_it(tmp_path: Path) -> None:
    track = OggTrack(tmp_path / "track.ogg")
    for number, packet in enumerate(packets(tone(4.0))):
        track.place(number * FRAME, FRAME, packet, bridge=True)
    before = (tmp_path / "track.ogg").read_bytes()
    (tmp_path / "copy.ogg").write_bytes(before)
    track.close()
    assert len(decoded(tmp_path / "copy.ogg")) >= 2 * RATE


def test_nobody_else_may_read_a_track_and_none_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "track.ogg"
    OggTrack(path).close()
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        OggTrack(path)

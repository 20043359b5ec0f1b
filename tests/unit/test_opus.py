import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.opus import NATIVE_RATES, SILENCE_20_MS, Decoder, Encoder, OpusError, packet_duration
from tests.support.speech import say


@pytest.mark.parametrize("rate", NATIVE_RATES)
def test_speech_survives_encoding_at_every_native_rate(rate: int) -> None:
    speech = say("The quick brown fox jumps over the lazy dog.", rate=48000)[:: 48000 // rate].copy()
    encoder, decoder = Encoder(rate), Decoder(rate)
    blocks = speech[: len(speech) // encoder.samples * encoder.samples].reshape(-1, encoder.samples)
    packets = [encoder.encode(block) for block in blocks]
    heard = np.concatenate([decoder.decode(packet) for packet in packets]).astype(float)
    assert len(heard) == blocks.size
    assert all(packet_duration(packet) == 960 for packet in packets)
    assert sum(map(len, packets)) * 8 / (len(packets) * 0.02) < 48_000
    energy = np.square(heard).mean() / np.square(blocks.astype(float)).mean()
    assert 0.5 < energy < 1.5


def test_silence_packet_decodes_to_20_ms_of_zeros() -> None:
    assert packet_duration(SILENCE_20_MS) == 960
    assert not Decoder(48000).decode(SILENCE_20_MS).any()


def test_a_lost_packet_is_concealed_with_fec_of_the_next() -> None:
    encoder, decoder = Encoder(16000), Decoder(16000)
    speech = say("Concealment needs something to work with.")
    packets = [encoder.encode(speech[at : at + 320]) for at in range(0, 320 * 40, 320)]
    for packet in packets[:20]:
        decoder.decode(packet)
    assert len(decoder.conceal(320, packets[21])) == 320
    assert len(decoder.conceal(320)) == 320
    assert len(decoder.decode(packets[21])) == 320


def test_wrong_sizes_and_rates_are_refused_in_words() -> None:
    with pytest.raises(OpusError, match="resample"):
        Encoder(44100)
    with pytest.raises(OpusError, match="expected 960"):
        Encoder().encode(np.zeros(10, np.int16))
    with pytest.raises(OpusError, match="corrupted"):
        Decoder().decode(b"\xff\xff\xff\xff")


@given(st.binary(max_size=400))
def test_any_bytes_decode_or_are_refused(packet: bytes) -> None:
    decoder = Decoder(16000)
    try:
        samples = len(decoder.decode(packet)) if packet else 0
    except OpusError:
        return
    assert samples == packet_duration(packet) * 16000 // 48000

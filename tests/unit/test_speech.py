from pathlib import Path

import numpy as np
import pytest

from tests.support.speech import read_wav, say, write_wav


@pytest.mark.parametrize("rate", [16000, 48000])
def test_speech_is_audible_and_of_a_plausible_length(rate: int) -> None:
    speech = say("Good morning, how can I help you?", rate=rate)
    assert speech.dtype == np.int16
    assert 1.0 < len(speech) / rate < 4.0
    assert np.abs(speech.astype(np.int32)).max() > 3000


def test_wav_survives_the_round_trip(tmp_path: Path) -> None:
    speech = say("hello", rate=48000)
    back, rate = read_wav(write_wav(tmp_path / "hello.wav", speech, 48000))
    assert rate == 48000
    np.testing.assert_array_equal(back, speech)


def test_unknown_voice_is_named() -> None:
    with pytest.raises(ValueError, match="nobody"):
        say("hello", voice="nobody")

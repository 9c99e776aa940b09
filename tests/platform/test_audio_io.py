"""Audio files as people have them: every format, and every way of being broken."""

import errno
import io
import os
import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from trivox.platform.audio import io as audio_io
from trivox.platform.audio.io import decode_audio, read_audio, resample, to_mono, write_wav
from trivox.platform.errors import BrokenAudio, DiskFull


def tone(rate: int, seconds: float = 1.0, hertz: float = 300.0) -> npt.NDArray[np.float32]:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(
        np.float32
    )


def peak_hertz(samples: npt.NDArray[np.float32], rate: int) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * rate / len(samples))


def encode_av(path: Path, codec: str, kind: str, samples: npt.NDArray[np.float32]) -> None:
    """One channel of 16 kHz through FFmpeg."""
    pcm = (samples * 32767).astype(np.int16)[None]
    with av.open(str(path), "w", format=kind) as container:
        stream = container.add_stream(codec, rate=16_000)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux([*stream.encode(frame), *stream.encode(None)])


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff", "au"])
@pytest.mark.parametrize("channels", [1, 2])
def test_formats_of_libsndfile(tmp_path: Path, suffix: str, channels: int) -> None:
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, np.stack([tone(22_050)] * channels, axis=1), 22_050)
    samples, rate = read_audio(path)
    assert rate == 22_050 and samples.dtype == np.float32
    assert samples.shape == ((22_050,) if channels == 1 else (22_050, 2))
    assert peak_hertz(to_mono(samples), rate) == pytest.approx(300, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.02)


def test_8khz_stereo_mp3(tmp_path: Path) -> None:
    path = tmp_path / "phone.mp3"
    soundfile.write(path, np.stack([tone(8000), tone(8000, hertz=500)], axis=1), 8000, format="MP3")
    samples, rate = read_audio(path)
    assert rate == 8000 and samples.shape == (8000, 2)
    assert peak_hertz(samples[:, 0], rate) == pytest.approx(300, abs=1)
    assert peak_hertz(samples[:, 1], rate) == pytest.approx(500, abs=1)
    assert np.abs(samples).max() == pytest.approx(0.3, abs=0.03)
    assert resample(to_mono(samples), rate, 16_000).shape == (16_000,)


@pytest.mark.parametrize(
    ("suffix", "codec", "kind"), [("g722", "g722", "g722"), ("m4a", "aac", "ipod")]
)
def test_formats_of_ffmpeg(tmp_path: Path, suffix: str, codec: str, kind: str) -> None:
    path = tmp_path / f"a.{suffix}"
    encode_av(path, codec, kind, tone(16_000, 1.0))
    samples, rate = read_audio(path)
    assert rate == 16_000 and samples.ndim == 1 and abs(len(samples) - 16_000) <= 2048
    assert peak_hertz(samples[2000:14_000], rate) == pytest.approx(300, abs=2)
    assert np.abs(samples[2000:14_000]).max() == pytest.approx(0.3, abs=0.08)


def test_a_suffix_that_lies(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    soundfile.write(tmp_path / "a.wav", tone(8000), 8000)
    (tmp_path / "a.wav").rename(path)
    assert read_audio(path)[1] == 8000


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "aiff", "mp3", "m4a"])
def test_cut_off(tmp_path: Path, suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = (0.1 * np.random.default_rng(0).standard_normal(32_000)).astype(np.float32)
    if suffix == "m4a":
        encode_av(path, "aac", "ipod", noise)
    else:
        soundfile.write(path, noise, 16_000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BrokenAudio, match="cut off|damaged|holds no samples") as caught:
        read_audio(path)
    assert str(caught.value).startswith(f"{path}: ") and "leave it out" in str(caught.value)
    assert capfd.readouterr() == ("", ""), "decoders must not write to the terminal"


def test_ogg_cut_anywhere() -> None:
    """libsndfile drops a last page that is not whole, and says nothing."""
    encoded = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(160_000)
    soundfile.write(encoded, noise, 16_000, format="OGG")
    whole = encoded.getvalue()
    assert whole.count(b"OggS") > 5 and len(decode_audio(whole, "a.ogg")[0]) == 160_000
    for end in range(1, len(whole), len(whole) // 50):
        with pytest.raises(BrokenAudio):
            decode_audio(whole[:end], "a.ogg")


def test_wav_of_a_pipe_has_no_length(tmp_path: Path) -> None:
    """FFmpeg into a pipe cannot go back to fill the sizes in: such a file is whole."""
    path = tmp_path / "pipe.wav"
    soundfile.write(path, tone(16_000), 16_000, subtype="PCM_16")
    data = bytearray(path.read_bytes())
    data[4:8] = data[data.index(b"data") + 4 : data.index(b"data") + 8] = b"\xff" * 4
    assert decode_audio(bytes(data), "pipe.wav")[0].shape == (16_000,)


@pytest.mark.parametrize(
    ("name", "data", "cause"),
    [
        ("a.wav", b"", "the file is empty \\(0 bytes\\)"),
        ("a.wav", b"hello", "not audio, or damaged"),
        ("a.mp3", b"\0" * 5000, "not audio, or damaged"),
        ("a.txt", b"hello world\n" * 500, "holds no audio|not audio"),
        ("a.pdf", b"%PDF-1.4" + b"x" * 5000, "not audio, or damaged"),
        ("a.flac", b"fLaC" + b"x" * 5000, "damaged or cut off"),
        (
            "a.wav",
            b"RIFF" + struct.pack("<I", 36) + b"WAVE",
            "damaged or cut off|cut off|not audio",
        ),
    ],
)
def test_not_audio(name: str, data: bytes, cause: str) -> None:
    with pytest.raises(BrokenAudio, match=f"^{name}: ({cause})") as caught:
        decode_audio(data, name)
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=300), st.sampled_from([b"", b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb"])
)
def test_any_bytes_give_samples_or_one_line(body: bytes, magic: bytes) -> None:
    try:
        samples, rate = decode_audio(magic + body, "x.bin")
    except BrokenAudio as error:
        assert str(error).startswith("x.bin: ") and "\n" not in str(error)
    else:
        assert len(samples) and rate > 0


def test_no_samples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), 16_000)
    with pytest.raises(BrokenAudio, match=r"a\.wav: holds no samples \(length 0\)"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(tmp_path: Path, value: float) -> None:
    samples = np.stack([tone(8000)] * 2, axis=1)
    samples[7, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    with pytest.raises(BrokenAudio, match=r"a\.wav: sample 7 is NaN or infinite: .*16-bit PCM"):
        read_audio(tmp_path / "a.wav")


def test_integers_written_as_floats(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8000) * 32768, 8000, subtype="FLOAT")
    with pytest.raises(BrokenAudio, match="peak 983[0-9.]* where full scale is 1.0"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("suffix", ["wav", "mp3"])
def test_too_long(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio_io, "LONGEST_SECONDS", 1)
    soundfile.write(tmp_path / f"a.{suffix}", tone(8000, 1.5), 8000)
    with pytest.raises(BrokenAudio, match="the limit is 1 s: cut it into utterances"):
        read_audio(tmp_path / f"a.{suffix}")


def test_missing_folder_and_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(BrokenAudio, match=r"gone\.wav: no such file"):
        read_audio(tmp_path / "gone.wav")
    for path in (tmp_path, tmp_path / "pipe.wav"):
        with pytest.raises(BrokenAudio, match="not a file"):
            read_audio(path)


def test_to_mono_is_the_mean() -> None:
    assert to_mono(np.array([[0.5, 0.1], [-0.2, 0.4]], np.float32)).tolist() == pytest.approx(
        [0.3, 0.1]
    )


@given(st.integers(1, 2000), st.sampled_from([8000, 22_050, 44_100, 48_000]))
@settings(deadline=None)
def test_resampling_keeps_the_duration(length: int, rate: int) -> None:
    converted = resample(np.full(length, 0.25, np.float32), rate, 16_000)
    assert converted.dtype == np.float32
    assert abs(len(converted) - length * 16_000 / rate) <= 1


def test_wav_survives_the_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    samples = np.array([0, 0.5, -1, 1, 2, -2], np.float32)
    write_wav(path, samples, 16_000)
    top = 32767 / 32768
    assert read_audio(path)[0].tolist() == [0, 0.5, -1, top, top, -1]
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, data: bytes) -> int:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(DiskFull, match=r"out\.wav: no room for \d+ bytes"):
        write_wav(tmp_path / "out.wav", tone(8000), 8000)
    assert not list(tmp_path.iterdir())
    with pytest.raises(BrokenAudio, match="not finite"):
        write_wav(tmp_path / "out.wav", np.array([np.nan], np.float32), 8000)

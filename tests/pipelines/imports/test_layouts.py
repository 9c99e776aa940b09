"""Each layout, as its corpora have it, through to what the store holds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivox.pipelines.imports import ImportReport, SplitPlan, Terms, import_source
from trivox.platform.errors import BadImport, ConfigError, NotFound
from trivox.platform.personas.registry import add, persona_of
from trivox.platform.records import Audio, Branch, Consent, Prompt, Speaker, Split, Turn
from trivox.platform.store import Workspace


def take(workspace: Workspace, source: Path | str, branch: Branch, **options: Any) -> ImportReport:
    options = {"name": "own", "language": "en-US"} | options
    return import_source(workspace, str(source), branch=branch, **options)


def prompts(workspace: Workspace, report: ImportReport) -> list[Prompt]:
    return [workspace.records.get(Prompt, item.prompt) for item in report.prompt_set.items]


def write_lines(path: Path, *rows: dict[str, Any] | str) -> Path:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_ljspeech_for_asr(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "wavs" / "LJ1.wav", 300, 22_050)
    record(source / "wavs" / "LJ2.wav", 400, 22_050)
    write_lines(source / "metadata.csv", "LJ1|Dr. No|Doctor No", "LJ2|Hello there")
    report = take(workspace, source, Branch.ASR)
    assert (report.layout, report.taken, report.refused) == ("ljspeech", 2, ())
    assert report.audio_seconds == pytest.approx(1.0)
    first, second = prompts(workspace, report)
    assert (first.reference_text, second.reference_text) == ("Doctor No", "Hello there")
    assert first.languages == ("en-US",) and first.branch == Branch.ASR and first.text is None
    heard = workspace.records.get(Audio, str(first.audio))
    native = workspace.records.get(Audio, str(heard.derived_from))
    assert (heard.rate, heard.channels, native.rate, native.derived_from) == (
        16_000,
        1,
        22_050,
        None,
    )
    assert (native.source, native.duration_s) == ("source/metadata.csv:1", 0.5)
    samples, rate = workspace.audio.read(heard.id)
    assert rate == 16_000 and samples.shape == (8000,)
    assert np.argmax(np.abs(np.fft.rfft(samples))) * 2 == 300
    assert "2 at 22050 Hz resampled to 16000 Hz" in report.notes


def test_ljspeech_for_tts(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "wavs" / "LJ1.wav", 300, 22_050, channels=2)
    write_lines(source / "metadata.csv", "LJ1|Hello there")
    (prompt,) = prompts(workspace, take(workspace, source, Branch.TTS))
    assert prompt.text == "Hello there" and prompt.audio is None and prompt.voice_audio is None
    kept = workspace.records.get(Audio, str(prompt.reference_audio))
    assert (kept.rate, kept.channels) == (22_050, 2)


def test_a_manifest_of_dialogues(workspace: Workspace, source: Path, record: Any) -> None:
    """Turns, persona and recorded reply; who speaks is the row's speaker where a turn names none; rows that share
    the recording of a turn are of one group."""
    add(workspace, persona_of(workspace.project, "butler", "anna says aye", {}))
    for name, pitch in (("u1", 300), ("u2", 400), ("r", 500)):
        record(source / f"{name}.wav", pitch, 24_000)
    turns: list[dict[str, str]] = [
        {"role": "user", "audio": "u1.wav", "text": "turn on the light", "speaker": "ben"},
        {"role": "assistant", "text": "aye"},
        {"role": "user", "audio": "u2.wav"},
    ]
    whole = {
        "persona": "butler",
        "audio": "r.wav",
        "reference_text": "It is on.",
        "speaker": "anna",
    }
    path = write_lines(
        source / "m.jsonl",
        {**whole, "turns": turns},
        {"persona": "butler@1", "turns": turns[:1]},
        {"persona": "butler", "text": "is it on"},
    )
    report = take(workspace, path, Branch.REALTIME)
    assert (report.taken, report.refused, report.audio_seconds) == (3, (), pytest.approx(1.5))
    first, second, third = prompts(workspace, report)
    assert first.persona == second.persona == "butler@1"
    assert [(t.role, t.text, t.audio is None) for t in first.turns] == [
        ("user", "turn on the light", False),
        ("assistant", "aye", True),
        ("user", None, False),
    ]
    assert (first.reference_text, second.reference_audio) == ("It is on.", None)
    assert third.turns == (Turn("user", "is it on"),)
    kept = [
        workspace.records.get(Audio, str(a)) for a in (first.turns[0].audio, first.reference_audio)
    ]
    names = [workspace.records.get(Speaker, str(audio.speaker)).name for audio in kept]
    assert names == ["own:ben", "own:anna"] and {audio.rate for audio in kept} == {24_000}
    one, two, three = (item.group for item in report.prompt_set.items)
    assert one == two != three


def test_a_voice_to_imitate(workspace: Workspace, source: Path, record: Any) -> None:
    """Its speaker has to allow it; rows that share a voice are no group for it."""
    record(source / "v.wav", 300)
    path = write_lines(
        source / "m.jsonl",
        {"text": "hello", "voice": "v.wav", "voice_speaker": "ben"},
        {"text": "good night", "voice": "v.wav", "voice_speaker": "ben"},
    )
    with pytest.raises(BadImport, match="the speaker allows annotate, train only"):
        take(workspace, path, Branch.TTS)
    report = take(workspace, path, Branch.TTS, terms=Terms(consents=(Consent.CLONE, Consent.TRAIN)))
    first, second = prompts(workspace, report)
    assert first.voice_audio == second.voice_audio and first.reference_audio is None
    voice = workspace.records.get(Audio, str(first.voice_audio))
    assert workspace.records.get(Speaker, str(voice.speaker)).name == "own:ben"
    assert len({item.group for item in report.prompt_set.items}) == 2


def test_librispeech(workspace: Workspace, source: Path, record: Any) -> None:
    folder = source / "dev-clean" / "1089" / "134686"
    record(folder / "1089-134686-0000.flac")
    record(folder / "1089-134686-0001.flac", 500)
    write_lines(
        folder / "1089-134686.trans.txt", "1089-134686-0000 HE HOPED", "1089-134686-0001 STEW"
    )
    report = take(workspace, source, Branch.ASR, terms=Terms(licence="CC-BY-4.0"))
    assert report.layout == "librispeech"
    assert [prompt.reference_text for prompt in prompts(workspace, report)] == ["he hoped", "stew"]
    assert {item.group for item in report.prompt_set.items} == {
        "1089-134686-0000",
        "1089-134686-0001",
    }
    (speaker,) = workspace.records.find(Speaker)
    assert speaker.name == "own:1089"
    assert speaker.consents == (Consent.ANNOTATE, Consent.TRAIN)
    (audio, _) = workspace.records.find(Audio)
    assert (audio.speaker, audio.licence) == (speaker.id, "CC-BY-4.0")


def test_plain_folder(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "a.wav")
    record(source / "deep" / "b.mp3", 400, 8000, channels=2)
    record(source / "._a.wav", 600)
    record(source / "silent.wav", 700)
    (source / "a.txt").write_text("first\nline\n")
    (source / "deep" / "b.txt").write_text("\ufeffsecond")
    (source / "alone.txt").write_text("no sound")
    report = take(workspace, source, Branch.ASR)
    assert report.layout == "folder"
    texts = [prompt.reference_text for prompt in prompts(workspace, report)]
    assert texts == ["first line", "second"]
    assert {refusal.row: refusal.reason for refusal in report.refused} == {
        "alone.txt": "no recording of that name",
        "silent.wav": "no text silent.txt beside it",
    }
    assert any(
        "8000 Hz" in note and "nothing above 4000 Hz is heard" in note for note in report.notes
    )


def test_min_rate_refuses_telephone_speech(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "a.mp3", 300, 8000, channels=2)
    (source / "a.txt").write_text("hello")
    with pytest.raises(
        BadImport, match="at 8000 Hz, the import asks for 16000 Hz .*lower --min-rate"
    ):
        take(workspace, source, Branch.ASR, min_rate=16_000)


def test_manifest_keeps_what_rows_say(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "a.wav")
    record(source / "b.wav", 400)
    manifest = write_lines(
        source / "m.jsonl",
        {"id": "x", "audio": "a.wav", "text": "one", "split": "test", "speaker": 7, "group": "g"},
        {"audio": "b.wav", "text": "two", "reference_text": "2", "licence": "CC0-1.0", "length": 3},
    )
    report = take(workspace, manifest, Branch.ASR, split=SplitPlan(test_share=0))
    items = report.prompt_set.items
    assert [item.split for item in items] == [Split.TEST, Split.TRAIN]
    assert [item.licence for item in items] == [None, "CC0-1.0"]
    assert items[0].group == "g" and items[1].source == "m.jsonl:2"
    assert [prompt.reference_text for prompt in prompts(workspace, report)] == ["one", "2"]
    assert {speaker.name for speaker in workspace.records.find(Speaker)} == {"own:7", "own"}
    assert any(note.startswith("keys that were not read: length (1 rows)") for note in report.notes)


def test_mandarin_stays_what_it_is(workspace: Workspace, source: Path) -> None:
    manifest = write_lines(
        source / "m.jsonl",
        json.dumps({"text": "今天天气很好。", "language": "zh-cn"}, ensure_ascii=False),
        {"text": "good morning"},
    )
    mandarin, english = prompts(workspace, take(workspace, manifest, Branch.TTS))
    assert (mandarin.text, mandarin.languages) == ("今天天气很好。", ("zh-CN",))
    assert english.languages == ("en-US",)
    again = take(workspace, manifest, Branch.TTS, name="zh", language="ZH-hans-CN")
    assert prompts(workspace, again)[1].languages == ("zh-Hans-CN",)


def test_text_file(workspace: Workspace, source: Path) -> None:
    (source / "p.txt").write_bytes(
        "\ufefffirst  one\r\n\r\nsecond\r\nFirst one!\r\nsecond".encode()
    )
    report = take(workspace, source / "p.txt", Branch.TTS)
    assert [prompt.text for prompt in prompts(workspace, report)] == [
        "first one",
        "second",
        "First one!",
    ]
    assert report.repeated == 1 and report.audio_seconds == 0 and report.notes == ()
    groups = [item.group for item in report.prompt_set.items]
    assert groups[0] == groups[2] != groups[1], "equal but for case and punctuation"
    with pytest.raises(
        BadImport, match="no recording, and asr needs one: name one, or import it for"
    ):
        take(workspace, source / "p.txt", Branch.ASR)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("gone.txt", None, NotFound, "gone.txt: no such file or folder"),
        ("empty.txt", b"", BadImport, "empty.txt: the file is empty"),
        ("empty.jsonl", b"", BadImport, "empty.jsonl: the file is empty"),
        ("blank.txt", b"\n \n\n", BadImport, "blank.txt: holds no rows"),
        ("p.doc", b"x", BadImport, "suffix '.doc' fits no layout"),
        ("a.wav", b"x", BadImport, "single recording: give its folder"),
        ("p.txt", b"\xff\xfea\0b\0", BadImport, "1 row refused; the first: p.txt:1: byte 1 is not"),
    ],
)
def test_unusable_files(
    workspace: Workspace, source: Path, name: str, content: bytes | None, error: Any, message: str
) -> None:
    if content is not None:
        (source / name).write_bytes(content)
    with pytest.raises(error, match=message) as caught:
        take(workspace, source / name, Branch.TTS)
    assert "\n" not in str(caught.value)
    assert not workspace.records.find(Prompt)


def test_unusable_options(workspace: Workspace, source: Path) -> None:
    path = write_lines(source / "p.txt", "hello")
    for options, error, message in (
        ({"layout": "csv"}, ConfigError, "layout 'csv': choose from auto, ljspeech"),
        ({"layout": "folder"}, BadImport, "layout folder is a folder, this is a file"),
        ({"language": "english"}, ConfigError, "language 'english' is no BCP-47 tag"),
        ({"language": "en_US"}, ConfigError, "language 'en_US' is no BCP-47 tag"),
        ({"name": "a@1"}, ConfigError, "name 'a@1': write letters"),
        ({"min_rate": -1}, ConfigError, "min rate -1 Hz"),
    ):
        with pytest.raises(error, match=message):
            take(workspace, path, Branch.TTS, **options)
    with pytest.raises(BadImport, match="holds no audio and fits no layout"):
        take(workspace, source, Branch.TTS)
    with pytest.raises(ConfigError, match="test share 0.7 and validation share 0.6"):
        SplitPlan(0.7, 0.6)

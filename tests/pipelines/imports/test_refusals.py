"""Damaged and hostile rows: each is refused by name, the others are taken, nothing is half-written."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from trivox.pipelines.imports import ImportReport, Refusal, SplitPlan, Terms, import_source
from trivox.pipelines.imports.layouts import read_rows
from trivox.pipelines.imports.rows import LONGEST_LINE
from trivox.platform.errors import BadImport, DiskFull, RefusedByConsent
from trivox.platform.personas.registry import add, persona_of
from trivox.platform.records import Audio, Branch, Consent, Prompt, PromptSet, Speaker, Split
from trivox.platform.store import Workspace


def take(workspace: Workspace, source: Path, **options: Any) -> ImportReport:
    options = {"name": "own", "branch": Branch.ASR, "language": "en"} | options
    return import_source(workspace, str(source), **options)


def manifest(source: Path, *rows: dict[str, Any] | str | bytes) -> Path:
    path = source / "m.jsonl"
    lines = [row if isinstance(row, bytes | str) else json.dumps(row) for row in rows]
    encoded = [line.encode() if isinstance(line, str) else line for line in lines]
    path.write_bytes(b"\n".join(encoded) + b"\n")
    return path


def reasons(report: ImportReport) -> dict[str, str]:
    return {refusal.row: refusal.reason for refusal in report.refused}


def test_good_rows_are_kept(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "good.wav")
    (source / "text.wav").write_text("hello")
    (source / "cut.wav").write_bytes((source / "good.wav").read_bytes()[:3000])
    soundfile.write(source / "nan.wav", np.full(100, np.nan), 8000, subtype="FLOAT")
    soundfile.write(source / "none.wav", np.zeros(100), 16_000)
    path = manifest(
        source,
        {"audio": "good.wav", "text": "good", "id": "a"},
        {"audio": "text.wav", "text": "b"},
        {"audio": "cut.wav", "text": "c"},
        {"audio": "nan.wav", "text": "d"},
        {"audio": "none.wav", "text": "e"},
        {"audio": "gone.wav", "text": "f"},
        {"audio": "good.wav", "text": "  "},
        {"text": "no audio"},
        {"audio": "good.wav", "text": "g", "language": "klingon!"},
        {"audio": "good.wav", "text": "h", "split": "holdout"},
        {"audio": "good.wav", "text": "i", "langauge": "zh-CN"},
        {"audio": "good.wav", "text": ["j"]},
        {"audio": "good.wav", "text": "k", "id": "a"},
        "[1, 2]",
        '{"text": ',
        "[" * 100_000,
        b'{"audio": "good.wav", "text": "\xff"}',
        {"audio": "good.wav", "text": "a\0b"},
        {"audio": "good.wav", "text": "x" * 6000},
        '{"text": "' + "y" * (LONGEST_LINE * 3) + '"}',
        {"audio": "good.wav", "text": "last"},
    )
    report = take(workspace, path)
    said = {p.reference_text for p in workspace.records.find(Prompt)}
    assert said == {"good", "last"} and report.taken == 2
    expected = {
        2: "not audio, or damaged", 3: "cut off after", 4: "sample 0 is NaN", 5: "digital silence",
        6: "no such file", 7: "the text is empty", 8: "no recording, and asr needs one",
        9: "language 'klingon!' is no BCP-47", 10: "split 'holdout' is unknown",
        11: "unknown key 'langauge'", 12: "text: Input should be", 13: "id 'a' is that of m.jsonl:1 too",
        14: "a JSON list", 15: "not JSON", 16: "not JSON", 17: "byte 32 is not UTF-8",
        18: "the text holds U+0000", 19: "the text has 6000 characters", 20: "the line is longer than",
    }  # fmt: skip
    found = reasons(report)
    assert sorted(found) == sorted(f"m.jsonl:{number}" for number in expected)
    for number, reason in expected.items():
        assert reason in found[f"m.jsonl:{number}"]
    assert all(refusal.remedy and "\n" not in str(refusal) for refusal in report.refused)


def test_paths_cannot_leave_the_folder(
    workspace: Workspace, source: Path, tmp_path: Path, record: Any
) -> None:
    outside = record(tmp_path / "outside" / "secret.wav")
    record(source / "in" / "good.wav")
    (source / "link.wav").symlink_to(outside)
    (source / "linked").symlink_to(outside.parent)
    (source / "loop.wav").symlink_to(source / "loop.wav")
    hostile = (
        str(outside), "../outside/secret.wav", "in/../../outside/secret.wav", "link.wav",
        "linked/secret.wav", "/dev/zero", "a\0.wav", "loop.wav",
    )  # fmt: skip
    rows = [{"audio": name, "text": f"row {i}"} for i, name in enumerate(hostile)]
    path = manifest(source, *rows, {"audio": "in/../in/good.wav", "text": "good"})
    report = take(workspace, path)
    assert report.taken == 1 and len(report.refused) == len(hostile)
    assert all("leads out of" in r or "is not a path" in r for r in reasons(report).values())
    assert len(workspace.records.find(Audio)) == 1


def test_ljspeech_and_folders_cannot_leave_either(
    workspace: Workspace, source: Path, tmp_path: Path, record: Any
) -> None:
    outside = record(tmp_path / "outside" / "secret.wav")
    (tmp_path / "outside" / "secret.txt").write_text("private words")
    record(source / "wavs" / "good.wav")
    (source / "metadata.csv").write_text("../../outside/secret|a\ngood|b\nno bar\nx|1|2|3\n")
    report = take(workspace, source)
    assert list(reasons(report).values()) == [
        f"'wavs/../../outside/secret.wav' leads out of {source}",
        "1 fields between bars where 2 or 3 are expected",
        "4 fields between bars where 2 or 3 are expected",
    ]
    (source / "wavs" / "good.txt").write_text("words")
    (source / "wavs" / "a.wav").symlink_to(outside)
    (source / "wavs" / "a.txt").write_text("words")
    record(source / "wavs" / "b.wav", 400)
    (source / "wavs" / "b.txt").symlink_to(outside.with_suffix(".txt"))
    report = take(workspace, source / "wavs", name="folder")
    assert report.taken == 1
    assert list(reasons(report)) == ["a.wav", "b.wav"]


def test_audio_root_lets_a_manifest_lie_elsewhere(
    workspace: Workspace, source: Path, tmp_path: Path, record: Any
) -> None:
    record(tmp_path / "speech" / "a.wav")
    path = manifest(source, {"audio": "a.wav", "text": "hello"})
    with pytest.raises(BadImport, match="no such file"):
        take(workspace, path)
    assert take(workspace, path, audio_root=tmp_path / "speech").taken == 1


def test_the_same_again_and_something_else(workspace: Workspace, source: Path, record: Any) -> None:
    record(source / "a.wav", rate=8000)
    path = manifest(source, {"audio": "a.wav", "text": "one"})
    first = take(workspace, path)
    counts = [len(workspace.records.find(kind)) for kind in (Audio, Prompt, PromptSet, Speaker)]
    assert counts == [2, 1, 1, 1]
    again = take(workspace, path)
    assert again.prompt_set == first.prompt_set and first.new_version and not again.new_version
    assert counts == [len(workspace.records.find(k)) for k in (Audio, Prompt, PromptSet, Speaker)]
    manifest(source, {"audio": "a.wav", "text": "one"}, {"audio": "a.wav", "text": "two"})
    changed = take(workspace, path)
    assert changed.prompt_set.reference == "own@2" and changed.new_version
    assert workspace.records.get(PromptSet, first.prompt_set.id) == first.prompt_set
    manifest(source, {"audio": "a.wav", "text": "one"})
    assert take(workspace, path).prompt_set.version == 3, (
        "the latest version is what was imported last"
    )


def test_explicit_splits_that_contradict(workspace: Workspace, source: Path) -> None:
    path = manifest(
        source,
        {"text": "Hello!", "split": "test"},
        {"text": "hello", "split": "train"},
        {"text": "hello", "split": "test"},
        {"text": "other", "split": "dev", "group": "g"},
        {"text": "third", "group": "g"},
        {"text": "other", "split": "train"},
    )
    report = take(workspace, path, branch=Branch.TTS, split=SplitPlan(0))
    texts = {p.id: p.text for p in workspace.records.find(Prompt)}
    assert [(texts[i.prompt], i.split) for i in report.prompt_set.items] == [
        ("Hello!", Split.TEST),
        ("other", Split.VALIDATION),
        ("third", Split.VALIDATION),
    ]
    assert [refusal.row for refusal in report.refused] == ["m.jsonl:3", "m.jsonl:6", "m.jsonl:2"]


def test_consent_is_recorded_and_not_widened(
    workspace: Workspace, source: Path, record: Any
) -> None:
    record(source / "a.wav")
    path = manifest(source, {"audio": "a.wav", "text": "one"})
    terms = Terms(speaker="Ada", licence="CC0-1.0", consents=(Consent.ANNOTATE,))
    report = take(workspace, path, terms=terms)
    assert report.notes == ("recorded as stated by you: Ada allows annotate; licence: CC0-1.0",)
    (speaker,) = workspace.records.find(Speaker)
    assert speaker.consents == (Consent.ANNOTATE,) and not speaker.synthetic
    with pytest.raises(
        BadImport, match="'Ada' is recorded as allowing annotate, .* states annotate, t"
    ):
        take(workspace, path, name="more", terms=Terms(speaker="Ada"))
    other = take(workspace, path, name="other", terms=Terms(speaker="Bob", licence="MIT"))
    assert any("1 recordings were here already with another speaker" in n for n in other.notes)
    (audio,) = workspace.records.find(Audio)
    assert audio.speaker == speaker.id
    revoked = speaker.__class__(**{**vars(speaker), "revoked_at": workspace_time(workspace)})
    workspace.records.replace(revoked)
    with pytest.raises(RefusedByConsent, match="'Ada' revoked consent on"):
        take(workspace, path, name="late", terms=terms)


def workspace_time(workspace: Workspace) -> Any:
    from trivox.platform.records import Project

    return workspace.records.find(Project)[0].created_at


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_broken_off_import_leaves_no_set(
    workspace: Workspace, source: Path, record: Any, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    record(source / "a.wav")
    path = manifest(source, {"audio": "a.wav", "text": "one"}, {"audio": "a.wav", "text": "two"})

    def cut(*arguments: Any) -> Any:
        yield next(iter(read_rows(*arguments)))
        raise stop

    with monkeypatch.context() as patched, pytest.raises(type(stop)):
        patched.setattr("trivox.pipelines.imports.service.read_rows", cut)
        take(workspace, path)
    for kind in (Audio, Prompt, PromptSet, Speaker):
        assert not workspace.records.find(kind)
    assert take(workspace, path).taken == 2


def test_full_disk_is_named(
    workspace: Workspace, source: Path, record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(source / "a.wav")
    path = manifest(source, {"audio": "a.wav", "text": "one"})

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("trivox.platform.store.files.os.replace", full)
    with pytest.raises(DiskFull):
        take(workspace, path)
    assert not workspace.records.find(PromptSet)


def test_a_refusal_reads_as_one_line() -> None:
    assert (
        str(Refusal("a:1", "the text is empty", "delete it")) == "a:1: the text is empty: delete it"
    )


def test_directives_that_do_not_lie_in_their_text(workspace: Workspace, source: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "turn on", "inline_instructions": [[5, 7, "slow"], [7, 7, "pause"]]},
        {"text": "turn off", "inline_instructions": [[5, 9, "slow"]]},
        {"text": "turn it", "inline_instructions": [[3, 2, "slow"]]},
        {"text": "turn  this", "inline_instructions": [[0, 4, "slow"]]},
        {"text": "turn that", "inline_instructions": [[0, 4, " "]]},
        {"text": "turn those", "inline_instructions": [[0, "slow"]]},
        {"text": "turn", "inline_instructions": None},
    ]
    report = take(workspace, manifest(source, *rows), branch=Branch.TTS)
    assert [refusal.row for refusal in report.refused] == [f"m.jsonl:{n}" for n in range(2, 7)]
    assert "[5, 9, 'slow'] does not lie in the text's 8 characters" in report.refused[0].reason
    (prompt_set,) = workspace.records.find(PromptSet)
    taken = [workspace.records.get(Prompt, item.prompt) for item in prompt_set.items]
    assert [one.inline_instructions for one in taken] == [((5, 7, "slow"), (7, 7, "pause")), ()]


def test_dialogues_that_cannot_be_taken(workspace: Workspace, source: Path, record: Any) -> None:
    add(workspace, persona_of(workspace.project, "butler", "anna says aye", {}))
    record(source / "r.wav")
    user = {"role": "user", "text": "hello"}
    path = manifest(
        source,
        {"persona": "butler", "turns": [user]},
        {"turns": [user]},
        {"persona": "cook", "turns": [user]},
        {"persona": "butler", "turns": [user, {"role": "assistant", "text": "aye"}]},
        {"persona": "butler", "turns": [{"role": "user"}]},
        {"persona": "butler", "turns": [{"role": "system", "text": "obey"}]},
        {"persona": "butler", "turns": [{"role": "user", "audio": "../r.wav"}]},
        {"persona": "butler", "turns": [{**user, "adio": "r.wav"}]},
        {"persona": "butler", "turns": "hello"},
        {"persona": "butler"},
    )
    report = take(workspace, path, branch=Branch.REALTIME)
    assert report.taken == 1
    found = reasons(report)
    assert found.pop("m.jsonl:2") == "no persona, and realtime needs one"
    assert found.pop("m.jsonl:3").startswith("no persona 'cook' in")
    assert found.pop("m.jsonl:4") == "the last turn is the assistant's"
    assert found.pop("m.jsonl:5") == "a turn has neither text nor audio"
    assert found.pop("m.jsonl:6").startswith("turns.0.role: Input should be 'user' or 'assistant'")
    assert "leads out of" in found.pop("m.jsonl:7")
    assert found.pop("m.jsonl:8").startswith("turns.0.adio: Extra inputs are not permitted")
    assert found.pop("m.jsonl:9").startswith("turns: Input should be")
    assert found == {"m.jsonl:10": "the text is empty"}

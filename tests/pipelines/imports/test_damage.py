"""Every layout of speech and prompts under every damage: good rows are taken, bad ones named, kept and mended."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trivox.pipelines.imports import ImportReport, import_source
from trivox.pipelines.imports.rows import LONGEST_LINE
from trivox.platform.records import Audio, Branch, Prompt, Split
from trivox.platform.store import Workspace

Good = tuple[str, str]
"""Name of a recording and what is said in it."""
PATHS = (
    "../secret.wav",
    "/etc/passwd",
    "a\0b.wav",
    "https://example.org/a.wav",
    "link.wav",
    "gone.wav",
)


def jsonl(folder: Path, rows: list[dict[str, Any]], name: str = "m.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def manifest(folder: Path, rows: list[Good]) -> Path:
    return jsonl(folder, [{"audio": audio, "text": text} for audio, text in rows])


def nemo(folder: Path, rows: list[Good]) -> Path:
    return jsonl(folder, [{"audio_filepath": a, "text": t, "duration": 0.5} for a, t in rows])


def cut(audio: str, text: str, rate: int = 16_000) -> dict[str, Any]:
    source = {"type": "file", "channels": [0], "source": audio}
    recording = {
        "id": audio,
        "sources": [source],
        "sampling_rate": rate,
        "num_samples": 8000,
        "duration": 0.5,
    }
    spoken = {
        "id": "s",
        "recording_id": audio,
        "start": 0,
        "duration": 0.5,
        "channel": 0,
        "text": text,
    }
    return {
        "id": f"{audio} {text}",
        "start": 0,
        "duration": 0.5,
        "channel": 0,
        "supervisions": [spoken],
        "recording": recording,
        "type": "MonoCut",
    }


def lhotse(folder: Path, rows: list[Good]) -> Path:
    return jsonl(folder, [cut(*row) for row in rows])


def ljspeech(folder: Path, rows: list[Good]) -> Path:
    """Recordings without their suffix, below wavs/."""
    lines = [f"{audio.removesuffix('.wav')}|{text}" for audio, text in rows]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def librispeech(folder: Path, rows: list[Good]) -> Path:
    lines = [f"{audio.removesuffix('.wav')} {text.upper()}" for audio, text in rows]
    (folder / "1-2.trans.txt").write_text("\n".join(lines) + "\n")
    return folder


def common_voice(folder: Path, rows: list[Good]) -> Path:
    lines = [f"speaker\t{audio}\t{text}\ten" for audio, text in rows]
    head = "client_id\tpath\tsentence\tlocale"
    (folder / "train.tsv").write_text("\n".join([head, *lines]) + "\n")
    return folder


def parquet(folder: Path, rows: list[Good]) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"audio": [a for a, _ in rows], "text": [t for _, t in rows]})
    parquet.write_table(table, folder / "train.parquet")
    return folder


LAYOUTS: dict[str, tuple[Callable[[Path, list[Good]], Path], str]] = {
    "jsonl": (manifest, ""),
    "nemo": (nemo, ""),
    "lhotse": (lhotse, ""),
    "ljspeech": (ljspeech, "wavs"),
    "librispeech": (librispeech, ""),
    "commonvoice": (common_voice, "clips"),
    "hf": (parquet, ""),
}


def take(ws: Workspace, source: Path, **options: Any) -> ImportReport:
    options = {"name": "own", "branch": Branch.ASR, "language": "en"} | options
    return import_source(ws, str(source), **options)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_damaged_rows_are_named_and_kept_and_the_others_taken(
    workspace: Workspace, source: Path, tmp_path: Path, record: Any, layout: str
) -> None:
    write, below = LAYOUTS[layout]
    place = source / below
    record(place / "good.wav"), record(place / "more.wav", 350)
    (tmp_path / "secret.wav").write_bytes(b"secret")
    (place / "link.wav").symlink_to(tmp_path / "secret.wav")
    (place / "text.wav").write_text("this is no sound")
    record(place / "low.wav", 500, 8000)
    bad = [*PATHS, "text.wav", "low.wav"]
    if layout == "librispeech":  # names end at the first space and there are no folders above
        bad.remove("https://example.org/a.wav")
    rows = [
        ("good.wav", "first"),
        *((name, f"bad {n}") for n, name in enumerate(bad)),
        ("more.wav", "last"),
    ]
    report = take(workspace, write(source, rows), min_rate=16_000)
    assert report.layout == layout and report.taken == 2, report.refused
    assert {one.reference_text for one in workspace.records.find(Prompt)} == {"first", "last"}
    assert len(report.refused) == len(bad)
    reasons = " ".join(one.reason for one in report.refused)
    for part in ("leads out of", "is not a path", "not audio, or damaged", "at 8000 Hz"):
        assert part in reasons, part
    assert all(one.remedy and one.row for one in report.refused)
    assert report.quarantine is not None
    kept = [json.loads(line) for line in report.quarantine.read_text().splitlines()]
    assert [one["row"] for one in kept] == [one.row for one in report.refused]
    assert all("values" in one or "raw" in one for one in kept)
    assert b"secret" not in b"".join(p.read_bytes() for p in workspace.root.rglob("*.flac"))


def test_the_quarantine_is_mended_and_comes_in(
    workspace: Workspace, source: Path, record: Any
) -> None:
    """Two of three rows wait; mended, they are added to what was taken, which stays in its split."""
    record(source / "a.wav"), record(source / "b.wav", 350)
    rows = [
        {"audio": "a.wav", "text": "one", "split": "test"},
        {"audio": "gone.wav", "text": "two"},
    ]
    path = jsonl(source, [*rows, {"audio": "b.wav", "text": ["three"]}])
    first = take(workspace, path)
    assert first.taken == 1 and first.quarantine is not None
    kept = [json.loads(line) for line in first.quarantine.read_text().splitlines()]
    assert "no such file" in take_refused(workspace, first.quarantine, source)
    kept[0]["values"] = {"audio": "b.wav", "text": "two"}
    kept[1]["values"] = json.loads(kept[1]["raw"]) | {"text": "three", "audio": "a.wav"}
    first.quarantine.write_text("".join(json.dumps(row) + "\n" for row in kept))
    again = take(workspace, first.quarantine, add=True, audio_root=source)
    assert again.refused == () and again.prompt_set.version == 2
    said = {
        workspace.records.get(Prompt, item.prompt).reference_text: item.split
        for item in again.prompt_set.items
    }
    assert said.keys() == {"one", "two", "three"} and said["one"] == Split.TEST
    assert said["three"] == Split.TEST  # the same recording: the same group, the same split


def take_refused(ws: Workspace, path: Path, root: Path) -> str:
    from trivox.platform.errors import BadImport

    with pytest.raises(BadImport) as caught:
        take(ws, path, add=True, audio_root=root)
    return str(caught.value)


LISTINGS = {
    "jsonl": "m.jsonl", "nemo": "m.jsonl", "lhotse": "m.jsonl", "ljspeech": "metadata.csv",
    "librispeech": "1-2.trans.txt", "commonvoice": "train.tsv", "text": "m.txt",
}  # fmt: skip


def texts(folder: Path, rows: list[Good]) -> Path:
    path = folder / "m.txt"
    path.write_text("".join(text + "\n" for _, text in rows))
    return path


@pytest.mark.parametrize("layout", LISTINGS)
def test_a_giant_line_among_good_ones(
    workspace: Workspace, source: Path, record: Any, layout: str
) -> None:
    """Of every layout that is read by lines: refused by its number, copied to quarantine to the byte."""
    write, below = LAYOUTS.get(layout, (texts, ""))
    record(source / below / "good.wav"), record(source / below / "more.wav", 350)
    path = write(source, [("good.wav", "first"), ("more.wav", "last")])
    listing = source / LISTINGS[layout]
    *before, last = listing.read_bytes().splitlines(keepends=True)
    giant = b'{"text": "' + b"x" * (2 * LONGEST_LINE) + b"\n"
    listing.write_bytes(b"".join([*before, giant, last]))
    branch = Branch.TTS if layout == "text" else Branch.ASR
    report = take(workspace, path, branch=branch)
    assert report.taken == 2 and report.layout == layout
    (refused,) = report.refused
    assert refused.row == f"{listing.name}:{len(before) + 1}" and "longer than" in refused.reason
    assert refused.remedy and report.quarantine is not None
    (copied,) = report.quarantine.parent.glob("*.bin")
    assert copied.read_bytes() == giant


def wrong_type(layout: str, folder: Path) -> Path:
    """Two good rows, and one whose text is of another type."""
    if layout in ("hf", "verl"):
        import pyarrow as pa
        from pyarrow import parquet

        ask = lambda text: [{"role": "user", "content": text}]  # noqa: E731
        good = {"text": ["first", "last"], "prompt": [ask("first"), ask("last")]}
        bad = {"text": [["first"]], "prompt": ["first"]}
        chosen = "prompt" if layout == "verl" else "text"
        parquet.write_table(pa.table({chosen: good[chosen]}), folder / "train.parquet")
        parquet.write_table(pa.table({chosen: bad[chosen]}), folder / "wrong.parquet")
        return folder
    path = LAYOUTS[layout][0](folder, [("a.wav", "first"), ("b.wav", "bad"), ("c.wav", "last")])
    path.write_text(path.read_text().replace('"bad"', '["bad"]'))
    return path


@pytest.mark.parametrize("layout", ["jsonl", "nemo", "lhotse", "hf", "verl"])
def test_a_column_of_another_type(
    workspace: Workspace, source: Path, record: Any, layout: str
) -> None:
    for name, pitch in (("a", 300), ("b", 350), ("c", 400)):
        record(source / f"{name}.wav", pitch)
    branch = Branch.TTS if layout in ("hf", "verl") else Branch.ASR
    chosen = {"layout": "verl"} if layout == "verl" else {}
    report = take(workspace, wrong_type(layout, source), branch=branch, **chosen)
    assert report.taken == 2 and len(report.refused) == 1
    (refused,) = report.refused
    asked = ("should be", "is a list, not text", "no list of messages")
    assert any(part in refused.reason for part in asked) and refused.remedy
    assert report.quarantine is not None and '"first"' not in report.quarantine.read_text()[:20]


@pytest.mark.parametrize("layout", [*(one for one in LAYOUTS if one != "nemo")])
def test_an_id_that_comes_twice(
    workspace: Workspace, source: Path, record: Any, layout: str
) -> None:
    """The same row again is kept once; one of the same id that says something else is refused by name. NeMo's
    manifests and verl's rows have no ids."""
    write, below = LAYOUTS[layout]
    record(source / below / "a.wav"), record(source / below / "b.wav", 350)
    rows = [("a.wav", "first"), ("a.wav", "first"), ("a.wav", "other"), ("b.wav", "last")]
    path = write(source, rows)
    ids = ["1", "1", "1", "2"]
    if layout in ("jsonl", "lhotse"):
        held = [json.loads(line) for line in path.read_text().splitlines()]
        jsonl(source, [row | {"id": id} for row, id in zip(held, ids, strict=True)])
    elif layout == "hf":
        import pyarrow as pa
        from pyarrow import parquet as files

        table = files.read_table(source / "train.parquet").append_column("id", pa.array(ids))
        files.write_table(table, source / "train.parquet")
    report = take(workspace, path)
    assert report.taken == 2 and report.repeated == 1
    (refused,) = report.refused
    assert "is that of" in refused.reason and refused.row.endswith((":3", ":4")) and refused.remedy
    assert {one.reference_text for one in workspace.records.find(Prompt)} == {"first", "last"}


def test_recordings_of_lhotse_that_are_damaged_or_come_twice(
    workspace: Workspace, source: Path, record: Any
) -> None:
    record(source / "a.wav"), record(source / "b.wav", 350)
    recordings = [json.dumps(cut(name, "")["recording"]) for name in ("a.wav", "b.wav")]
    lines = [*recordings, recordings[0].replace("16000", "8000"), "{"]
    (source / "recordings.jsonl").write_text("\n".join(lines) + "\n")
    spoken = [cut(name, name[0])["supervisions"][0] | {"id": name} for name in ("a.wav", "b.wav")]
    jsonl(source, spoken, "supervisions.jsonl")
    report = take(workspace, source)
    assert report.taken == 2
    assert [one.row for one in report.refused] == ["recordings.jsonl:3", "recordings.jsonl:4"]


def test_folders_of_recordings_that_are_damaged(
    workspace: Workspace, source: Path, tmp_path: Path, record: Any
) -> None:
    """No text, no recording, a giant text, a link out of the folder; every refused file is named in quarantine."""
    (tmp_path / "secret.txt").write_text("private words")
    for number, name in enumerate(("good", "mute", "giant", "low")):
        rate = 8000 if name == "low" else 16_000
        record(source / f"{name}.wav", 300 + 20 * number, rate)
        (source / f"{name}.txt").write_text("words")
    (source / "mute.txt").unlink()
    (source / "giant.txt").write_text("x" * (2 * LONGEST_LINE))
    (source / "text.wav").write_text("no sound"), (source / "text.txt").write_text("words")
    (source / "alone.txt").symlink_to(tmp_path / "secret.txt")
    report = take(workspace, source, min_rate=16_000)
    assert report.layout == "folder" and report.taken == 1
    names = ["alone.txt", "giant.wav", "low.wav", "mute.wav", "text.wav"]
    assert sorted(one.row for one in report.refused) == names
    assert all(one.remedy for one in report.refused) and report.quarantine is not None
    kept = report.quarantine.read_text()
    assert all(name in kept for name in names) and "private" not in kept


@pytest.mark.slow
def test_a_line_of_half_a_gigabyte(workspace: Workspace, source: Path, record: Any) -> None:
    """It is refused, copied to quarantine whole, and never in memory at once."""
    import tracemalloc

    record(source / "good.wav")
    path = source / "m.jsonl"
    with path.open("wb") as file:
        file.write(b'{"audio": "good.wav", "text": "first"}\n{"text": "')
        for _ in range(512):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"audio": "good.wav", "text": "last"}\n')
    tracemalloc.start()
    report = take(workspace, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert report.taken == 2 and [one.row for one in report.refused] == ["m.jsonl:2"]
    assert peak < 100 << 20
    assert report.quarantine is not None
    (kept,) = report.quarantine.parent.glob("*.bin")
    assert kept.stat().st_size == (512 << 20) + 13


def test_shards_that_are_cut_off_cost_no_other(
    workspace: Workspace, source: Path, record: Any
) -> None:
    record(source / "a.wav"), record(source / "b.wav", 350)
    parquet(source, [("a.wav", "one")])
    (source / "train.parquet").rename(source / "train-0.parquet")
    parquet(source, [("b.wav", "two")])
    (source / "train.parquet").rename(source / "test-0.parquet")
    cut_off = source / "train-0.parquet"
    cut_off.write_bytes(cut_off.read_bytes()[:-50])
    report = take(workspace, source)
    assert report.taken == 1 and "cannot be read from row 1" in report.refused[0].reason
    assert report.quarantine is not None
    copied = list(report.quarantine.parent.glob("*.bin"))
    assert [one.read_bytes() for one in copied] == [cut_off.read_bytes()]


def test_packed_manifests_and_those_cut_off(
    workspace: Workspace, source: Path, record: Any
) -> None:
    record(source / "a.wav")
    lines = [json.dumps(cut("a.wav", f"word {n}")) for n in range(2000)]
    packed = gzip.compress("\n".join(lines).encode())
    (source / "cuts.jsonl.gz").write_bytes(packed)
    assert take(workspace, source / "cuts.jsonl.gz", name="whole").layout == "lhotse"
    (source / "cuts.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    report = take(workspace, source / "cuts.jsonl.gz", name="half")
    assert 0 < report.taken < 2000 and "cannot be read from here on" in report.refused[-1].reason


def test_stretches_of_recordings(workspace: Workspace, source: Path, record: Any) -> None:
    """Half a second: two halves of it by lhotse's two manifests, and one that does not lie in it."""
    record(source / "a.wav")
    recording = cut("a.wav", "")["recording"]
    jsonl(source, [recording], "recordings.jsonl")
    spoken = [
        {
            "id": str(n),
            "recording_id": "a.wav",
            "start": start,
            "duration": 0.25,
            "text": f"part {n}",
            "language": "English",
            "speaker": "anna",
        }
        for n, start in enumerate((0, 0.25, 0.4))
    ]
    jsonl(source, [*spoken, spoken[0] | {"recording_id": "b"}], "supervisions.jsonl")
    report = take(workspace, source)
    assert report.layout == "lhotse" and report.taken == 2
    found = workspace.records.find(Audio)
    assert [one.duration_s for one in found] == [0.25]  # of a steady tone both halves are one sound
    assert [one.row for one in report.refused] == ["supervisions.jsonl:3", "supervisions.jsonl:4"]
    wrong = take_of_rate(workspace, source)
    assert "at 16000 Hz, its manifest says 44100 Hz" in wrong


def take_of_rate(ws: Workspace, source: Path) -> str:
    rows = [cut("a.wav", "good"), cut("a.wav", "bad", 44_100)]
    return take(ws, jsonl(source, rows, "cuts.jsonl"), name="rate").refused[0].reason


def test_verl_prompts_come_back(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    from trivox.pipelines.exports.preferences import export_preferences

    rows = [
        {"text": "turn on the light", "split": "test", "group": "a", "language": "en-GB"},
        {"text": "开灯", "split": "train", "instruction": "slowly", "language": "zh-CN"},
    ]
    take(workspace, jsonl(source, rows), branch=Branch.TTS)
    export_preferences(workspace, tmp_path / "verl", "verl")
    with Workspace.create(tmp_path / "other") as other:
        report = take(other, tmp_path / "verl", layout="verl", branch=Branch.TTS)
        ids = lambda ws: {one.id for one in ws.records.find(Prompt)}  # noqa: E731
        assert report.refused == () and ids(other) == ids(workspace)
        splits = {item.prompt: (item.split, item.group) for item in report.prompt_set.items}
        (before,) = workspace.records.find(type(report.prompt_set))
        assert splits == {item.prompt: (item.split, item.group) for item in before.items}

"""`trivox nano prepare`: the teachers speak the planned clips, in shards that a stopped run keeps."""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.pipelines.nano.clips import DIRECTIVES, Clip, plan
from trivox.pipelines.nano.corpus import Corpus, is_complete
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.teachers import RATE, Manner, speak, trimmed
from trivox.platform.errors import ConfigError
from trivox.platform.progress import progress
from trivox.platform.records import Split
from trivox.policy.codec.features import pad_to_frame, pitch_100hz

SHARD = 50
PAUSE_S = 0.45
"""Silence that the directive `pause` asks for."""
CORPUS_FIELDS = {
    "seed",
    "tts_voices",
    "unseen_voices",
    "train_sentences",
    "train_replies",
    "word_sequences",
    "validation_sentences",
    "test_sentences",
}
Wave = npt.NDArray[np.float32]


def speak_corpus(recipe: NanoRecipe, folder: Path) -> None:
    """Write speech of all splits under folder; what is there is not spoken again.

    Raises ConfigError when folder holds the corpus of another recipe; MissingModel without a teacher.
    """
    for split in Split:
        speak_split(recipe, folder, split)


def speak_split(recipe: NanoRecipe, folder: Path, split: Split) -> None:
    """Speech of one split under folder, unless it is there; raises as `speak_corpus` does."""
    _claim(recipe, folder)
    if not is_complete(folder / split):
        _speak_clips(recipe, folder / split, plan(recipe, split))


def _claim(recipe: NanoRecipe, folder: Path) -> None:
    """Note which corpus folder holds; raises ConfigError when it is another one."""
    wanted, note = json.loads(recipe.model_dump_json(include=CORPUS_FIELDS)), folder / "corpus.json"
    if note.exists():
        if (found := json.loads(note.read_text())) != wanted:
            raise ConfigError(
                f"{folder} holds the corpus of {found}, the recipe asks for {wanted}: give another folder"
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(wanted))


def _speak_clips(recipe: NanoRecipe, folder: Path, clips: list[Clip]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    shards = [
        (folder / f"shard-{begin:06d}.npz", clips[begin : begin + SHARD])
        for begin in range(0, len(clips), SHARD)
    ]
    with ProcessPoolExecutor(recipe.prepare_workers) as pool:
        done = pool.map(partial(_shard, recipe.kokoro_voices), shards)
        for _ in progress(done, f"speaking {folder.name}", total=len(shards)):
            pass
    parts = [np.load(path) for path, _ in shards]
    starts = np.cumsum([0, *np.concatenate([part["lengths"] for part in parts])])
    samples = np.concatenate([part["samples"] for part in parts])
    pitch = np.concatenate([part["pitch"] for part in parts])
    Corpus(clips, samples, pitch, starts).save(folder)
    for path, _ in shards:
        path.unlink()


def _shard(kokoro_voices: Path | None, shard: tuple[Path, list[Clip]]) -> None:
    path, clips = shard
    if path.exists():
        return
    waves = [pad_to_frame(spoken(clip, kokoro_voices)) for clip in clips]
    partial_file = path.with_name(f".{path.name}")
    np.savez(
        partial_file,
        lengths=np.array([len(wave) for wave in waves]),
        samples=np.concatenate([(wave * 32768).astype(np.int16) for wave in waves]),
        pitch=np.concatenate([pitch_100hz(wave) for wave in waves]),
    )
    os.replace(partial_file, path)


def spoken(clip: Clip, kokoro_voices: Path | None) -> Wave:
    """float32 [n] at 16 kHz; a clip with a directive is two clips of the same voice, one after the other."""
    if not clip.directive:
        return speak(clip.text, clip.voice, clip.manner, kokoro_voices)
    head = speak(clip.text[: clip.cut].strip(), clip.voice, Manner(), kokoro_voices)
    tail = speak(clip.text[clip.cut :], clip.voice, DIRECTIVES[clip.directive], kokoro_voices)
    pause_s = PAUSE_S if clip.directive == "pause" else 0.0
    silence = np.zeros(int(pause_s * RATE), np.float32)
    return np.concatenate([trimmed(head, margin_s=0.02), silence, trimmed(tail, margin_s=0.02)])

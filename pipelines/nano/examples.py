"""Training rows of the language model: clips of the corpus as prompts and completions of the three branches."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trivox.pipelines.nano.align import word_frames
from trivox.pipelines.nano.checkpoint import save_whole
from trivox.pipelines.nano.clips import Clip
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.prepare import CODES_FILE, load_codes
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.teachers import HIBARI_VOICE, RATE
from trivox.pipelines.nano.train_encoder import (
    HEARD_FILE,
    Clips,
    Speller,
    augmented,
    load_speller,
    padded,
)
from trivox.pipelines.realtime.dialogues import build, persona_text
from trivox.platform.audio.prosody import measure
from trivox.platform.audio.style_words import describe, voice_statistics
from trivox.platform.errors import ConfigError
from trivox.platform.progress import progress
from trivox.platform.records import Split
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Heard, Said, realtime_prompt, reasoning
from trivox.policy.branches.speech import speech_completion
from trivox.policy.branches.tts import REFERENCE_FRAMES, tts_prompt
from trivox.policy.encoder.features import scaled
from trivox.policy.vocabulary import TokenMap

IGNORE = -100
PROSODY_FILE = "described.json"
DIALOGUE_SEEDS = 12
ENCODER_BATCH = 64


@dataclass(frozen=True)
class Example:
    """One row: ids of prompt and completion, and which encoder frames stand in the placeholders, clip by clip:
    (clip, take). The loss covers the whole completion: carried letters teach the model where it is in the text."""

    prompt: list[int]
    completion: list[int]
    heard: tuple[tuple[int, int], ...] = ()

    def __len__(self) -> int:
        return len(self.prompt) + len(self.completion)


class Examples:
    """Draws rows of a branch. Everything that they are made of was computed once and lies in memory."""

    def __init__(self, recipe: NanoRecipe, folder: Path, tokens: TokenMap) -> None:
        """Raises ConfigError for a branch that has a share and no rows."""
        self.recipe, self.tokens = recipe, tokens
        self.clips = Corpus.load(folder / Split.TRAIN).clips
        self.codes = load_codes(folder / Split.TRAIN / CODES_FILE)
        self.takes, self.frames = hear(recipe, folder)
        self.styles = described(recipe, folder)
        self.spoken = [i for i, clip in enumerate(self.clips) if clip.voice in recipe.tts_voices]
        self.by_voice = {
            voice: [i for i in self.spoken if self.clips[i].voice == voice]
            for voice in dict.fromkeys(self.clips[i].voice for i in self.spoken)
        }
        self.dialogues = [
            d
            for seed in range(DIALOGUE_SEEDS)
            for d in build(self.clips, seed, typed=0.1).dialogues
        ]
        sources: dict[str, tuple[Sequence[int], Callable[[int], int]]] = {
            "asr": (range(len(self.clips)), lambda i: len(self.clips[i].text)),
            "tts": (self.spoken, lambda i: len(self.codes[i])),
            "realtime": (range(len(self.dialogues)), self._reply_frames),
        }
        self.sorted = {
            branch: np.array(sorted(items, key=length))
            for branch, (items, length) in sources.items()
        }
        self._check_shares()
        self.tts_weights = self._tts_weights()

    def _check_shares(self) -> None:
        for branch, share in self.recipe.lm_branch_shares.items():
            if share and not len(self.sorted[branch]):
                raise ConfigError(
                    f"lm_branch_shares asks for {share} of {branch} and the corpus has nothing for it: prepare "
                    "more sentences and replies of tts_voices in another folder, or ask for 0"
                )

    def batch(self, branch: str, rng: np.random.Generator, even: bool = False) -> list[Example]:
        """Rows of like length, up to the recipe's number of tokens. even: of tts, each voice as often."""
        if even and branch == "tts":
            return self._even(rng)
        make = {"asr": self.asr, "tts": self.tts, "realtime": self.realtime}[branch]
        order = self.sorted[branch]
        window = max(1, len(order) // 12)
        begin = int(rng.integers(len(order) - window + 1))
        rows, longest = list[Example](), 0
        for index in rng.choice(order[begin : begin + window], min(window, 96), replace=False):
            if branch == "tts" and rng.random() > self.tts_weights[int(index)]:
                continue
            row = make(int(index), rng)
            longest = max(longest, len(row))
            if longest * (len(rows) + 1) > self.recipe.lm_batch_tokens and rows:
                break
            rows.append(row)
        return rows or [make(int(order[begin]), rng)]

    def _even(self, rng: np.random.Generator) -> list[Example]:
        """A window of like length of each voice, a row of each in turn."""
        place, rows, longest = rng.random(), list[Example](), 0
        turns = []
        for clips in self.by_voice.values():
            order = sorted(clips, key=lambda i: len(self.codes[i]))
            window = max(1, len(order) // 12)
            begin = int(place * (len(order) - window + 1))
            turns.append(rng.permutation(order[begin : begin + window])[:32])
        for index in (int(i) for turn in zip_longest(*turns) for i in turn if i is not None):
            row = self.tts(index, rng)
            longest = max(longest, len(row))
            if longest * (len(rows) + 1) > self.recipe.lm_batch_tokens and rows:
                break
            rows.append(row)
        return rows

    def asr(self, index: int, rng: np.random.Generator) -> Example:
        take = int(rng.integers(len(self.takes)))
        completion = asr_completion(self.tokens, self.clips[index].text)
        prompt = asr_prompt(self.tokens, self.embeddings(index, take))
        return Example(prompt, completion, ((index, take),))

    def tts(self, index: int, rng: np.random.Generator) -> Example:
        clip = self.clips[index]
        words, voice = list(self.styles[index]) if not clip.directive else [], None
        if rng.random() < 0.3:
            others = self.by_voice[clip.voice]
            voice = self._reference(others[int(rng.integers(len(others)))], rng)
        elif clip.voice != HIBARI_VOICE or rng.random() < 0.7:
            words = [clip.voice, *words]
        chunks = chunks_of_clip(clip)
        prompt = tts_prompt(self.tokens, " ".join(chunks), " ".join(words), voice)
        completion = speech_completion(self.tokens, self.codes[index], chunks, self.frames[index])
        return Example(prompt, completion)

    def realtime(self, index: int, rng: np.random.Generator) -> Example:
        dialogue = self.dialogues[index]
        clip = self.clips[dialogue.reply]
        heard, turns = list[tuple[int, int]](), list[Heard | Said]()
        for role, said in dialogue.turns:
            if isinstance(said, str):
                turns.append(Said(role, said))
            else:
                heard.append((said, int(rng.integers(len(self.takes)))))
                turns.append(Heard(self.embeddings(*heard[-1])))
        prompt = realtime_prompt(self.tokens, persona_text(*dialogue.persona), turns, clip.voice)
        frames = self.frames[dialogue.reply]
        said_ids = speech_completion(
            self.tokens, self.codes[dialogue.reply], clip.text.split(), frames
        )
        if rng.random() < self.recipe.lm_reasoning_share:
            said_ids = reasoning(self.tokens, dialogue.heard) + said_ids
        return Example(prompt, said_ids, tuple(heard))

    def embeddings(self, index: int, take: int) -> int:
        """How many placeholders a clip has: two frames of the encoder each."""
        return -(-len(self.takes[take][index]) // 2)

    def _reply_frames(self, index: int) -> int:
        dialogue = self.dialogues[index]
        return len(self.codes[dialogue.reply]) + 40 * dialogue.user_turns

    def _reference(self, index: int, rng: np.random.Generator) -> npt.NDArray[np.int32]:
        codes = self.codes[index]
        begin = int(rng.integers(max(1, len(codes) - REFERENCE_FRAMES)))
        return codes[begin : begin + REFERENCE_FRAMES]

    def _tts_weights(self) -> dict[int, float]:
        """How likely a clip is taken when drawn: voices with few clips are taken always."""
        largest = max(map(len, self.by_voice.values()))
        share = {
            voice: min(1.0, self.recipe.lm_voice_balance * largest / len(clips) / 10)
            for voice, clips in self.by_voice.items()
        }
        return {i: share[self.clips[i].voice] for i in self.spoken}


def chunks_of_clip(clip: Clip) -> list[str]:
    """The words of a clip; the word after its cut has the directive in front."""
    if not clip.directive:
        return clip.text.split()
    head, tail = clip.text[: clip.cut].split(), clip.text[clip.cut :].split()
    return [*head, f"({clip.directive}) {tail[0]}", *tail[1:]]


def padded_rows(rows: Sequence[Example], pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded input_ids, attention_mask and labels (prompt and padding ignored), int64 [B, L]."""
    width = max(map(len, rows))
    ids = torch.full((len(rows), width), pad)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, IGNORE)
    for row, example in enumerate(rows):
        end = len(example)
        ids[row, :end] = torch.tensor(example.prompt + example.completion)
        mask[row, :end] = 1
        labels[row, len(example.prompt) : end] = torch.tensor(example.completion)
    return ids, mask, labels


def hear(recipe: NanoRecipe, folder: Path) -> tuple[list[list[Tensor]], list[list[int]]]:
    """What the encoder makes of every clip, float16 [T, 144] at 25 Hz, in several takes, the first as it is and
    the others as other speakers in other rooms; and how many frames each word of a clip has."""
    path = folder / HEARD_FILE
    if not path.exists():
        speller, clips = load_speller(folder), Clips.load(folder / Split.TRAIN)
        takes = [
            _run(speller, clips, np.random.default_rng([recipe.seed, 11, take]) if take else None)
            for take in range(recipe.heard_takes)
        ]
        frames = [_frames(speller, h, t) for h, t in zip(takes[0], clips.texts, strict=True)]
        save_whole((takes, frames), path)
    takes, frames = torch.load(path)
    return takes, frames


@torch.no_grad()
def _run(speller: Speller, clips: Clips, rng: np.random.Generator | None) -> list[Tensor]:
    found: dict[int, Tensor] = {}
    begins = range(0, len(clips.mels), ENCODER_BATCH)
    for begin in progress(begins, "hearing"):
        chosen = clips.by_length[begin : begin + ENCODER_BATCH]
        mels = [clips.mels[i].float() for i in chosen]
        mels = [scaled(augmented(mel, rng) if rng is not None else mel) for mel in mels]
        features, mask = padded(mels)
        hidden = speller.encoder(features, mask).last_hidden_state.half()
        for row, index in enumerate(chosen):
            found[int(index)] = hidden[row, : -(-len(mels[row]) // 4)].clone()
    return [found[index] for index in range(len(clips.mels))]


@torch.no_grad()
def _frames(speller: Speller, hidden: Tensor, text: str) -> list[int]:
    """Frames of each word; by the number of letters where the clip is too fast to be spelled."""
    logprobs = speller.head(hidden.float()).log_softmax(-1).numpy()
    try:
        return word_frames(logprobs, text)
    except ValueError:
        lengths = np.cumsum([len(word) + 1 for word in text.split()])
        edges = np.round(lengths / lengths[-1] * len(logprobs)).astype(int)
        counts: list[int] = np.diff([0, *edges]).tolist()
        return counts


def described(recipe: NanoRecipe, folder: Path) -> list[tuple[str, ...]]:
    """The words that describe how each clip is spoken, from its measured prosody beside that of its voice."""
    path = folder / PROSODY_FILE
    if not path.exists():
        corpus = Corpus.load(folder / Split.TRAIN)
        measured = [
            measure(corpus.waveform(i), RATE, clip.text, pitch=corpus.pitch_of(i), loudness=False)
            for i, clip in enumerate(progress(corpus.clips, "prosody"))
        ]
        voices = {clip.voice for clip in corpus.clips}
        statistics = {
            voice: voice_statistics(
                [
                    prosody
                    for prosody, clip in zip(measured, corpus.clips, strict=True)
                    if clip.voice == voice
                ]
            )
            for voice in voices
        }
        words = [
            describe(prosody, statistics[clip.voice])
            for prosody, clip in zip(measured, corpus.clips, strict=True)
        ]
        path.write_text(json.dumps(words))
    return [tuple(words) for words in json.loads(path.read_text())]

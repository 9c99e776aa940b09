"""Training rows of the language model: clips of the corpus as prompts and completions of the three branches."""

import json
from collections.abc import Sequence
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
from trivox.pipelines.realtime.dialogues import Dialogue, build, persona_text
from trivox.platform.audio.prosody import measure
from trivox.platform.audio.style_words import describe, voice_statistics
from trivox.platform.errors import ConfigError
from trivox.platform.progress import progress
from trivox.platform.records import Split
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Heard, Said, planned, realtime_prompt, reasoning
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
    (clip, take). The loss covers the whole completion: carried letters teach the model where it is in the text.
    read: the completion as the model reads it, where that differs."""

    prompt: list[int]
    completion: list[int]
    heard: tuple[tuple[int, int], ...] = ()
    read: list[int] | None = None

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
        self.turns = {
            "asr": [sorted(range(len(self.clips)), key=lambda i: len(self.clips[i].text))],
            "tts": [
                sorted(clips, key=lambda i: len(self.codes[i])) for clips in self.by_voice.values()
            ],
            "realtime": [sorted(found, key=self._reply_frames) for found in self._by_reply_voice()],
        }
        """By branch: rows by length, for each voice that speaks them."""
        self._check_shares()

    def _by_reply_voice(self) -> list[list[int]]:
        voices = [self.clips[dialogue.reply].voice for dialogue in self.dialogues]
        return [
            [i for i, voice in enumerate(voices) if voice == wanted]
            for wanted in dict.fromkeys(voices)
        ]

    def _check_shares(self) -> None:
        for branch, share in self.recipe.lm_branch_shares.items():
            if share and not any(self.turns[branch]):
                raise ConfigError(
                    f"lm_branch_shares asks for {share} of {branch} and the corpus has nothing for it: prepare "
                    "more sentences and replies of tts_voices in another folder, or ask for 0"
                )

    def batch(self, branch: str, rng: np.random.Generator) -> list[Example]:
        """Rows of like length, up to the recipe's number of tokens: from a window of like length of each voice, a
        row of each in turn."""
        make = {"asr": self.asr, "tts": self.tts, "realtime": self.realtime}[branch]
        if branch == "realtime" and rng.random() < self.recipe.lm_thought_share:
            make = self.thought
        place, rows, longest = rng.random(), list[Example](), 0
        turns = []
        for order in self.turns[branch]:
            window = max(1, len(order) // 12)
            begin = int(place * (len(order) - window + 1))
            turns.append(rng.permutation(order[begin : begin + window])[:96])
        for index in (int(i) for turn in zip_longest(*turns) for i in turn if i is not None):
            row = make(index, rng)
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
        return Example(prompt, completion, read=self._misread(completion, rng))

    def realtime(self, index: int, rng: np.random.Generator) -> Example:
        dialogue = self.dialogues[index]
        clip = self.clips[dialogue.reply]
        prompt, heard = self._asked(dialogue, rng)
        frames = self.frames[dialogue.reply]
        said = speech_completion(self.tokens, self.codes[dialogue.reply], clip.text.split(), frames)
        thinks = rng.random() < self.recipe.lm_reasoning_share
        thought = self._thought(dialogue) if thinks else []
        return Example(prompt, thought + said, heard, thought + self._misread(said, rng))

    def thought(self, index: int, rng: np.random.Generator) -> Example:
        """A realtime row that ends with the reasoning."""
        prompt, heard = self._asked(self.dialogues[index], rng)
        return Example(prompt, self._thought(self.dialogues[index]), heard)

    def _thought(self, dialogue: Dialogue) -> list[int]:
        return reasoning(self.tokens, planned(dialogue.heard, self.clips[dialogue.reply].text))

    def _asked(
        self, dialogue: Dialogue, rng: np.random.Generator
    ) -> tuple[list[int], tuple[tuple[int, int], ...]]:
        """The prompt of a dialogue, and which frames stand in its placeholders."""
        heard, turns = list[tuple[int, int]](), list[Heard | Said]()
        for role, said in dialogue.turns:
            if isinstance(said, str):
                turns.append(Said(role, said))
            else:
                heard.append((said, int(rng.integers(len(self.takes)))))
                turns.append(Heard(self.embeddings(*heard[-1])))
        voice = self.clips[dialogue.reply].voice
        persona = persona_text(*dialogue.persona)
        return realtime_prompt(self.tokens, persona, turns, voice), tuple(heard)

    def _misread(self, completion: Sequence[int], rng: np.random.Generator) -> list[int]:
        """The completion with some audio tokens replaced by others of their codebook (noise on the history of an
        autoregressive model, as in scheduled sampling, Bengio et al. 2015)."""
        ids = np.array(completion)
        missed = rng.random(len(ids)) < rng.random() * self.recipe.lm_history_noise
        for book in range(len(self.tokens.audio_offsets)):
            low, high = self.tokens.audio_range(book)
            here = missed & (ids >= low) & (ids < high)
            ids[here] = rng.integers(low, high, here.sum())
        misread: list[int] = ids.tolist()
        return misread

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
        read = example.completion if example.read is None else example.read
        ids[row, :end] = torch.tensor(example.prompt + read)
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

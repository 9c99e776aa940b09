"""A corpus without teachers: each letter is a tone of its own for 80 ms, a space none."""

import random
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.pipelines.nano.clips import Clip, personas
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.domain import FOLLOW_UPS, INTENTS, Request, ask, persona_reply
from trivox.pipelines.nano.teachers import Manner

LETTER = 1280
VOICES = {"heart": 180.0, "emma": 230.0, "bella": 260.0, "eric": 130.0}
"""Hz of the letter a."""
Wave = npt.NDArray[np.float32]


def pitch_of(text: str, voice: str) -> npt.NDArray[np.float32]:
    """Hz per 10 ms, 0 where silent; a letter lies a fiftieth above the one before it."""
    letters = [VOICES[voice] * 1.02 ** (ord(c) - 97) if c.isalpha() else 0.0 for c in text]
    return np.repeat(np.float32(letters), LETTER // 160)


def sung(text: str, voice: str, seed: int) -> Wave:
    """Tones with their octave over a little noise, float32 [n], amplitude at most 0.2."""
    pitch = np.repeat(pitch_of(text, voice), 160)
    phase = 2 * np.pi * np.cumsum(pitch / 16_000)
    tone = 0.1 * (np.sin(phase) + 0.5 * np.sin(2 * phase)) * (pitch > 0)
    noise = np.random.default_rng(seed).normal(0, 0.005, len(tone))
    return (tone + noise).astype(np.float32)


def corpus_of(clips: list[Clip]) -> Corpus:
    waves = [sung(clip.text, clip.voice, seed) for seed, clip in enumerate(clips)]
    samples = np.concatenate([(wave * 32768).astype(np.int16) for wave in waves])
    pitch = np.concatenate([pitch_of(clip.text, clip.voice) for clip in clips])
    return Corpus(clips, samples, pitch, np.cumsum([0, *map(len, waves)]))


def training_clips() -> list[Clip]:
    """Ten requests with their replies, a follow-up with its own, a request with a directive, random words."""
    rng, clips = random.Random(0), list[Clip]()
    drawn = {intent.name: ask(intent, rng) for intent in INTENTS[:10]}
    for index, asked in enumerate(drawn.values()):
        clips += [_request(asked, ("heart", "emma", "bella")[index % 3]), _reply(asked, rng)]
    light = next(intent for intent in INTENTS if intent.name == "light")
    first = ask(light, rng)
    again = ask(FOLLOW_UPS["light"], rng, first.slots)
    clips += [_request(first, "heart"), _request(again, "heart"), _reply(again, rng, "light")]
    cut = drawn["light"]
    clips.append(Clip("inline", cut.text, "heart", cut=cut.cut, directive="slow"))
    return [*clips, Clip("words", "jazz tom on fan", "heart", Manner(speed=0.72))]


def held_out_clips() -> list[Clip]:
    rng = random.Random(1)
    return [
        _request(ask(INTENTS[i], rng), voice) for i, voice in enumerate(["heart", "emma", "eric"])
    ]


def write_corpus(folder: Path) -> Path:
    """All three splits, as `speak_corpus` leaves them."""
    corpus_of(training_clips()).save(folder / "train")
    for split in ("validation", "test"):
        corpus_of(held_out_clips()).save(folder / split)
    return folder


def _request(asked: Request, voice: str) -> Clip:
    return Clip("sentence", asked.text, voice, intent=asked.intent.name, slots=dict(asked.slots))


def _reply(asked: Request, rng: random.Random, before: str = "") -> Clip:
    persona = rng.choice(personas(held_out=False))
    return Clip(
        "reply",
        persona_reply(*persona, asked.answer(rng)),
        rng.choice(["heart", "emma"]),
        request=asked.text,
        intent=asked.intent.name,
        before=before,
        slots=dict(asked.slots),
        persona=persona,
    )

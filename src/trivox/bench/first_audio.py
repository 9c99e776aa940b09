"""How soon a reply is heard: against the same reply drawn whole, against what no reply can do without, and live.

The limit: the prompt's own pass, the tokens that the codec has to see before its first chunk is certain (its
acoustic delay), and one chunk of the codec. `one_step` of the figures is the ratio to prefill + one step + one
chunk, which only a codec without delay could reach.
"""

import queue
import statistics
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from trivox.bench.harness import REPEATS, Result, interleaved, ratio
from trivox.pipelines.live.events import LiveEvent, ReplyAudio, ReplyDone, Truncated
from trivox.pipelines.live.hub import Hub, Version
from trivox.pipelines.live.session import LiveSession, LiveSettings
from trivox.pipelines.realtime.answering import find_persona
from trivox.pipelines.realtime.personas import character
from trivox.pipelines.workspaces import NANO
from trivox.platform.errors import WorkError
from trivox.platform.records import FinishReason
from trivox.policy.branches.realtime import realtime_constraint
from trivox.policy.engine import InProcessEngine, Request
from trivox.policy.hearing.vad import VAD_RATE
from trivox.policy.speaker import Dialogue, Speaker, Speech, Utterance
from trivox.policy.streaming import SpeechStream, stream_of

ALLOWED = 1.3
TARGET_S = 0.3
SESSIONS = (1, 8, 32)
SEEDS = 20
WAIT_S = 300.0
REPLIES = 9
ASKED = "what is the weather in the garden"
NOWHERE = Path("no-workspace")
Wave = npt.NDArray[np.float32]


def run(full: bool) -> Result:
    """full: more repeats, and three times as many turns."""
    with Hub(NOWHERE, slots=max(SESSIONS)) as hub:
        version = hub.version(NANO)
        wave = _question(version.speaker)
        bare = _Bare(version, wave)
        sides = interleaved(
            {
                "streamed": bare.first,
                "offline": bare.whole,
                "drawn": bare.drawn,
                "prefill and step": bare.prefilled,
                "chunk": bare.chunk,
            },
            repeats=15 if full else 2 * REPEATS - 1,
        )
        live = {n: _Crowd(hub, version, wave, n).measured(_rounds(n, full)) for n in SESSIONS}
    limit = sides["drawn"].median + sides["chunk"].median
    found = sides["streamed"].median / limit
    equal = bare.equal()
    one = sides["prefill and step"].median + sides["chunk"].median
    figures = {name: value for each in live.values() for name, value in each.items()}
    p50 = figures["first_audio_p50_1_s"]
    return Result(
        name="first-audio",
        ratio_to_peer={"offline": ratio(sides["offline"], sides["streamed"])},
        ratio_to_limit=found,
        passed=equal and found <= ALLOWED,
        threshold=f"bit-equal to offline and at most {ALLOWED} times the limit",
        terms={
            "prefill_and_first_step_s": sides["prefill and step"].median,
            "tokens_before_the_first_chunk": bare.tokens,
            "draw_of_these_s": sides["drawn"].median,
            "codec_chunk_s": sides["chunk"].median,
        },
        sizes={"prompt_tokens": len(bare.request.prompt), "reply_tokens": len(bare.ids)},
        sides=sides,
        figures={"bit_equal": float(equal), "one_step": sides["streamed"].median / one, **figures},
        notes=(
            f"speech end as detected to first audio, one session: p50 {1000 * p50:.0f} ms, target {TARGET_S:g} s "
            f"{'met' if p50 < TARGET_S else 'missed'}",
            "sessions end their turns all at once, on the wall clock",
        ),
    )


def _rounds(count: int, full: bool) -> int:
    """Turns of each session, so that there are at least REPLIES in all."""
    return -(-REPLIES // count) * (3 if full else 1)


def _question(speaker: Speaker) -> Wave:
    """A turn for the user, spoken by the model itself, with quiet before it: the same on every machine."""
    asked = Utterance(ASKED)
    speech = max(
        (speaker.speak([asked], [seed])[0] for seed in range(3)), key=lambda s: len(s.codes)
    )
    quiet = np.zeros(VAD_RATE // 4, np.float32)
    return np.concatenate([quiet, speaker.audible(speech)])


def _reply_of(talker: "_Talker") -> ReplyDone:
    try:
        return talker.done.get(timeout=WAIT_S)
    except queue.Empty:
        raise WorkError(
            f"a session gave no reply within {WAIT_S:g} s: was the question heard as speech?"
        ) from None


class _Bare:
    """One reply without a session: what the engine and the codec need for its first packet."""

    def __init__(self, version: Version, wave: Wave) -> None:
        speaker = version.speaker
        self.speaker, self.codec = speaker, speaker.backbone.codec
        self.engine = InProcessEngine(
            speaker.backbone.lm, speaker.tokens.eos, speaker.tokens.pad, 1, fixed=False
        )
        persona = find_persona(NOWHERE, "anna")
        asked = Dialogue(character(persona), (wave,), persona.traits.get("voice", ""))
        constraint = realtime_constraint(speaker.tokens)
        for seed in range(SEEDS):
            self.request: Request = speaker.reply_request(asked, constraint, seed)
            self.tokens = self.first()
            self.ids = self.whole().generation.tokens
            if self.tokens < len(self.ids):
                break
        else:
            raise WorkError(f"none of {SEEDS} replies is longer than the codec's delay")
        self.codes = speaker.tokens.read_codes(self.ids[: self.tokens])

    def first(self) -> int:
        """Until the first samples are there; returns the tokens that were drawn for them."""
        stream = SpeechStream(self.speaker.tokens, self.codec)
        try:
            for piece in stream_of(self.engine, self.request, stream):
                if len(piece.samples):
                    break
            return len(stream.ids)
        finally:
            self.engine.clear()  # else the next one would find the prompt read already

    def whole(self) -> Speech:
        """The same reply, decoded when it is complete."""
        (generation,) = self.engine.generate([self.request])
        return self.speaker.speech_of(generation)

    def drawn(self) -> None:
        """As many tokens as the first packet needs, and nothing done with them."""
        self._steps(self.tokens)

    def prefilled(self) -> None:
        self._steps(1)

    def chunk(self) -> None:
        self.codec.stream().push(self.codes)

    def equal(self) -> bool:
        stream = SpeechStream(self.speaker.tokens, self.codec)
        pieces = [piece.samples for piece in stream_of(self.engine, self.request, stream)]
        return bool(np.array_equal(np.concatenate(pieces), self.whole().samples))

    def _steps(self, count: int) -> None:
        self.engine.submit("bench", self.request)
        for _ in range(count):
            self.engine.step()
        self.engine.cancel("bench")
        self.engine.clear()


@dataclass
class _Talker:
    """One session that plays what it is told at once."""

    session: LiveSession = field(init=False)
    done: "queue.Queue[ReplyDone]" = field(default_factory=queue.Queue)
    sounding: threading.Event = field(default_factory=threading.Event)

    def __call__(self, event: LiveEvent) -> None:
        if isinstance(event, ReplyAudio):
            self.session.sent(event.item, len(event.samples) / VAD_RATE)
            self.sounding.set()
        elif isinstance(event, ReplyDone):
            self.done.put(event)
            self.sounding.set()
        elif isinstance(event, Truncated):
            self.sounding.clear()


class _Crowd:
    """So many sessions that end their turns together."""

    def __init__(self, hub: Hub, version: Version, wave: Wave, count: int) -> None:
        persona = find_persona(NOWHERE, "anna")
        settings = LiveSettings(character(persona), persona.traits.get("voice", ""))
        self.wave, self.count = wave, count
        self.talkers = [_Talker() for _ in range(count)]
        for seed, talker in enumerate(self.talkers):
            own = replace(settings, seed=seed)
            talker.session = LiveSession(hub, version, own, talker, f"bench-{count}-{seed}")

    def measured(self, rounds: int) -> dict[str, float]:
        """p50 and p95 of speech end to first audio; how many replies had an underrun; the slowest stop."""
        self._turn()  # warm
        for talker in self.talkers:
            _reply_of(talker)
        replies = [reply for _ in range(rounds) for reply in self._replies()]
        firsts = [r.timings["first_audio"] for r in replies if "first_audio" in r.timings]
        stops = self._stops()
        for talker in self.talkers:
            talker.session.close()
        n = self.count
        return {
            f"first_audio_p50_{n}_s": statistics.median(firsts),
            f"first_audio_p95_{n}_s": float(np.quantile(firsts, 0.95)),
            f"replies_{n}": float(len(firsts)),
            f"underruns_{n}": float(sum(r.timings["underrun"] > 0 for r in replies)),
            f"barge_in_max_{n}_s": max(stops, default=float("nan")),
        }

    def _replies(self) -> list[ReplyDone]:
        self._fresh()
        self._turn()
        return [_reply_of(talker) for talker in self.talkers]

    def _stops(self) -> list[float]:
        """Speech during each reply: from its detection until the engine draws nothing more for it."""
        self._fresh()
        self._turn()
        stops = []
        for talker in self.talkers:
            talker.sounding.wait()
            talker.session.hear(self.wave, VAD_RATE)
        for talker in self.talkers:
            reply = _reply_of(talker)
            if reply.reason is FinishReason.INTERRUPTED:
                stops.append(reply.timings["stop"])
        return stops

    def _turn(self) -> None:
        """All speak; then all fall silent, which is what ends the turns."""
        quiet = np.zeros(VAD_RATE * 7 // 10, np.float32)
        self._each(lambda talker: talker.session.hear(self.wave, VAD_RATE))
        self._each(lambda talker: talker.session.hear(quiet, VAD_RATE))

    def _fresh(self) -> None:
        for talker in self.talkers:
            talker.session.cancel()
            talker.sounding.clear()

    def _each(self, do: Callable[[_Talker], None]) -> None:
        for talker in self.talkers:
            do(talker)

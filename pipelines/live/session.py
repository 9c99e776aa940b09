"""A live session: it listens, finds the ends of turns, answers, and lets itself be interrupted.

    incoming audio -> resampled -> voice activity -> turn -> request to the hub -> tokens -> audio and words out

Whoever carries the audio calls `hear` from one thread; tokens come from the voice thread; what the session has to
tell goes through `emit`, in order, from either.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from trivox.pipelines.live.dialogue import History, LiveTurn, request_of
from trivox.pipelines.live.events import (
    LiveEvent,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    ReplyText,
    Truncated,
    UserStarted,
    UserStopped,
    UserTurn,
)
from trivox.pipelines.live.hub import Hub, Version
from trivox.pipelines.live.pcm import RateChange
from trivox.pipelines.live.playback import Clock, Playback
from trivox.pipelines.live.replying import Reply
from trivox.platform.errors import BrokenAudio, TrivoxError, UsageError
from trivox.platform.hashing import derived_id, derived_seed
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.branches.realtime import realtime_constraint
from trivox.policy.engine import Drawn
from trivox.policy.hearing.listening import FRAME, Endpointing, Listener, SpeechStarted, TurnEnded
from trivox.policy.hearing.vad import VAD_RATE
from trivox.policy.speaker import REALTIME_SAMPLING
from trivox.policy.streaming import SpeechStream

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True)
class LiveSettings:
    """persona: who answers, in the words that the model knows it by; instruction: how it speaks.

    endpointing: when a turn is over. finds_turns: by voice activity; else `commit` ends them. answers: a turn that
    was found is answered at once; interruptible: speech during a reply stops it.
    """

    persona: str
    instruction: str = ""
    endpointing: Endpointing = field(default_factory=Endpointing)
    finds_turns: bool = True
    answers: bool = True
    interruptible: bool = True
    thinks: bool = False
    seed: int = 0
    sampling: Sampling = REALTIME_SAMPLING


class Keeper(Protocol):
    """Who keeps replies, where the operator wants them kept."""

    def __call__(self, session: "LiveSession", reply: Reply, turn: LiveTurn) -> None: ...


class LiveSession:
    """clock: on which replies are played; that of the wall, or `listened_s` where audio comes from files."""

    def __init__(
        self,
        hub: Hub,
        version: Version,
        settings: LiveSettings,
        emit: Callable[[LiveEvent], None],
        id: str = "live",
        clock: Clock | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self.hub, self.version, self.id = hub, version, id
        self.history = History()
        self._emit, self._keeper = emit, keeper
        self._clock = clock or time.perf_counter
        self._lock = threading.RLock()
        self._rate: RateChange | None = None
        self._rate_hz = self._count = 0
        self._user = ""
        self._drawing: Reply | None = None
        self._playing: Reply | None = None
        self._unkept: Reply | None = None
        self.closed = False
        self._listener: Listener
        self.configure(settings)

    def configure(self, settings: LiveSettings) -> None:
        """From the next turn on; audio that was heard and not committed is forgotten. Raises as Endpointing."""
        longest = min(settings.endpointing.longest_s, self.version.speaker.longest_s)
        with self._lock:
            self.settings = replace(
                settings, endpointing=replace(settings.endpointing, longest_s=longest)
            )
            heard = self._listener.heard_s if hasattr(self, "_listener") else 0.0
            self._listener = Listener(self.settings.endpointing, heard)

    @property
    def listened_s(self) -> float:
        """Seconds of audio that came in."""
        return self._listener.heard_s

    @property
    def replying(self) -> bool:
        """Whether a reply is drawn or played."""
        return self._drawing is not None or self._is_playing()

    def hear(self, samples: Samples, rate: int) -> None:
        """Take float32 [n] at rate Hz. Raises BrokenAudio for samples that are not finite and for more than fits a
        turn that is not committed."""
        if not np.isfinite(samples).all():
            raise BrokenAudio("audio with samples that are NaN or infinite: send 16-bit PCM")
        if rate != self._rate_hz:
            self._rate, self._rate_hz = RateChange(rate, VAD_RATE), rate
        assert self._rate is not None
        wave = self._rate.push(samples)
        if self.settings.finds_turns:
            # Frame by frame: what is found in one is known before the clock goes on.
            for at in range(0, len(wave), FRAME):
                for event in self._listener.push(wave[at : at + FRAME]):
                    self._found(event)
        else:
            self._listener.gather(wave)

    def commit(self) -> None:
        """End the user's turn now. Raises UsageError where nothing was heard."""
        ended = self._listener.end()
        if ended is None:
            raise UsageError("there is no audio to commit: send some first")
        self._user = self._user or self._name("user")
        self._turn(ended, answer=False)

    def clear(self) -> None:
        """Forget audio that was not committed."""
        self._listener.clear()
        self._user = ""

    def say(self, text: str) -> None:
        """A typed turn of the user."""
        self._add(LiveTurn(self._name("user"), "user", self.listened_s, self.listened_s, text=text))

    def respond(self, settings: LiveSettings | None = None) -> None:
        """Answer the dialogue so far. settings: for this reply alone.

        Raises UsageError while a reply is drawn or where the user said nothing; BrokenAudio, UnspeakableText,
        Busy.
        """
        chosen = settings or self.settings
        with self._lock:
            if self._drawing is not None:
                raise UsageError(f"reply {self._drawing.id} is under way: cancel it first")
            if not any(turn.role == "user" for turn in self.history.turns):
                raise UsageError("the user has said nothing yet: commit audio or add a text first")
            reply = self._reply(chosen)
            request, reply.turns = request_of(
                self.version.speaker,
                self.history.turns,
                chosen.persona,
                chosen.instruction,
                realtime_constraint(self.version.speaker.tokens, chosen.thinks),
                reply.seed,
                chosen.sampling,
            )
            before = self.history.last
            reply.ticket = self.hub.draw(
                self.version, request, lambda drawn: self._take(reply, drawn)
            )
            self._drawing = self._playing = reply
            self.history.add(self._turn_of(reply))
            self._emit(ReplyStarted(reply.id, reply.item, before))

    def cancel(self) -> bool:
        """Stop the reply that is drawn or played; False where there is none."""
        return self._interrupt("client_cancelled")

    def truncate(self, item: str, heard_s: float) -> None:
        """The listener's own word on how much of a reply was heard. Raises NotFound."""
        with self._lock:
            turn = self.history.truncate(item, heard_s)
            self._emit(Truncated(item, turn.heard_s or 0.0, turn.text or ""))

    def sent(self, item: str, seconds: float) -> None:
        """Audio of a reply went out to the listener now."""
        reply = self._playing
        if reply is not None and reply.item == item:
            reply.playback.add(seconds)

    def ahead_s(self, item: str) -> float | None:
        """How far the listener is behind what was sent of a reply; None for one that was broken off: nothing more
        of it is to be sent."""
        reply = self._playing
        return reply.playback.ahead_s if reply is not None and reply.item == item else None

    def close(self) -> None:
        """Stop everything; nothing is told any more."""
        with self._lock:
            self.closed = True
            self._interrupt("closed")
            self._settle()

    def _found(self, event: SpeechStarted | TurnEnded) -> None:
        if isinstance(event, TurnEnded):
            self._user = self._user or self._name("user")
            self._tell(UserStopped(self._user, event.end_s))
            self._turn(event, answer=self.settings.answers)
            return
        self._user = self._name("user")
        self._tell(UserStarted(self._user, event.at_s))
        if self.settings.interruptible:
            self._interrupt("turn_detected", self._user)

    def _turn(self, ended: TurnEnded, answer: bool) -> None:
        item, self._user = self._user, ""
        self._add(LiveTurn(item, "user", ended.start_s, ended.end_s, samples=ended.samples))
        # A reply that may not be interrupted is finished first; this turn is in the dialogue of the next.
        if answer and self._drawing is None:
            self._answer()

    def _answer(self) -> None:
        try:
            self.respond()
        except TrivoxError as error:
            name = self._name("reply")
            self._tell(ReplyDone(name, name, FinishReason.FAILED, "", 0, error=error))

    def _add(self, turn: LiveTurn) -> None:
        with self._lock:
            self._settle()
            before = self.history.last
            self.history.add(turn)
            self._tell(UserTurn(turn.item, before, turn.text, turn.samples))

    def _reply(self, settings: LiveSettings) -> Reply:
        speaker = self.version.speaker
        stream = SpeechStream(speaker.tokens, speaker.backbone.codec, settings.thinks)
        seed = derived_seed(settings.seed, self._count)
        name, item = self._name("reply"), self._name("assistant")
        return Reply(name, item, stream, Playback(self._clock), seed, 0, self.listened_s)

    def _turn_of(self, reply: Reply) -> LiveTurn:
        at = reply.start_s
        return LiveTurn(reply.item, "assistant", at, at, text="", stream=reply.stream)

    def _take(self, reply: Reply, drawn: Drawn) -> None:
        """In the voice thread: a token of a reply."""
        with self._lock:  # `respond` holds it until the reply is the one that is drawn
            if reply is not self._drawing:
                return
        if drawn.error is not None:
            self._finish(reply, FinishReason.FAILED, drawn.error)
            return
        piece = reply.take(drawn)
        with self._lock:
            if reply is not self._drawing:
                return
            turn = self.history.find(reply.item)
            turn.text, turn.end_s = reply.stream.text, turn.start_s + reply.stream.seconds
            if piece.text:
                self._tell(ReplyText(reply.id, reply.item, piece.text))
            if len(piece.samples):
                self._tell(ReplyAudio(reply.id, reply.item, piece.samples))
            if drawn.finish_reason is not None:
                self._finish(reply, drawn.finish_reason)

    def _finish(self, reply: Reply, reason: FinishReason, error: TrivoxError | None = None) -> None:
        with self._lock:
            if reply is not self._drawing:
                return
            self._drawing, reply.reason = None, reason
            self._done(reply, error=error)

    def _interrupt(self, cause: str, by: str | None = None) -> bool:
        with self._lock:
            drawing, playing = self._drawing, self._playing
            if drawing is None and not self._is_playing():
                return False
            self._drawing = self._playing = None
            assert playing is not None  # whoever is drawn is played
            began, heard = time.perf_counter(), playing.playback.heard_s
            turn = self.history.truncate(playing.item, heard)
            turn.interrupted_by = by
            self._tell(Truncated(playing.item, heard, turn.text or ""))
            if drawing is None or drawing.ticket is None:
                return True
            drawing.reason = FinishReason.INTERRUPTED
        stopped = self.hub.cancel(drawing.ticket)

        def told(_: object) -> None:
            drawing.timings["stop"] = time.perf_counter() - began
            self._done(drawing, cause)

        stopped.add_done_callback(told)
        return True

    def _done(self, reply: Reply, cause: str = "", error: TrivoxError | None = None) -> None:
        reply.mark("done")
        reply.timings["underrun"] = reply.playback.underrun_s
        assert reply.reason is not None
        self._tell(
            ReplyDone(
                reply.id,
                reply.item,
                reply.reason,
                reply.stream.text,
                len(reply.stream.ids),
                cause,
                error,
                dict(reply.timings),
            )
        )
        if reply.reason is not FinishReason.FAILED:
            self._unkept = reply
        if self.closed:
            self._settle()

    def _settle(self) -> None:
        """Keep the last reply, now that it is known how much of it was heard."""
        with self._lock:
            reply, self._unkept = self._unkept, None
            if reply is not None and self._keeper is not None:
                self._keeper(self, reply, self.history.find(reply.item))

    def _is_playing(self) -> bool:
        return self._playing is not None and self._playing.playback.ahead_s > 0

    def _tell(self, event: LiveEvent) -> None:
        with self._lock:
            if not self.closed:
                self._emit(event)

    def _name(self, kind: str) -> str:
        self._count += 1
        return derived_id(
            {"user": "it", "assistant": "it", "reply": "rs"}[kind], self.id, self._count
        )

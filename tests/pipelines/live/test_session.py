"""Turns, replies and interruptions, over a model of random weights and a clock of the audio that came in."""

import queue
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipelines.live.conftest import RATE, TINY
from trivox.pipelines.live.events import (
    LiveEvent,
    ReplyAudio,
    ReplyDone,
    ReplyStarted,
    Truncated,
    UserStarted,
    UserTurn,
)
from trivox.pipelines.live.hub import Hub
from trivox.pipelines.live.keeping import Keeper
from trivox.pipelines.live.playback import Playback
from trivox.pipelines.live.session import LiveSession, LiveSettings
from trivox.platform.errors import BrokenAudio, NotFound, UsageError
from trivox.platform.records import FinishReason, Prompt, Rollout, Sampling
from trivox.platform.store import Workspace
from trivox.policy.hearing.listening import Endpointing
from trivox.policy.speaker import Dialogue

WAIT_S = 60
QUIET = np.zeros(RATE, np.float32)
SETTINGS = LiveSettings(
    "john",
    endpointing=Endpointing(silence_s=0.3, longest_s=3.0),
    sampling=Sampling(temperature=1.0, max_tokens=80),
    seed=5,
)


class Told:
    """What a session told, and a session whose replies are played on the clock of its own audio."""

    def __init__(self, hub: Hub, settings: LiveSettings = SETTINGS, **kept: Any) -> None:
        self.events: queue.Queue[LiveEvent] = queue.Queue()
        self.seen: list[LiveEvent] = []
        self.session = LiveSession(
            hub,
            hub.version(TINY),
            settings,
            self.events.put,
            clock=lambda: self.session.listened_s,
            **kept,
        )

    def until(self, kind: type[Any]) -> Any:
        """The next event of a kind; audio on the way is played."""
        while True:
            event = self.events.get(timeout=WAIT_S)
            self.seen.append(event)
            if isinstance(event, ReplyAudio):
                self.session.sent(event.item, len(event.samples) / RATE)
            if isinstance(event, kind):
                return event

    def kinds(self) -> list[str]:
        return [type(event).__name__ for event in self.seen]


def audio(told: Told) -> np.ndarray:
    parts = [event.samples for event in told.seen if isinstance(event, ReplyAudio)]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def test_a_turn_is_answered_as_the_speaker_answers_it(hub: Hub, sentence: np.ndarray) -> None:
    told = Told(hub)
    for at in range(0, len(sentence), 480):
        told.session.hear(sentence[at : at + 480], RATE)
    told.session.hear(QUIET, RATE)
    done = told.until(ReplyDone)
    turn = next(event for event in told.seen if isinstance(event, UserTurn))
    assert turn.samples is not None and told.session._drawing is None
    speaker = hub.version(TINY).speaker
    reply = told.session.history.turns[-1]
    assert reply.stream is not None and done.reason in (FinishReason.END, FinishReason.LENGTH)
    seed = told.session._playing.seed  # type: ignore[union-attr]  # it was played
    (whole,) = speaker.reply([Dialogue("john", (turn.samples,))], [seed], SETTINGS.sampling)
    assert reply.stream.ids == whole.generation.tokens
    np.testing.assert_array_equal(audio(told), whole.samples)
    assert done.text == whole.text == reply.text
    first = ["UserStarted", "UserStopped", "UserTurn", "ReplyStarted"]
    assert told.kinds()[:4] == first and set(told.kinds()[4:-1]) <= {"ReplyText", "ReplyAudio"}


def spoken(hub: Hub, sentence: np.ndarray, settings: LiveSettings = SETTINGS, **kept: Any) -> Told:
    """A session whose first reply has been drawn, with audio that is still to be played."""
    for seed in range(20):
        told = Told(hub, replace(settings, seed=seed), **kept)
        told.session.hear(sentence, RATE)
        told.session.hear(QUIET[:8000], RATE)
        told.until(ReplyDone)
        if len(audio(told)) > 0.8 * RATE:
            return told
        told.session.close()
    raise AssertionError("no seed gives 0.8 s of speech")


def test_speech_during_playing_leaves_what_was_heard(hub: Hub, sentence: np.ndarray) -> None:
    told = spoken(hub, sentence)
    reply = told.session.history.turns[-1]
    told.session.hear(sentence[5000:], RATE)
    cut = told.until(Truncated)
    started = next(e for e in reversed(told.seen) if isinstance(e, UserStarted))
    assert cut.item == reply.item and reply.interrupted_by == started.item
    assert 0 < cut.heard_s < len(audio(told)) / RATE + 1e-6
    assert reply.heard_s == pytest.approx(cut.heard_s) and reply.stream is not None
    assert reply.text == reply.stream.said_until(cut.heard_s) == cut.text
    assert told.session.ahead_s(reply.item) is None


def test_speech_while_the_model_draws_stops_it(hub: Hub, sentence: np.ndarray) -> None:
    """Nothing of the reply comes after the truncation but its end, and the slot is free."""
    version = hub.version(TINY)
    told = Told(hub, replace(SETTINGS, sampling=Sampling(1.0, max_tokens=90)))
    told.session.hear(sentence, RATE)
    told.session.hear(QUIET[:8000], RATE)
    assert told.session.cancel()
    done = told.until(ReplyDone)
    assert done.reason is FinishReason.INTERRUPTED and done.cause == "client_cancelled"
    assert 0 <= done.timings["stop"] < 5
    after = told.kinds()[told.kinds().index("Truncated") :]
    assert after == ["Truncated", "ReplyDone"]
    assert version.engine.busy == 0 and hub.under_way == 0
    assert not told.session.cancel(), "nothing is left to cancel"


def test_a_reply_that_may_not_be_interrupted_goes_on(hub: Hub, sentence: np.ndarray) -> None:
    told = spoken(hub, sentence, replace(SETTINGS, interruptible=False))
    told.session.hear(sentence, RATE)
    told.until(UserStarted)
    assert "Truncated" not in told.kinds()


def test_turns_that_the_client_ends(hub: Hub, sentence: np.ndarray) -> None:
    told = Told(hub, replace(SETTINGS, finds_turns=False))
    with pytest.raises(UsageError, match="no audio to commit"):
        told.session.commit()
    with pytest.raises(UsageError, match="the user has said nothing yet"):
        told.session.respond()
    told.session.hear(sentence[:9000], RATE)
    told.session.commit()
    turn = told.until(UserTurn)
    np.testing.assert_array_equal(turn.samples, sentence[:9000])
    told.session.respond()
    assert told.until(ReplyStarted).before == turn.item
    with pytest.raises(UsageError, match="is under way: cancel it first"):
        told.session.respond()
    told.until(ReplyDone)
    assert "UserStarted" not in told.kinds()
    told.session.hear(sentence[:9000], RATE)
    told.session.clear()
    with pytest.raises(UsageError, match="no audio to commit"):
        told.session.commit()
    with pytest.raises(BrokenAudio, match="more than 3 s of audio in one turn"):
        told.session.hear(np.tile(sentence, 3), RATE)


def test_typed_turns_and_the_clients_own_word_on_what_was_heard(hub: Hub) -> None:
    told = Told(hub)
    told.session.say("what is the time")
    told.session.respond()
    item = told.until(ReplyStarted).item
    told.until(ReplyDone)
    told.session.truncate(item, 0.0)
    assert told.until(Truncated).text == "" and told.session.history.turns[-1].text == ""
    for wrong in (told.session.history.turns[0].item, "it_nothing"):
        with pytest.raises(NotFound):
            told.session.truncate(wrong, 1.0)


def test_a_long_dialogue_keeps_what_fits(hub: Hub) -> None:
    """The context has 128 tokens, of which half are for the reply."""
    told = Told(hub)
    for number in range(12):
        told.session.say(f"turn {'abcdefghijkl'[number]} of many")
    told.session.respond()
    reply = told.session._drawing
    assert reply is not None and 1 <= reply.turns < 12
    assert reply.ticket is not None and len(reply.ticket.request.prompt) <= 128 - 64
    told.until(ReplyDone)


def test_what_cannot_be_said_fails_as_an_event(hub: Hub, sentence: np.ndarray) -> None:
    told = Told(hub, replace(SETTINGS, persona="\u4f60\u597d"))
    told.session.hear(sentence, RATE)
    told.session.hear(QUIET, RATE)
    done = told.until(ReplyDone)
    assert done.reason is FinishReason.FAILED and "alphabet" in str(done.error)
    assert hub.under_way == 0


def test_samples_that_are_no_numbers(hub: Hub) -> None:
    with pytest.raises(BrokenAudio, match="NaN or infinite"):
        Told(hub).session.hear(np.full(10, np.nan, np.float32), RATE)


def test_closing_frees_everything_and_tells_nothing(hub: Hub, sentence: np.ndarray) -> None:
    told = Told(hub)
    told.session.hear(sentence, RATE)
    told.session.hear(QUIET[:8000], RATE)
    told.until(ReplyStarted)
    reply = told.session._drawing
    told.session.close()
    if reply is not None and reply.ticket is not None:
        reply.ticket.stopped.result(WAIT_S)
    count = told.events.qsize()
    assert hub.under_way == 0 and hub.version(TINY).engine.busy == 0
    told.session.hear(sentence, RATE)
    assert told.events.qsize() == count


def test_replies_are_kept_when_asked(hub: Hub, sentence: np.ndarray, live_root: Path) -> None:
    """As an episode: the user's turn with its audio, the reply cut to what was heard, and who interrupted it."""
    with Workspace.open(live_root) as ws:
        keeper = Keeper(ws)
        told = spoken(hub, sentence, keeper=keeper)
        told.session.hear(sentence[5000:], RATE)
        cut = told.until(Truncated)
        told.session.hear(QUIET, RATE)
        told.until(UserTurn)
        told.session.close()
        keeper.close()
        found = [r for r in ws.tables.read(Rollout) if len(r.turns) == 2]
        rollout = found[-1]
        user, reply = rollout.turns
        assert (user.role, reply.role, reply.interrupted_by) == ("user", "assistant", 2)
        assert user.audio is not None and reply.text == (cut.text or None)
        assert reply.end_ms is not None and reply.start_ms is not None
        assert (reply.end_ms - reply.start_ms) / 1000 == pytest.approx(cut.heard_s, abs=2e-3)
        samples, rate = ws.audio.read(rollout.audio or "")
        assert rate == RATE and len(samples) == len(audio(told))
        assert {"first_token", "first_audio", "done"} <= rollout.timings.keys()
        assert len(rollout.tokens) == len(rollout.logprobs)
        assert ws.records.get(Prompt, rollout.prompt).text == "john"


def playback() -> tuple[Playback, Callable[[float], None]]:
    now = [10.0]
    return Playback(lambda: now[0]), lambda seconds: now.__setitem__(0, now[0] + seconds)


def test_playing_with_a_gap() -> None:
    """0.5 s sent at 0; at 0.2 half a second more: heard 0.2, ahead 0.8. At 1.3 the player has waited 0.3 s."""
    played, wait = playback()
    assert played.heard_s == played.ahead_s == 0
    played.add(0.5)
    wait(0.2)
    played.add(0.5)
    assert played.heard_s == pytest.approx(0.2) and played.ahead_s == pytest.approx(0.8)
    wait(1.1)
    assert played.heard_s == pytest.approx(1.0) and played.underruns == 0
    played.add(0.1)
    assert (played.underruns, played.underrun_s) == (1, pytest.approx(0.3))
    assert played.heard_s == pytest.approx(1.0)


def test_tokens_that_come_before_the_reply_is_known_wait(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine draws while `respond` is still at it: no token is lost."""
    told, draw = Told(hub), hub.draw

    def slow(*given: Any) -> Any:
        ticket = draw(*given)
        time.sleep(0.3)
        return ticket

    monkeypatch.setattr(hub, "draw", slow)
    told.session.say("hello there")
    told.session.respond()
    done = told.until(ReplyDone)
    reply = told.session._playing
    assert reply is not None and reply.ticket is not None and done.tokens > 0
    speaker = hub.version(TINY).speaker
    (whole,) = speaker.engine.generate([reply.ticket.request])
    assert reply.stream.ids == whole.tokens

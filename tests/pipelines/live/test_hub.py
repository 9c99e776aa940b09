"""One engine thread for all: the same tokens as alone, versions that take turns, and requests that end early."""

import queue
import threading
from pathlib import Path

import pytest

from tests.pipelines.live.conftest import TINY, TUNED
from trivox.pipelines.live.hub import Hub, Version
from trivox.platform.errors import Busy, ConfigError, NotFound, WorkError
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.engine import Drawn, Request
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Utterance

SAMPLING = Sampling(temperature=1.0, max_tokens=40)
WAIT_S = 60


def request(version: Version, seed: int, text: str = "go on and on") -> Request:
    return version.speaker.tts_request(Utterance(text), seed, SAMPLING)


class Taker:
    """What one request was given."""

    def __init__(self) -> None:
        self.drawn: list[Drawn] = []
        self.over = threading.Event()

    def __call__(self, drawn: Drawn) -> None:
        self.drawn.append(drawn)
        if drawn.finish_reason is not None:
            self.over.set()

    def tokens(self) -> list[int]:
        assert self.over.wait(WAIT_S)
        return [one.token for one in self.drawn]


def alone(root: Path, adapter: Path | None, seed: int) -> list[int]:
    with ResidentPolicy(root / TINY, slots=4).using(adapter) as speaker:
        return speaker.speak(["go on and on"], [seed], SAMPLING)[0].generation.tokens


def test_versions_take_turns_and_say_what_they_say_alone(hub: Hub, live_root: Path) -> None:
    """Eight requests of two versions of one backbone in four slots each."""
    versions = [hub.version(name) for name in (TINY, TUNED)]
    takers = {(v.policy.name, seed): Taker() for v in versions for seed in range(4)}
    for v in versions:
        for seed in range(4):
            hub.draw(v, request(v, seed), takers[v.policy.name, seed])
    said = {key: taker.tokens() for key, taker in takers.items()}
    for seed in range(4):
        assert said[TINY, seed] == alone(live_root, None, seed)
        assert said[TUNED, seed] == alone(live_root, live_root / TUNED, seed)
    assert said[TINY, 0] != said[TUNED, 0]
    assert hub.under_way == 0 and versions[0].resident is versions[1].resident


def test_cancelling_frees_the_slot_and_nothing_comes_after(hub: Hub) -> None:
    version, first = hub.version(TINY), queue.Queue[Drawn]()
    ticket = hub.draw(version, request(version, 1), first.put)
    first.get(timeout=WAIT_S)
    stopped = hub.cancel(ticket)
    seen = first.qsize()
    stopped.result(WAIT_S)
    assert version.engine.busy == 0 and hub.under_way == 0
    assert first.qsize() <= seen + 1, "one token may have been on its way"


def test_cancelling_twice_or_late_is_no_matter(hub: Hub) -> None:
    version, taker = hub.version(TINY), Taker()
    ticket = hub.draw(version, request(version, 1), taker)
    taker.tokens()
    for _ in range(2):
        hub.cancel(ticket).result(WAIT_S)
    assert hub.under_way == 0


def test_a_full_hub_says_so(live_root: Path) -> None:
    with Hub(live_root, slots=1, limit=2) as hub:
        version = hub.version(TINY)
        tickets = [hub.draw(version, request(version, seed), Taker()) for seed in range(2)]
        with pytest.raises(Busy, match="2 requests are under way, of 2"):
            hub.draw(version, request(version, 3), Taker())
        for ticket in tickets:
            hub.cancel(ticket).result(WAIT_S)
        last = Taker()
        hub.draw(version, request(version, 3), last)
        assert last.tokens()


def test_a_request_that_cannot_be_fails_alone(hub: Hub) -> None:
    version, good, bad = hub.version(TINY), Taker(), Taker()
    hub.draw(version, request(version, 1), good)
    sound = request(version, 1)
    hub.draw(version, Request([], sound.constraint, SAMPLING, 0), bad)
    bad.tokens()
    assert isinstance(bad.drawn[0].error, ConfigError)
    assert bad.drawn[0].finish_reason is FinishReason.FAILED
    assert good.tokens() and good.drawn[-1].error is None


def test_a_step_that_breaks_fails_its_requests_and_the_thread_goes_on(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    version, taker, after = hub.version(TINY), Taker(), Taker()

    def broken() -> list[Drawn]:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(version.engine, "step", broken)
        hub.draw(version, request(version, 1), taker)
        taker.tokens()
    assert isinstance(taker.drawn[0].error, WorkError)
    hub.draw(version, request(version, 1), after)
    assert after.tokens() and after.drawn[-1].error is None
    assert "a step of tiny failed" in caplog.text


def test_a_taker_that_breaks_is_told_and_its_slot_is_free(
    hub: Hub, caplog: pytest.LogCaptureFixture
) -> None:
    version, taker, told = hub.version(TINY), Taker(), list[Drawn]()
    failed = threading.Event()

    def breaks(drawn: Drawn) -> None:
        if drawn.error is None:
            raise ValueError("no place for this token")
        told.append(drawn)
        failed.set()

    ticket = hub.draw(version, request(version, 1), breaks)
    hub.draw(version, request(version, 1), taker)
    assert failed.wait(WAIT_S) and "(ValueError)" in str(told[0].error)
    ticket.stopped.result(WAIT_S)
    assert taker.tokens() and taker.drawn[-1].error is None
    assert len(told) == 1 and hub.under_way == 0 and "was not taken" in caplog.text


def test_stopping_tells_whoever_waits(live_root: Path) -> None:
    taker = Taker()
    with Hub(live_root, slots=1) as hub:
        version = hub.version(TINY)
        hub.draw(version, request(version, 1), taker)
    assert taker.over.is_set()


def test_unknown_version(hub: Hub) -> None:
    with pytest.raises(NotFound, match="no policy 'gpt'"):
        hub.version("gpt")

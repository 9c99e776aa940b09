"""A judge behind a real server that times out, refuses, breaks off and talks nonsense: typed failures, never a
score."""

import json
import logging
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reward_models.generative.judges import SCALE, question
from tests.reward_models.generative.serving import (
    Reply,
    Script,
    closed_port,
    completion,
    ok,
    serving,
)
from trivox.platform.errors import ConfigError
from trivox.platform.records import Failure
from trivox.reward_models.generative import questions
from trivox.reward_models.generative.backends import JudgeFailure, Reading
from trivox.reward_models.generative.completions import Completion, completion_of
from trivox.reward_models.generative.judge import GenerativeJudge, JudgeSettings
from trivox.reward_models.generative.questions import View, views_of
from trivox.reward_models.generative.server import MAX_ANSWER_BYTES, ServerJudge
from trivox.reward_models.generative.server_config import ServerConfig
from trivox.reward_models.generative.verdicts import Outcome, sure

SECRET = "sk-very-secret-key"
GOOD = completion("1", {"1": math.log(0.75), " 2": math.log(0.2), "\n": -3.0})


def config(url: str, **more: Any) -> ServerConfig:
    quick = {"timeout_s": 1.0, "pause_s": 0.01, "parallel": 1, "requests_per_minute": 1e6}
    return ServerConfig(base_url=url, model="m", **{**quick, **more})


def view(first: str = "the lamp is on") -> View:
    return views_of(question(first), 1, 0)[0]


def read(
    script: Script, count: int = 1, reasons: bool = False, **more: Any
) -> tuple[list[Reading | Failure], list[float], list[dict[str, Any]]]:
    """What came back, how long it paused, what the server was asked."""
    pauses: list[float] = []
    with serving(script) as served, ServerJudge(config(served.url, **more), pauses.append) as judge:
        found = judge.read([view(f"reply {n}") for n in range(count)], SCALE, reasons)
    return found, pauses, served.bodies


def always(reply: Reply | float) -> Script:
    return lambda number, body: reply


def first_then(*replies: Reply | float) -> Script:
    """The last one for ever."""
    return lambda number, body: replies[min(number, len(replies) - 1)]


def test_a_verdict_is_read_from_the_probabilities() -> None:
    """0.75 and 0.2 of the labels make 0.95; the rest is no verdict."""
    found, _, bodies = read(always(ok(GOOD)))
    (reading,) = found
    assert isinstance(reading, Reading) and reading.belief is not None
    assert reading.mass == pytest.approx(0.95)
    assert reading.belief[:2] == (pytest.approx(0.75 / 0.95), pytest.approx(0.2 / 0.95))
    assert bodies[0]["max_tokens"] == 1 and bodies[0]["top_logprobs"] == 20
    assert [m["role"] for m in bodies[0]["messages"]] == ["system", "user"]


def test_without_probabilities_the_label_is_parsed_strictly() -> None:
    found, _, _ = read(first_then(ok(completion("9")), ok(completion("either"))), count=2)
    assert isinstance(found[0], Reading) and found[0].belief == sure(Outcome.SECOND_3)
    assert isinstance(found[1], Reading) and found[1].belief is None and "either" in found[1].raw


def test_reasoning_is_parsed_and_one_cut_off_is_no_verdict() -> None:
    said = "A says what was asked.\nVerdict: 2"
    cut = completion("A is better. Verdict: 2", finish_reason="length")
    found, _, bodies = read(first_then(ok(completion(said)), ok(cut)), count=2, reasons=True)
    assert isinstance(found[0], Reading) and found[0].belief == sure(Outcome.FIRST_2)
    assert found[0].raw == said
    assert (
        isinstance(found[1], Reading) and found[1].belief is None and "Verdict: 2" in found[1].raw
    )
    assert "logprobs" not in bodies[0] and bodies[0]["temperature"] == 0.7


HTML = b"<html>bad gateway</html>"
BROKEN: list[tuple[str, Reply | float, JudgeFailure]] = [
    ("429", (429, {}, b"slow down"), JudgeFailure.RATE_LIMITED),
    ("500", (500, {}, b"{}"), JudgeFailure.SERVER_ERROR),
    ("503", (503, {}, HTML), JudgeFailure.SERVER_ERROR),
    ("truncated JSON", ok(GOOD[:40]), JudgeFailure.BROKEN_ANSWER),
    ("cut off in the middle", (200, {"content-length": "9999"}, GOOD), JudgeFailure.UNREACHABLE),
    ("HTML", ok(HTML), JudgeFailure.BROKEN_ANSWER),
    ("nothing", ok(b""), JudgeFailure.BROKEN_ANSWER),
    ("a list", ok(b"[1, 2]"), JudgeFailure.BROKEN_ANSWER),
    ("no choice", ok(b'{"choices": []}'), JudgeFailure.BROKEN_ANSWER),
    ("no text", ok(b'{"choices": [{"message": {"content": null}}]}'), JudgeFailure.BROKEN_ANSWER),
    ("not UTF-8", ok(b"\xff\xfe\x00"), JudgeFailure.BROKEN_ANSWER),
    ("silence", 30.0, JudgeFailure.TIMEOUT),
]


@pytest.mark.parametrize(("reply", "kind"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_what_can_pass_is_tried_again_and_then_a_typed_failure(
    reply: Reply | float, kind: JudgeFailure
) -> None:
    found, pauses, bodies = read(always(reply), attempts=3, timeout_s=0.3)
    (failed,) = found
    assert isinstance(failed, Failure) and failed.kind == kind
    assert "(3 attempts)" in failed.message and len(bodies) == 3 and len(pauses) == 2


@pytest.mark.parametrize("reply", [b[1] for b in BROKEN], ids=[b[0] for b in BROKEN])
def test_one_that_passes_leaves_no_trace(reply: Reply | float) -> None:
    found, _, bodies = read(first_then(reply, ok(GOOD)), timeout_s=0.3)
    assert isinstance(found[0], Reading) and found[0].belief is not None and len(bodies) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 404, 422])
def test_what_cannot_pass_is_asked_once(status: int) -> None:
    found, _, bodies = read(always((status, {"location": "http://127.0.0.1:9/"}, b"no such model")))
    assert isinstance(found[0], Failure) and found[0].kind == JudgeFailure.REFUSED
    assert f"{status}: no such model" in found[0].message and len(bodies) == 1


def test_nobody_listens() -> None:
    with ServerJudge(config(closed_port(), attempts=2), lambda _: None) as judge:
        found = judge.read([view()], SCALE, False)
    assert isinstance(found[0], Failure) and found[0].kind == JudgeFailure.UNREACHABLE


def test_a_flood_is_cut_off() -> None:
    found, _, bodies = read(always(ok(b" " * (MAX_ANSWER_BYTES + 1))))
    assert isinstance(found[0], Failure) and found[0].kind == JudgeFailure.BROKEN_ANSWER
    assert "longer than" in found[0].message and len(bodies) == 1


def test_one_bad_view_does_not_stop_the_batch() -> None:
    """One of three questions always fails; the others are judged, and the bad one has no answer at all."""

    def script(number: int, body: dict[str, Any]) -> Reply:
        bad = "reply 1" in body["messages"][1]["content"]
        return (500, {}, b"no") if bad else ok(GOOD)

    with (
        serving(script) as served,
        ServerJudge(config(served.url, attempts=2), lambda _: None) as backend,
    ):
        judge = GenerativeJudge(backend, SCALE, JudgeSettings())
        found = judge.judge([question(f"reply {n}", "no") for n in range(3)])
    assert [one.failure is None for one in found] == [True, False, True]
    assert found[1].answer is None and found[1].strength is None and found[1].belief is None
    assert found[1].failure is not None and found[1].failure.kind == JudgeFailure.SERVER_ERROR


def test_pauses_double_and_the_server_may_ask_for_more_up_to_the_longest() -> None:
    busy = (429, {"retry-after": "7"}, b"")
    _, pauses, _ = read(first_then((500, {}, b""), (500, {}, b""), ok(GOOD)), pause_s=1.0)
    assert pauses[1] == pytest.approx(2 * pauses[0]) and 0.5 <= pauses[0] <= 1.0
    _, pauses, _ = read(first_then(busy, ok(GOOD)), max_pause_s=5.0)
    assert pauses == [5.0]
    for nonsense in ("soon", "-1", "nan", "inf", "Wed, 21 Oct 2026 07:28:00 GMT"):
        _, pauses, _ = read(first_then((429, {"retry-after": nonsense}, b""), ok(GOOD)))
        assert 0 < pauses[0] < 1


def test_the_price_limits_what_is_begun() -> None:
    """100 prompt and 10 completion tokens a request at 1000 and 10,000 a million: 0.2 each; 0.5 is reached after
    3."""
    prices = {"prompt_price": 1000.0, "completion_price": 10_000.0, "max_price": 0.5}
    pauses: list[float] = []
    with (
        serving(always(ok(GOOD))) as served,
        ServerJudge(config(served.url, **prices), pauses.append) as judge,
    ):
        found = judge.read([view(f"reply {n}") for n in range(5)], SCALE, False)
        spent = judge.spent
    kinds = [one.kind if isinstance(one, Failure) else "read" for one in found]
    assert kinds == ["read"] * 3 + [JudgeFailure.COST_LIMIT] * 2
    assert spent.price == pytest.approx(0.6) and spent.requests == 3 == len(served.bodies)
    assert isinstance(found[4], Failure) and "raise max_price" in found[4].message


def test_requests_wait_for_their_turn() -> None:
    """Four requests at one a minute: the last waits for some 3 minutes, less what the others took."""
    _, pauses, _ = read(always(ok(GOOD)), count=4, requests_per_minute=1.0)
    assert [round(pause / 60) for pause in pauses] == [1, 2, 3] and pauses[-1] <= 180


def test_replies_go_as_sound_to_a_judge_that_hears() -> None:
    sound = np.zeros(1600, np.float32)
    replies = [questions.Reply(f"r{n}", None, samples=sound + n / 10, rate=16_000) for n in (1, 2)]
    asked = views_of(questions.Question("q", replies[0], replies[1]), 1, 0)
    with serving(always(ok(GOOD))) as served:
        with ServerJudge(config(served.url, hears=True), lambda _: None) as judge:
            assert isinstance(judge.read(asked[:1], SCALE, False)[0], Reading)
        with ServerJudge(config(served.url), lambda _: None) as deaf:
            found = deaf.read(asked[:1], SCALE, False)[0]
    assert isinstance(found, Failure) and found.kind == JudgeFailure.NOTHING_TO_JUDGE
    parts = served.bodies[0]["messages"][1]["content"]
    heard = [part["input_audio"] for part in parts if part["type"] == "input_audio"]
    assert [one["format"] for one in heard] == ["wav", "wav"] and heard[0] != heard[1]
    assert len(served.bodies) == 1


class TestSecrets:
    """The key goes to the server and nowhere else."""

    @pytest.fixture(autouse=True)
    def key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JUDGE_KEY", SECRET)

    def test_it_is_sent_and_never_shown(self, caplog: pytest.LogCaptureFixture) -> None:
        """Though the server repeats it in its error, and everything is logged."""
        caplog.set_level(logging.DEBUG)
        echo = always((401, {}, f"wrong key: Bearer {SECRET}".encode()))
        with (
            serving(echo) as served,
            ServerJudge(config(served.url, api_key_env="JUDGE_KEY"), lambda _: None) as judge,
        ):
            found = judge.read([view()], SCALE, False)
        assert served.headers[0]["authorization"] == f"Bearer {SECRET}"
        assert isinstance(found[0], Failure) and "wrong key: Bearer ***" in found[0].message
        shown = [
            caplog.text,
            repr(judge.config),
            repr(judge.identity),
            judge.config.model_dump_json(),
        ]
        assert not any(SECRET in text for text in shown)

    def test_a_redirect_does_not_carry_it_on(self) -> None:
        with serving(always(ok(GOOD))) as other:
            away = (307, {"location": f"{other.url}/chat/completions"}, b"")
            with serving(always(away)) as served:
                made = config(served.url, api_key_env="JUDGE_KEY")
                with ServerJudge(made, lambda _: None) as judge:
                    found = judge.read([view()], SCALE, False)
        assert isinstance(found[0], Failure) and other.bodies == []

    def test_one_that_is_not_set_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("JUDGE_KEY")
        with pytest.raises(ConfigError, match="JUDGE_KEY is not set"):
            ServerJudge(config("http://127.0.0.1:1/v1", api_key_env="JUDGE_KEY"))

    def test_a_header_in_the_key_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JUDGE_KEY", f"{SECRET}\r\nX-Other: 1")
        with pytest.raises(ConfigError, match="JUDGE_KEY") as raised:
            ServerJudge(config("http://127.0.0.1:1/v1", api_key_env="JUDGE_KEY"))
        assert SECRET not in str(raised.value)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"base_url": "ftp://host/v1"}, "no http address"),
        ({"base_url": "http://me:secret@host/v1"}, "api_key_env"),
        ({"base_url": "http://host/v1?key=secret"}, "api_key_env"),
        ({"max_price": 1.0}, "max_price needs"),
    ],
)
def test_configurations_that_cannot_be(more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as raised:
        ServerConfig(**({"base_url": "http://host/v1", "model": "m"} | more))
    assert message != "api_key_env" or "secret" not in str(raised.value)


@given(st.binary(max_size=80))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    assert isinstance(completion_of(content), str)


_NAMES = st.sampled_from(["content", "token", "logprob", "top_logprobs"])
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(_NAMES, inner),
    max_leaves=8,
)


@given(_JSON)
def test_no_json_breaks_the_reader(value: Any) -> None:
    content = json.dumps({"choices": [{"message": {"content": "1"}, "logprobs": value}]}).encode()
    assert isinstance(completion_of(content), Completion | str)


def test_nothing_above_certainty_is_believed() -> None:
    """A log-prob above 0, or none at all, is left out; not made 1."""
    content = b'{"choices": [{"message": {"content": "1"}, "logprobs": {"content": [{"token": "1", "logprob": 0, '
    content += (
        b'"top_logprobs": [{"token": "1", "logprob": 5}, {"token": "2", "logprob": -1}]}]}}]}'
    )
    found = completion_of(content)
    assert isinstance(found, Completion) and found.top == {"2": pytest.approx(math.exp(-1))}

"""Completions over HTTP on a real port: Trivox's own server, and one that answers what a test tells it to."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI

from tests.policy.engine.rows import endless_audio, engine_of, said
from trivox.platform.errors import BadAnswer, ConfigError, ServerRefused, ServerUnavailable
from trivox.platform.records import FinishReason, Sampling
from trivox.policy.backbone import Backbone
from trivox.policy.branches.asr import asr_constraint
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.engine import LogprobsOf, Request
from trivox.policy.engine.remote import HttpEngine, ServerSettings, breaches
from trivox.policy.engine.serving import AnyOf, EngineLoop, completions_router
from trivox.policy.vocabulary import TokenMap

CONTEXT = 128


@contextmanager
def served(loop: EngineLoop) -> Iterator[str]:
    """The address of a server of the loop on a free port of this machine."""
    app = FastAPI()
    app.include_router(completions_router(loop, "tiny"))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", ws="none"))
    thread = threading.Thread(target=server.run)
    with loop.running():
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        server.should_exit = True
        thread.join()


@contextmanager
def scripted(*answers: tuple[int, str, dict[str, str]]) -> Iterator[tuple[str, list[Any]]]:
    """A server that gives the answers (status, body, headers) in turn, the last one again; and what it was
    asked."""
    asked: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            asked.append((self.path, body, self.headers.get("authorization")))
            status, text, headers = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(text.encode()))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def settings_of(url: str, **changed: Any) -> ServerSettings:
    given = {"model": "tiny", "context": CONTEXT, "logprobs": "sampled", "pause_s": 0.01}
    return ServerSettings(url, **(given | changed))


def texts_of(tokens: TokenMap, sampling: Sampling, count: int = 6) -> list[Request]:
    constraint = asr_constraint(tokens)
    return [
        Request(tts_prompt(tokens, "abcdefgh"[: 1 + i]), constraint, sampling, i)
        for i in range(count)
    ]


def answer_of(
    tokens: Any, reason: str = "length", logprobs: Any = None
) -> tuple[int, str, dict[str, str]]:
    given = None if logprobs is None else {"token_logprobs": logprobs}
    choice = {"token_ids": tokens, "logprobs": given, "finish_reason": reason}
    return 200, json.dumps({"choices": [choice]}), {}


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=20),
        Sampling(0.7, top_k=9, top_p=0.9, max_tokens=20),
        Sampling(0.0, max_tokens=1),
    ],
)
def test_what_the_engine_draws_itself(backbone: Backbone, sampling: Sampling) -> None:
    """The same tokens and log-probs to the last bit, twelve requests at a time in four slots."""
    requests = texts_of(backbone.tokens, sampling) * 2
    expected = engine_of(backbone, 4).generate(requests)
    with served(EngineLoop(engine_of(backbone, 4))) as url:
        found = HttpEngine(settings_of(url), backbone.tokens.eos).generate(requests)
    assert said(found) == said(expected)
    assert {one.logprobs_of for one in found} == {LogprobsOf.SAMPLED}
    assert {one.forbidden for one in found} == {None}
    assert all(one.timings["total_s"] > 0 for one in found)


def test_a_constraint_that_cannot_be_enforced(
    backbone: Backbone, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused, or counted: each token is held against the mask of its place."""
    tokens = backbone.tokens
    request = Request(tts_prompt(tokens, "a"), endless_audio(tokens), Sampling(max_tokens=30), 1)
    with served(EngineLoop(engine_of(backbone))) as url:
        with pytest.raises(ConfigError, match="vllm cannot enforce EndlessAudio"):
            HttpEngine(settings_of(url), tokens.eos).generate([request])
        counting = HttpEngine(settings_of(url, on_constraint="count"), tokens.eos)
        with caplog.at_level(logging.WARNING):
            (one,) = counting.generate([request])
    assert one.forbidden == breaches(request.constraint, one.tokens) > 0
    assert f"{one.forbidden} of {len(one.tokens)} tokens" in caplog.text


def test_breaches_by_hand() -> None:
    """Of 1, 3, 2, 3 the mask of 1 and 2 forbids both 3; an id beyond the mask is forbidden too."""
    constraint = AnyOf(np.array([False, True, True, False]))
    assert breaches(constraint, [1, 3, 2, 3]) == 2
    assert breaches(constraint, [1, 9]) == 1


@pytest.mark.parametrize(
    ("said_of", "given", "sampling", "expected"),
    [
        ("raw", [-1.0], Sampling(0.5, max_tokens=1), LogprobsOf.RAW),
        ("sampled", [-1.0], Sampling(0.5, max_tokens=1), LogprobsOf.SAMPLED),
        ("raw", [-1.0], Sampling(max_tokens=1), LogprobsOf.SAMPLED),  # nothing was changed
        ("sampled", None, Sampling(max_tokens=1), LogprobsOf.ABSENT),
    ],
)
def test_what_log_probs_are_of(
    tokens: TokenMap, said_of: str, given: Any, sampling: Sampling, expected: LogprobsOf
) -> None:
    request = Request([tokens.tts], endless_audio(tokens), sampling, 0)
    with scripted(answer_of([9], logprobs=given)) as (url, _):
        settings = settings_of(url, logprobs=said_of, on_constraint="count")
        (one,) = HttpEngine(settings, tokens.eos).generate([request])
    assert (one.logprobs_of, one.logprobs) == (expected, given or [])


def test_sglang(tokens: TokenMap) -> None:
    """Its own endpoint: ids in and out, log-probs as triples; no list of allowed ids, no seed that it keeps."""
    told = {
        "output_ids": [9, tokens.eos],
        "meta_info": {
            "finish_reason": {"type": "stop", "matched": tokens.eos},
            "output_token_logprobs": [[-0.5, 9, None], [-1.5, tokens.eos, None]],
        },
    }
    request = Request([tokens.tts, 20], asr_constraint(tokens), Sampling(top_k=3, max_tokens=5), 7)
    with scripted((200, json.dumps(told), {})) as (url, asked):
        refusing = HttpEngine(settings_of(url, dialect="sglang"), tokens.eos)
        assert not refusing.repeatable
        with pytest.raises(ConfigError, match="sglang cannot enforce TextConstraint"):
            refusing.generate([request])
        settings = settings_of(
            url, dialect="sglang", on_constraint="count", logprobs="raw", key="s3cret"
        )
        (one,) = HttpEngine(settings, tokens.eos).generate([request])
    assert said([one]) == [([9, tokens.eos], [-0.5, -1.5], FinishReason.END)]
    assert one.logprobs_of is LogprobsOf.RAW and one.forbidden is not None
    ((path, body, key),) = asked
    assert (path, body["input_ids"], key) == ("/generate", [tokens.tts, 20], "Bearer s3cret")
    assert body["sampling_params"]["top_k"] == 3 and body["return_logprob"] is True
    assert "s3cret" not in repr(settings)


def test_a_busy_server_is_asked_again(tokens: TokenMap) -> None:
    busy, down = (429, "", {"retry-after": "0"}), (503, "", {})
    with scripted(busy, down, answer_of([20], logprobs=[-1.0])) as (url, asked):
        (one,) = HttpEngine(settings_of(url), tokens.eos).generate(
            texts_of(tokens, Sampling(max_tokens=1), 1)
        )
    assert one.tokens == [20] and len(asked) == 3
    assert asked[0] == asked[2]


def test_a_server_that_stays_away(tokens: TokenMap) -> None:
    requests = texts_of(tokens, Sampling(max_tokens=1), 3)
    with scripted((503, "", {})) as (url, asked):
        engine = HttpEngine(settings_of(url, retries=2), tokens.eos)
        with pytest.raises(ServerUnavailable, match=r"request 0 to .*: status 503 after 3 tries"):
            engine.generate(requests[:1])
        assert len(asked) == 3
    with pytest.raises(ServerUnavailable, match="ConnectError"):
        engine.generate(requests)


def test_a_server_that_does_not_answer_in_time(tokens: TokenMap) -> None:
    class Silent(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(0.3)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        settings = settings_of(f"http://127.0.0.1:{server.server_port}", timeout_s=0.05, retries=1)
        with pytest.raises(ServerUnavailable, match="ReadTimeout.* after 2 tries"):
            HttpEngine(settings, tokens.eos).generate(texts_of(tokens, Sampling(max_tokens=1), 1))
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        ((400, "no such thing", {}), ServerRefused, "status 400: no such thing"),
        ((200, "<html>", {}), BadAnswer, "no JSON"),
        ((200, "[]", {}), BadAnswer, "a list and no JSON object"),
        ((200, "{}", {}), BadAnswer, "no 'choices'"),
        (answer_of(None), BadAnswer, "no list of ids"),
        (answer_of([1.5]), BadAnswer, "no list of ids"),
        (answer_of([-3]), BadAnswer, "no list of ids"),
        (answer_of([]), BadAnswer, "0 tokens, and 1 to 2 were asked"),
        (answer_of([20, 20, 20]), BadAnswer, "3 tokens, and 1 to 2 were asked"),
        (answer_of([20], "stop"), BadAnswer, "ended by end with token 20"),
        (answer_of([20], "abort"), BadAnswer, "ended by 'abort'"),
        (answer_of([20], logprobs=[-1.0, -1.0]), BadAnswer, "no log-prob for each"),
        (answer_of([20], logprobs=["x"]), BadAnswer, "no numbers up to 0"),
        (answer_of([20], logprobs=[0.5]), BadAnswer, "no numbers up to 0"),
        (answer_of([0]), BadAnswer, "not among those allowed"),
    ],
)
def test_answers_of_another_kind(
    tokens: TokenMap, answer: tuple[int, str, dict[str, str]], error: type[Exception], message: str
) -> None:
    with scripted(answer) as (url, _):
        engine = HttpEngine(settings_of(url), tokens.eos)
        with pytest.raises(error, match=f"request 0 to .*{message}"):
            engine.generate(texts_of(tokens, Sampling(max_tokens=2), 1))


def test_refused_before_anything_is_asked(tokens: TokenMap) -> None:
    (request,) = texts_of(tokens, Sampling(max_tokens=2), 1)
    engine = HttpEngine(settings_of("http://127.0.0.1:9"), tokens.eos)
    assert engine.generate([]) == []
    constraint = request.constraint
    clip = np.zeros((8, 64), np.float32)
    for bad, message in [
        (Request([], constraint, Sampling(), 0), "prompt has 0 tokens"),
        (Request([5] * CONTEXT, constraint, Sampling(), 0), "prompt has 128 tokens"),
        (Request([5], constraint, Sampling(max_tokens=0), 0), "max_tokens is 0"),
        (Request([5], constraint, Sampling(), 0, (clip,)), "it has 1 clips"),
    ]:
        with pytest.raises(ConfigError, match=f"request 1: .*{message}"):
            engine.generate([request, bad])
    for changed, message in [
        ({"dialect": "latin"}, "'latin'"),
        ({"parallel": 0}, "0 requests at a time"),
    ]:
        with pytest.raises(ConfigError, match=message):
            HttpEngine(settings_of("http://x", **changed), 1)
    with pytest.raises(ConfigError, match="begins with http"):
        HttpEngine(settings_of("ftp://x"), 1)


def test_the_server_and_bad_clients(backbone: Backbone) -> None:
    loop = EngineLoop(engine_of(backbone))
    with served(loop) as url, httpx.Client(base_url=url) as client:
        assert client.get("/v1/models").json()["data"] == [{"id": "tiny", "object": "model"}]
        for body, status in [
            ({"prompt": "a text"}, 422),
            ({"prompt": []}, 422),
            ({"prompt": [True]}, 422),
            ({"prompt": [5], "max_tokens": 0}, 422),
            ({"prompt": [5], "temperature": -1}, 422),
            ({"prompt": [5], "n": 9}, 422),
            ({"prompt": [10**9]}, 400),
            ({"prompt": [5], "allowed_token_ids": []}, 400),
            ({"prompt": [5], "allowed_token_ids": [-1]}, 400),
            ({"prompt": [5] * CONTEXT}, 400),
            ({"prompt": [5], "stream": True}, 400),
            ({"prompt": [5], "model": "other"}, 404),
        ]:
            assert client.post("/v1/completions", json=body).status_code == status, body
        assert client.post("/v1/completions", content=b"\xff{").status_code == 422
        assert client.post("/v1/completions", content=b"[" * 5_000_000).status_code == 413
        assert client.post("/v1/completions", json={"prompt": [5]}).status_code == 200
    assert loop.engine.busy == 0


def test_a_client_that_hangs_up_frees_its_slot(backbone: Backbone) -> None:
    """One slot and place for one request: while a long one runs another is told to come again; when its client has
    gone, the next is served."""
    eos = backbone.tokens.eos
    rest = [one for one in range(backbone.tokens.vocab_size) if one != eos]
    long = {"prompt": [5], "max_tokens": 10_000, "allowed_token_ids": rest}
    loop = EngineLoop(slowed(engine_of(backbone, 1)), waiting=1)
    with served(loop) as url, httpx.Client(base_url=url) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/completions", json=long, timeout=0.5)
        refused = client.post("/v1/completions", json=long, timeout=5)
        assert (refused.status_code, refused.headers["retry-after"]) in [(429, "1"), (200, "")]
        until = time.monotonic() + 10
        while loop.engine.busy and time.monotonic() < until:
            time.sleep(0.01)
        assert loop.engine.busy == 0
        short = client.post("/v1/completions", json={"prompt": [5], "max_tokens": 1}, timeout=10)
        assert short.status_code == 200


def slowed(engine: Any) -> Any:
    """Steps of 20 ms at least, so that 127 tokens take longer than a client waits."""
    step = engine.step

    def slow() -> Any:
        time.sleep(0.02 if engine.busy else 0)
        return step()

    engine.step = slow
    return engine

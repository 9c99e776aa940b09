"""50 annotators at once against a real server that is killed halfway: nothing doubled, nothing lost, votes quick.

Each client does what a browser does: takes a lease, fetches both clips, has the lease and the sound of the next
question loaded beside, lets the clips play in real time, reports what was played, thinks for about two seconds,
answers. Halfway the server is killed (SIGKILL) and started again; clients repeat what was not answered with the
same idempotency key. Afterwards the store is held against every acknowledged answer.
"""

import asyncio
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from trivox.bench.annotation_store import CLIP_S, Faults, faults_of, filled
from trivox.bench.harness import Result, Timing
from trivox.bench.servers import postgres
from trivox.platform.errors import WorkError
from trivox.platform.progress import say

CLIENTS = 50
SECONDS, FULL_SECONDS = 20.0, 120.0
THINK_S = 2.0
"""Mean of the time between the end of the sound and the answer, exponential: people do not answer in step."""
VOTE_P95_S = 0.2
URL = "TRIVOX_BENCH_DATABASE"
"""Environment variable: a PostgreSQL URL of an empty database to use instead of SQLite, or OWN."""
OWN = "postgresql"
"""A server of the bench's own, every commit on the disk."""
_API = "/api/v1"
_PATIENCE_S = 240.0
"""How long a server may take to start where the machine is busy; that time is not counted."""


@dataclass
class Log:
    """Seconds of every request by kind, and the judgements that the server acknowledged."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    repeated: int = 0
    end: float = 0.0


def run(full: bool = False) -> Result:
    """Raises WorkError when the server does not come up."""
    seconds = FULL_SECONDS if full else SECONDS
    with tempfile.TemporaryDirectory() as folder, _database() as url:
        tasks = int(CLIENTS * seconds / (2 * CLIP_S)) + 4 * CLIENTS
        say(f"filling a workspace: {tasks} comparisons, {CLIENTS} people")
        with filled(Path(folder) / "ws", tasks, CLIENTS, url) as (workspace, cookies, campaign):
            say(f"{CLIENTS} clients for {seconds:.0f} s; the server is killed halfway")
            log, down_s = asyncio.run(_load(workspace.root, cookies, campaign, seconds))
            found = faults_of(workspace, campaign, log.acknowledged)
    return _result(log, found, seconds, down_s, "postgresql" if url else "sqlite")


@contextmanager
def _database() -> Iterator[str | None]:
    if os.environ.get(URL) != OWN:
        yield os.environ.get(URL)
        return
    with postgres(durable=True) as server:
        yield server.fresh()


def _result(log: Log, found: Faults, seconds: float, down_s: float, database: str) -> Result:
    if "answer" not in log.seconds:
        raise WorkError(f"no answer was taken: {log.refused[:1]}: the site and this bench disagree")
    kinds = {kind: Timing(tuple(s), tuple(s)) for kind, s in log.seconds.items()}
    p95 = {kind: _p95(times) for kind, times in log.seconds.items()}
    whole = found.none and not log.refused
    figures = {f"{kind}_p95_ms": 1000 * value for kind, value in sorted(p95.items())}
    figures |= {f"{kind}_p50_ms": 1000 * statistics.median(s) for kind, s in log.seconds.items()}
    figures |= {
        "votes": float(len(log.acknowledged)),
        "votes_per_s": len(log.acknowledged) / seconds,
        "double_leases": float(found.doubled),
        "pairs_judged_twice": float(found.twice),
        "lost_judgements": float(found.lost),
        "wrong_counts": float(found.miscounted),
        "requests_repeated": float(log.repeated),
        "refused": float(len(log.refused)),
        "server_down_s": down_s,
    }
    return Result(
        name="annotation-load",
        ratio_to_peer={},
        # A vote against what it may take: below 1 is within.
        ratio_to_limit=p95["answer"] / VOTE_P95_S,
        passed=whole and p95["answer"] < VOTE_P95_S,
        threshold=f"no double lease, no lost judgement, p95 of a vote < {VOTE_P95_S * 1000:.0f} ms",
        terms={"vote_p95_s": p95["answer"], "allowed_s": VOTE_P95_S},
        sizes={
            "clients": CLIENTS,
            "seconds": seconds,
            "clip_s": CLIP_S,
            "think_s": THINK_S,
            "database": database,
        },
        sides={kind: replace(timing, wall=()) for kind, timing in kinds.items()},
        figures=figures,
        notes=(
            "all clients ask for their first page in one instant: annotation-page measures how a page starts",
            *(f"refused: {one}" for one in log.refused[:1]),
        ),
    )


def _p95(times: list[float]) -> float:
    return float(np.quantile(times, 0.95))


async def _load(
    root: Path, cookies: list[tuple[str, str, str]], campaign: str, seconds: float
) -> tuple[Log, float]:
    port, log = _free_port(), Log()
    server = _start(root, port)
    try:
        await _up(port, server)
        log.end = time.monotonic() + seconds
        clients = [
            asyncio.create_task(_client(port, one, campaign, place / CLIENTS, log))
            for place, one in enumerate(cookies)
        ]
        await asyncio.sleep(seconds / 2)
        server.send_signal(signal.SIGKILL)
        server.wait()
        down = time.monotonic()
        server = _start(root, port)
        await _up(port, server)
        down_s = time.monotonic() - down
        log.end += down_s
        await asyncio.gather(*clients)
    finally:
        server.kill()
        server.wait()
    return log, down_s


def _start(root: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "trivox.bench.annotation_site", str(root), str(port)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


async def _up(port: int, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE_S
    async with httpx.AsyncClient() as http:
        while time.monotonic() < end and server.poll() is None:
            try:
                await http.get(f"http://127.0.0.1:{port}/")
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)
    raise WorkError(f"the site on port {port} did not answer within {_PATIENCE_S:.0f} s")


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Browser:
    """One signed-in client that repeats a request until the server answers it."""

    http: httpx.AsyncClient
    log: Log

    async def send(self, kind: str, method: str, path: str, **body: Any) -> httpx.Response:
        end = time.monotonic() + _PATIENCE_S
        while True:
            begun = time.monotonic()
            try:
                answer = await self.http.request(method, path, **body)
            except httpx.TransportError:
                if time.monotonic() > end:
                    raise
                self.log.repeated += 1
                await asyncio.sleep(0.2)
                continue
            self.log.seconds[kind].append(time.monotonic() - begun)
            return answer


async def _client(
    port: int, signed_in: tuple[str, str, str], campaign: str, wait_s: float, log: Log
) -> None:
    cookie, secret, csrf = signed_in
    await asyncio.sleep(wait_s)  # people do not all begin at the same moment
    headers, jar = {"X-CSRF-Token": csrf}, {cookie: secret}
    base = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=base, headers=headers, cookies=jar, timeout=30) as http:
        browser = Browser(http, log)
        await browser.send("page", "GET", "/")
        while time.monotonic() < log.end:
            if not await _judge(browser, campaign):
                return


async def _judge(browser: Browser, campaign: str) -> bool:
    """One comparison from lease to answer; False when nothing is left."""
    given = (await browser.send("next", "POST", f"{_API}/work/{campaign}/next")).json()
    lease = given.get("lease")
    if lease is None:
        browser.log.refused.append(str(given))
        return False
    path = f"{_API}/leases/{lease['id']}"
    beside = asyncio.create_task(_look_ahead(browser, campaign))
    for number, clip in enumerate(lease["clips"], 1):
        await _play(browser, path, number, clip)
    await asyncio.gather(beside, asyncio.sleep(random.expovariate(1 / THINK_S)))
    vote = {"kind": "comparison", "comparison": 1, "idempotency_key": f"key-{lease['id']}"}
    said = await browser.send("answer", "POST", f"{path}/answer", json=vote)
    if said.status_code == 200:
        browser.log.acknowledged.append(said.json()["judgement"])
    else:
        browser.log.refused.append(said.text)
    return True


async def _look_ahead(browser: Browser, campaign: str) -> None:
    """The next question's lease and sound."""
    told = await browser.send("ahead", "POST", f"{_API}/work/{campaign}/ahead")
    lease = told.json().get("lease")
    for clip in lease["clips"] if lease else ():
        await browser.send("audio", "GET", f"{_API}/leases/{lease['id']}/audio/{clip['audio_id']}")


async def _play(browser: Browser, path: str, number: int, clip: dict[str, Any]) -> None:
    """Fetch a clip, let it play in real time, report it."""
    sound = await browser.send("audio", "GET", f"{path}/audio/{clip['audio_id']}")
    sound.raise_for_status()
    await asyncio.sleep(clip["duration_s"])
    whole = {"start_s": 0.0, "end_s": clip["duration_s"]}
    played = {"number": number, "audio_id": clip["audio_id"], **whole}
    await browser.send("progress", "POST", f"{path}/progress", json={"played": [played]})

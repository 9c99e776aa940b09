"""The engine thread: requests of all sessions and all policy versions, a step at a time.

Two threads work. The engine thread owns the models: it admits, steps and cancels. The voice thread hands each
token to whoever asked for it, who may decode audio there without holding up the engine.
"""

import logging
import math
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from trivox.pipelines.versions import FoundVersion, find_version
from trivox.platform.errors import Busy, TrivoxError, WorkError
from trivox.platform.records import FinishReason, PolicyVersion
from trivox.policy.engine import Drawn, InProcessEngine, Request
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Speaker

QUANTUM = 4
"""Steps of one version before another one that has work takes over: adapters are swapped in between."""
RESIDENTS = 2
"""Backbones in memory at once; another one is taken only when one of them has nothing to do."""
_log = logging.getLogger("trivox.live")
Take = Callable[[Drawn], None]


@dataclass(frozen=True, eq=False)
class Version:
    """A policy version ready to draw from. speaker: makes its requests, from any thread; it draws nothing."""

    policy: PolicyVersion
    resident: ResidentPolicy
    adapter: Path | None
    speaker: Speaker
    engine: InProcessEngine


@dataclass(eq=False)
class Ticket:
    """A request that is under way. stopped: done once the engine draws nothing more for it."""

    version: Version
    request: Request
    take: Take
    cancelled: bool = False
    stopped: "Future[None]" = field(default_factory=Future)


class Hub:
    """Draws for everybody. Use as a context manager, or start and stop it."""

    def __init__(self, root: Path, slots: int = 16, limit: int = 64) -> None:
        """root: of the workspace, or of none for the packaged model alone. slots: rows of one version that are
        drawn at once; limit: requests under way and waiting, of all versions together."""
        self.root, self.slots, self.limit = root, slots, limit
        self._versions: dict[str, Version] = {}
        self._residents: dict[Path, ResidentPolicy] = {}
        self._loading = threading.Lock()
        self._jobs: deque[Callable[[], None]] = deque()
        self._wake = threading.Condition()
        self._tickets: set[Ticket] = set()
        self._stopping = False
        self._active: Version | None = None
        self._swap = ExitStack()
        self._thread = threading.Thread(target=self._run, name="trivox-engine", daemon=True)
        self._voices = ThreadPoolExecutor(1, "trivox-voice")

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End all requests; each that asked is told."""
        self._job(self._end)
        if self._thread.is_alive():
            self._thread.join(10)
        self._voices.shutdown(wait=True)

    def __enter__(self) -> "Hub":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def under_way(self) -> int:
        """Requests that are not over."""
        return len(self._tickets)

    def version(self, name: str) -> Version:
        """A version by name or id, loaded when it is asked for first. Takes seconds then: not for an event loop.

        Raises NotFound; Busy where its backbone has no room beside those at work.
        """
        found = find_version(self.root, name)
        with self._loading:
            if found.policy.id not in self._versions:
                self._versions[found.policy.id] = self._load(found)
            return self._versions[found.policy.id]

    def draw(self, version: Version, request: Request, take: Take) -> Ticket:
        """Let the engine work on a request; `take` is called in the voice thread with each token, in order, the
        last with a finish reason. Where the request cannot be carried out, that is FAILED with the error.

        Raises Busy when the limit is reached.
        """
        ticket = Ticket(version, request, take)
        with self._wake:
            if self._stopping or len(self._tickets) >= self.limit:
                raise Busy(
                    f"{len(self._tickets)} requests are under way, of {self.limit}: try again soon"
                )
            self._tickets.add(ticket)
        self._job(lambda: self._submit(ticket))
        return ticket

    def cancel(self, ticket: Ticket) -> "Future[None]":
        """Stop a request: `take` is not called again from now on; the result is done when its slot is free."""
        ticket.cancelled = True
        self._job(lambda: self._cancel(ticket))
        return ticket.stopped

    def _load(self, found: FoundVersion) -> Version:
        if found.backbone not in self._residents:
            self._make_room()
            self._residents[found.backbone] = ResidentPolicy(found.backbone, self.slots)
        resident = self._residents[found.backbone]
        backbone = resident.backbone
        # The weights of an adapter are inside the layers of this model while it is active.
        engine = InProcessEngine(
            backbone.lm, backbone.tokens.eos, backbone.tokens.pad, self.slots, fixed=False
        )
        speaker = Speaker(backbone, backbone.lm, self.slots)
        return Version(found.policy, resident, found.adapter, speaker, engine)

    def _make_room(self) -> None:
        while len(self._residents) >= RESIDENTS:
            working = {ticket.version.resident for ticket in [*self._tickets]}
            idle = [path for path, one in self._residents.items() if one not in working]
            if not idle:
                raise Busy(f"{RESIDENTS} backbones are at work, the most at once: try again soon")
            gone = self._residents.pop(idle[0])
            self._versions = {
                name: version
                for name, version in self._versions.items()
                if version.resident is not gone
            }

    def _job(self, job: Callable[[], None]) -> None:
        with self._wake:
            self._jobs.append(job)
            self._wake.notify()

    def _run(self) -> None:
        while not self._stopping:
            self._do_jobs(wait=not self._tickets)
            for version in self._working():
                self._work(version)
        self._swap.close()

    def _do_jobs(self, wait: bool) -> None:
        with self._wake:
            while wait and not self._jobs:
                self._wake.wait()
            jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            job()

    def _working(self) -> list[Version]:
        return [*dict.fromkeys(ticket.version for ticket in [*self._tickets])]

    def _work(self, version: Version) -> None:
        """A few steps of one version; whatever fails in them fails its requests and nobody else's."""
        try:
            self._activate(version)
            for _ in range(QUANTUM):
                if self._stopping or not version.engine.busy:
                    return
                for drawn in version.engine.step():
                    self._deliver(drawn)
                self._do_jobs(wait=False)
        except Exception as error:  # the thread serves other sessions too: it must not end
            if not isinstance(error, TrivoxError):
                _log.exception("a step of %s failed", version.policy.name)
                error = WorkError(
                    f"policy {version.policy.name}: a step failed ({type(error).__name__})"
                )
            self._fail_all(version, error)

    def _activate(self, version: Version) -> None:
        if version is not self._active:
            self._swap.close()
            self._active = None
            self._swap.enter_context(version.resident.using(version.adapter))
            self._active = version

    def _submit(self, ticket: Ticket) -> None:
        if ticket.cancelled:
            return
        try:
            ticket.version.engine.submit(ticket, ticket.request)
        except TrivoxError as error:
            self._deliver(_failed(ticket, error))

    def _cancel(self, ticket: Ticket) -> None:
        ticket.version.engine.cancel(ticket)
        self._over(ticket)

    def _deliver(self, drawn: Drawn) -> None:
        ticket: Ticket = drawn.key
        if drawn.finish_reason is not None:
            self._over(ticket)
        self._voices.submit(self._hand, ticket, drawn)

    def _hand(self, ticket: Ticket, drawn: Drawn) -> None:
        """In the voice thread, which serves all sessions: who cannot take a token fails alone, and is told."""
        if ticket.cancelled:
            return
        try:
            ticket.take(drawn)
        except Exception as error:
            _log.exception("a token was not taken")
            self.cancel(ticket)
            if drawn.error is None:
                kind = type(error).__name__
                ticket.take(_failed(ticket, WorkError(f"what was drawn cannot be used ({kind})")))

    def _over(self, ticket: Ticket) -> None:
        self._tickets.discard(ticket)
        if not ticket.stopped.done():
            ticket.stopped.set_result(None)

    def _fail_all(self, version: Version, error: TrivoxError) -> None:
        version.engine.clear()
        for ticket in [one for one in self._tickets if one.version is version]:
            self._deliver(_failed(ticket, error))

    def _end(self) -> None:
        with self._wake:
            self._stopping = True
        for version in self._working():
            self._fail_all(version, WorkError("the server stops: begin again later"))


def _failed(ticket: Ticket, error: TrivoxError) -> Drawn:
    return Drawn(ticket, -1, math.nan, FinishReason.FAILED, error)

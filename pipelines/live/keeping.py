"""Live replies as rollouts in the workspace, where the operator has asked for it: by default nothing is kept."""

import logging
from concurrent.futures import ThreadPoolExecutor

from trivox.pipelines.live.dialogue import LiveTurn, Wave
from trivox.pipelines.live.hub import Version
from trivox.pipelines.live.replying import Reply
from trivox.pipelines.live.session import LiveSession
from trivox.platform.errors import TrivoxError
from trivox.platform.records import (
    Audio,
    Branch,
    DecodingStatistics,
    Prompt,
    Rollout,
    Turn,
)
from trivox.platform.store import Workspace
from trivox.policy.branches.speech import speech_segments
from trivox.policy.hearing.vad import VAD_RATE

USER = "live conversation, user's side"
ASSISTANT = "synthetic speech of a Trivox policy"
LANGUAGE = "en-US"
_log = logging.getLogger("trivox.live")


class Keeper:
    """Writes one rollout for each reply, in a thread of its own. Whoever turns it on has the speakers' consent."""

    def __init__(self, ws: Workspace) -> None:
        self.ws = ws
        self._writer = ThreadPoolExecutor(1, "trivox-keeper")

    def __call__(self, session: LiveSession, reply: Reply, turn: LiveTurn) -> None:
        turns = session.history.turns
        answered = turns[: turns.index(turn)][-reply.turns :]
        persona, instruction = session.settings.persona, session.settings.instruction
        told = _Told(session.id, session.version, persona, instruction, list(answered), turn, reply)
        self._writer.submit(self._write, told)

    def close(self) -> None:
        """Return when all is written."""
        self._writer.shutdown(wait=True)

    def _write(self, told: "_Told") -> None:
        try:
            told.write(self.ws)
        except TrivoxError as error:
            _log.error("reply %s was not kept: %s", told.reply.id, error)


class _Told:
    """A reply with the turns that it answers, as they were when it was over."""

    def __init__(
        self,
        session: str,
        version: Version,
        persona: str,
        instruction: str,
        before: list[LiveTurn],
        turn: LiveTurn,
        reply: Reply,
    ) -> None:
        self.session, self.version, self.reply = session, version, reply
        self.persona, self.instruction = persona, instruction
        self.before, self.turn = before, turn

    def write(self, ws: Workspace) -> None:
        rate = self.version.speaker.backbone.codec.spec.sample_rate
        audio: list[Audio] = []
        turns = tuple(self._turn(ws, turn, audio) for turn in self.before)
        spoken = _stored(ws, self.reply.audio, rate, ASSISTANT, audio)
        prompt = Prompt.of(
            Branch.REALTIME,
            (LANGUAGE,),
            text=self.persona,
            instruction=self.instruction or None,
            turns=turns,
        )
        ws.records.add(prompt, *audio)
        rollout = self._rollout(ws.project, prompt.id, (*turns, self._own(spoken)), spoken)
        ws.tables.write(
            [rollout], branch=Branch.REALTIME, round=f"live-{self.session}", part=self.reply.id
        )

    def _turn(self, ws: Workspace, turn: LiveTurn, audio: list[Audio]) -> Turn:
        kept = None
        if turn.samples is not None:
            kept = _stored(ws, turn.samples, VAD_RATE, USER, audio)
        return _record(turn, kept, None)

    def _own(self, spoken: str | None) -> Turn:
        """interrupted_by: the number of the turn that comes next."""
        number = len(self.before) + 1
        return _record(self.turn, spoken, number if self.turn.interrupted_by else None)

    def _rollout(
        self, project: str, prompt: str, turns: tuple[Turn, ...], spoken: str | None
    ) -> Rollout:
        reply, backbone = self.reply, self.version.speaker.backbone
        assert reply.ticket is not None and reply.reason is not None  # it is over
        ids = reply.stream.ids
        codes = backbone.tokens.read_codes(ids)
        return Rollout(
            id=reply.id.replace("rs_", "ro_"),
            project=project,
            round=None,
            branch=Branch.REALTIME,
            prompt=prompt,
            producer=self.version.policy.id,
            seed=reply.seed,
            index=len(self.before),
            sampling=reply.ticket.request.sampling,
            engine=self.version.engine.name,
            dtype=str(backbone.lm.dtype).removeprefix("torch."),
            tokens=tuple(ids),
            segments=speech_segments(backbone.tokens, ids, chosen_text=True),
            logprobs=tuple(reply.logprobs),
            finish_reason=reply.reason,
            text=reply.stream.text,
            audio=spoken,
            codes=tuple(tuple(frame) for frame in codes.tolist()),
            codes_layout=backbone.tokens.layout,
            turns=turns,
            decoding=DecodingStatistics(len(ids)),
            timings=dict(reply.timings),
            codec_hash=backbone.codec.weights_hash,
            tokenizer_hash=backbone.tokenizer_hash,
        )


def _stored(ws: Workspace, samples: Wave, rate: int, source: str, audio: list[Audio]) -> str | None:
    if not len(samples):
        return None
    audio.append(ws.audio.put(samples, rate, project=ws.project, source=source))
    return audio[-1].id


def _record(turn: LiveTurn, audio: str | None, interrupted_by: int | None) -> Turn:
    start, end = round(1000 * turn.start_s), round(1000 * turn.end_s)
    return Turn(turn.role, turn.text or None, audio, 0, start, end, interrupted_by)

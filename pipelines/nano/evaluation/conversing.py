"""realtime: spoken episodes with a simulated user, checked by rule in three readings of each reply."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from trivox.pipelines.nano.clips import personas as pairs
from trivox.pipelines.nano.domain import words_that_matter_first
from trivox.pipelines.nano.evaluation.closed_set import ClosedSet
from trivox.pipelines.nano.evaluation.judges import LANGUAGE, Wave
from trivox.pipelines.nano.teachers import HIBARI_VOICE, Manner, phonemes
from trivox.pipelines.nano.teachers import speak as teacher
from trivox.pipelines.realtime.episodes import Figures, reread, run_episodes
from trivox.pipelines.realtime.personas import character, packaged_personas
from trivox.pipelines.realtime.simulator import Reply, scripted_reply
from trivox.platform.progress import bar
from trivox.platform.records import Failure, Persona, Turn
from trivox.policy.branches.realtime import Said
from trivox.policy.speaker import Dialogue, Speaker
from trivox.reward_models.verifiable.recognisers import whisper_base

READINGS = ("written", "heard", "closed_set")


def conversing(speaker: Speaker, episodes: int, seed: int) -> dict[str, Any]:
    """Shares of replies on topic and in persona, by turn, in the readings of Spoken. The user's requests are held
    out and spoken by the teacher; the user reacts to the closed set's reading.

    realtime: the packaged personas; realtime_reasoning: after hidden reasoning; realtime_new_personas: after
    reasoning, pairs of traits that no training reply had; realtime_teacher: perfect replies in the teacher's
    recordings, which is as much as these judges give to anybody.
    """
    packaged, listener = packaged_personas(), _Listener()
    plain, thinking = (_Nano(speaker, listener, seed, thinks) for thinks in (False, True))
    return {
        "realtime": _run(plain, packaged, episodes, seed),
        "realtime_reasoning": _run(thinking, packaged, episodes, seed),
        "realtime_new_personas": _run(thinking, _held_out(), episodes, seed + 1),
        "realtime_teacher": _run(_Teacher(listener), packaged, episodes, seed),
    }


@dataclass(frozen=True)
class Spoken:
    """A reply in three readings. written: the words that the speaker says it says; heard: what Whisper base hears;
    closed_set: that in the words of the domain."""

    written: str
    heard: str
    closed_set: str


class _Listener:
    """What is made of a reply's samples."""

    def __init__(self) -> None:
        self.judge = whisper_base()
        self.domain = ClosedSet(words_that_matter_first(), phonemes)

    def spoken(self, written: str, samples: Wave) -> Spoken:
        heard = self.judge.transcribe(samples, LANGUAGE)
        return Spoken(written, heard, self.domain.read(heard))


class _Replier:
    """Replies, kept under the id that stands in a turn for their audio."""

    label = ""

    def __init__(self, listener: _Listener) -> None:
        self.listener, self.said = listener, dict[str, Spoken]()
        self.requests: dict[str, Wave] = {}

    def ask(self, text: str) -> str:
        if text not in self.requests:
            self.requests[text] = teacher(text, HIBARI_VOICE, Manner(), None)
        return text

    def reply(self, persona: Persona, turns: Sequence[Turn]) -> Reply:
        answer = self.answer(persona, turns)
        if isinstance(answer, Failure):
            return Reply(None, failure=answer)
        name = f"reply-{len(self.said)}"
        self.said[name] = answer
        return Reply(answer.closed_set, name)

    def answer(self, persona: Persona, turns: Sequence[Turn]) -> Spoken | Failure:
        raise NotImplementedError


class _Nano(_Replier):
    def __init__(self, speaker: Speaker, listener: _Listener, seed: int, thinks: bool) -> None:
        super().__init__(listener)
        self.speaker, self.seed, self.thinks = speaker, seed, thinks
        self.label = "realtime, reasoning" if thinks else "realtime"

    def answer(self, persona: Persona, turns: Sequence[Turn]) -> Spoken | Failure:
        voice = persona.traits.get("voice", HIBARI_VOICE)
        asked = Dialogue(character(persona), tuple(map(self._turn, turns)), voice)
        (speech,) = self.speaker.reply([asked], [self.seed], thinks=self.thinks)
        if not len(speech.samples):
            return Failure("empty_reply", "no audio frame was generated")
        return self.listener.spoken(speech.text, speech.samples)

    def _turn(self, turn: Turn) -> Wave | Said:
        """The user as audio; the assistant in the words that it wrote itself, not as the judge heard them."""
        assert turn.audio is not None
        if turn.role == "user":
            return self.requests[turn.audio]
        return Said(turn.role, self.said[turn.audio].written)


class _Teacher(_Replier):
    label = "realtime, teacher"

    def answer(self, persona: Persona, turns: Sequence[Turn]) -> Spoken | Failure:
        perfect = scripted_reply(persona, turns)
        if perfect.text is None:
            return perfect.failure or Failure("not understood", "no reply")
        return self.listener.spoken(
            perfect.text, teacher(perfect.text, HIBARI_VOICE, Manner(), None)
        )


def _run(
    replier: _Replier, personas: Sequence[Persona], episodes: int, seed: int
) -> dict[str, Any]:
    with bar() as shown:
        task = shown.add_task(replier.label, total=3 * episodes)

        def reply(persona: Persona, turns: Sequence[Turn]) -> Reply:
            shown.update(task, advance=1)
            return replier.reply(persona, turns)

        figures = run_episodes(reply, personas, episodes, seed, speak=replier.ask)
    return readings_of(figures, replier.said)


def readings_of(figures: Figures, said: Mapping[str, Spoken]) -> dict[str, Any]:
    """Seeds and counts once, and the shares in each reading: name -> {all, by_turn}."""

    def text_of(reading: str, reply: Reply) -> str:
        assert reply.audio is not None
        return str(getattr(said[reply.audio], reading))

    read = {name: reread(figures, partial(text_of, name)).to_json() for name in READINGS}
    shares = {name: {"all": one["all"], "by_turn": one["by_turn"]} for name, one in read.items()}
    whole = figures.to_json()
    return {"seed": whole["seed"], "episodes": whole["episodes"], "seeds": whole["seeds"], **shares}


def _held_out() -> list[Persona]:
    return [
        Persona(
            id=f"held-out-{index}",
            project="default",
            name=("anna", "tom", "lucy", "peter")[index % 4],
            version=1,
            description=f"says {opening} and calls me {address}",
            traits={"opening": opening, "address": address, "voice": HIBARI_VOICE},
        )
        for index, (opening, address) in enumerate(pairs(held_out=True))
    ]

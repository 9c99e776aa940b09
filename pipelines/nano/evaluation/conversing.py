"""realtime: spoken episodes with a simulated user, checked by rule."""

from collections.abc import Sequence
from typing import Any

from trivox.pipelines.nano.clips import personas as pairs
from trivox.pipelines.nano.evaluation.judges import LANGUAGE, Wave
from trivox.pipelines.nano.teachers import HIBARI_VOICE, Manner
from trivox.pipelines.nano.teachers import speak as teacher
from trivox.pipelines.realtime.episodes import run_episodes
from trivox.pipelines.realtime.personas import character, packaged_personas
from trivox.pipelines.realtime.simulator import Reply
from trivox.platform.progress import bar
from trivox.platform.records import Failure, Persona, Turn
from trivox.policy.branches.realtime import Said
from trivox.policy.speaker import Dialogue, Speaker
from trivox.reward_models.verifiable.recognisers import whisper_base


def conversing(speaker: Speaker, episodes: int, seed: int) -> dict[str, Any]:
    """Shares of replies on topic and in persona, by turn, by the words that Whisper base hears in the reply. The
    user's requests are held out and spoken by the teacher.

    realtime: the packaged personas; realtime_new_personas: pairs of traits that no training reply had.
    """
    known = _Replier(speaker, seed)
    fresh = _Replier(speaker, seed + 1)
    return {
        "realtime": known.run(packaged_personas(), episodes, seed),
        "realtime_new_personas": fresh.run(_held_out(), episodes, seed + 1),
    }


class _Replier:
    """Replies of nano, as a judge hears them."""

    def __init__(self, speaker: Speaker, seed: int) -> None:
        self.speaker, self.seed, self.judge = speaker, seed, whisper_base()
        self.heard: dict[str, Wave] = {}
        self.written: dict[str, str] = {}

    def run(self, personas: Sequence[Persona], episodes: int, seed: int) -> dict[str, Any]:
        with bar() as shown:
            task = shown.add_task("realtime", total=3 * episodes)

            def reply(persona: Persona, turns: Sequence[Turn]) -> Reply:
                shown.update(task, advance=1)
                return self._reply(persona, turns)

            figures = run_episodes(reply, personas, episodes, seed, speak=self._user)
        return figures.to_json()

    def _user(self, text: str) -> str:
        if text not in self.heard:
            self.heard[text] = teacher(text, HIBARI_VOICE, Manner(), None)
        return text

    def _reply(self, persona: Persona, turns: Sequence[Turn]) -> Reply:
        asked = Dialogue(
            character(persona),
            tuple(self._turn(turn) for turn in turns),
            persona.traits.get("voice", HIBARI_VOICE),
        )
        (speech,) = self.speaker.reply([asked], [self.seed])
        if not len(speech.samples):
            return Reply(None, failure=Failure("empty_reply", "no audio frame was generated"))
        heard = self.judge.transcribe(speech.samples, LANGUAGE)
        self.written[heard] = speech.text
        return Reply(heard)

    def _turn(self, turn: Turn) -> Wave | Said:
        """The user as audio; the assistant in the words that it wrote itself, not as the judge heard them."""
        if turn.role == "user" and turn.audio is not None:
            return self.heard[turn.audio]
        return Said(turn.role, self.written[turn.text or ""])


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

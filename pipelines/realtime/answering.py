"""A policy answers recorded turns, one after the other."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from trivox.pipelines.realtime.personas import character, packaged_personas
from trivox.platform.audio.io import read_audio, resample, to_mono
from trivox.platform.errors import NotFound, WorkError
from trivox.platform.hashing import derived_seed
from trivox.platform.personas.registry import resolve
from trivox.platform.records import Persona
from trivox.platform.store import Workspace
from trivox.policy.branches.realtime import Said
from trivox.policy.speaker import Dialogue, Speaker, Speech, Wave


def find_persona(root: Path, name: str) -> Persona:
    """A persona of the workspace at root; a packaged one where there is no workspace or it has none of that name.

    Raises NotFound, naming the packaged ones.
    """
    packaged = {persona.name: persona for persona in packaged_personas()}
    try:
        return resolve(Workspace.open(root), Persona, name)
    except NotFound:
        if name in packaged:
            return packaged[name]
        raise NotFound(
            f"persona {name!r} is neither in workspace {root} nor packaged: {', '.join(packaged)}"
        ) from None


def answer_files(
    speaker: Speaker, persona: Persona, files: Sequence[Path], seed: int, thinks: bool = False
) -> Iterator[Speech]:
    """The reply to each recorded turn, with the turns before it as history.

    Raises BrokenAudio for a file that is no audio or too long, WorkError for a reply without a sound.
    """
    turns: list[Wave | Said] = []
    for number, file in enumerate(files):
        turns.append(_heard(file, speaker.backbone.hearing_rate))
        asked = Dialogue(character(persona), tuple(turns), persona.traits.get("voice", ""))
        (speech,) = speaker.reply([asked], [derived_seed(seed, number)], thinks=thinks)
        if not len(speech.samples):
            raise WorkError(f"the policy said nothing to {file}: try another seed")
        turns.append(Said("assistant", speech.text))
        yield speech


def _heard(file: Path, rate: int) -> Wave:
    samples, native = read_audio(file)
    return resample(to_mono(samples), native, rate)

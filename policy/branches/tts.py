"""tts: text, instruction and reference voice in, speech out."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from trivox.platform.errors import UnspeakableText
from trivox.policy.branches.constraint import AudioConstraint, Constraint, GivenWords
from trivox.policy.branches.realtime import Said, said_ids
from trivox.policy.branches.speech import chunk_ids, chunks_of
from trivox.policy.text import without_directives
from trivox.policy.vocabulary import TokenMap

REFERENCE_FRAMES = 20
"""Frames of a reference clip that a prompt holds: 0.8 s of nano's 25 per second."""


def tts_prompt(
    tokens: TokenMap,
    text: str,
    instruction: str = "",
    voice: npt.NDArray[np.int32] | None = None,
    context: Sequence[Said] = (),
) -> list[int]:
    """`<|tts|> [<|voice|> codes] [<|instruction|> words] [turns of the context] <|text|> text <|speech|>`.

    context: what was said before, `<|user|> text` or `<|assistant|> text` each; text and instruction as
    `speakable` writes them; voice: codes int32 [n, Q] of a reference clip, of which the first 20 frames are used.
    Raises UnspeakableText.
    """
    prompt = [tokens.tts]
    if voice is not None:
        prompt += [tokens.voice, *tokens.audio_ids(voice[:REFERENCE_FRAMES])]
    if instruction:
        prompt += [tokens.instruction, *tokens.text_ids(tokens.written(instruction))]
    for turn in context:
        prompt += said_ids(tokens, turn)
    return [*prompt, tokens.text, *tokens.text_ids(tokens.written(text)), tokens.speech]


def tts_constraint(tokens: TokenMap, text: str) -> Constraint:
    """Audio, and the words of the text among it where the model carries them.

    Raises UnspeakableText, and so for a text without a word outside its directives.
    """
    if tokens.carries == "none":
        return AudioConstraint(tokens)
    chunks = chunks_of(tokens.written(text))
    if not any(map(without_directives, chunks)):
        raise UnspeakableText(text, [], "".join(tokens.characters) or "any text")
    return GivenWords(tokens, chunk_ids(tokens, chunks))

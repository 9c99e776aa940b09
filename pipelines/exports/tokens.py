"""Prompts in a policy's own tokens."""

from collections.abc import Callable

from trivox.platform.errors import TrivoxError
from trivox.platform.records import Branch, Prompt
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.vocabulary import TokenMap

NEEDS_SOUND = "a prompt that is heard has no form in tokens alone"


def prompt_tokens(tokens: TokenMap) -> Callable[[Prompt], list[int] | str]:
    """Prompt -> its token ids, or why there are none: recordings go in as features, and rows of ids hold none."""

    def made(prompt: Prompt) -> list[int] | str:
        if prompt.branch is not Branch.TTS or prompt.voice_audio is not None:
            return NEEDS_SOUND
        try:
            return tts_prompt(tokens, prompt.text or "", prompt.instruction or "", None)
        except TrivoxError as error:
            return " ".join(str(error).split())

    return made

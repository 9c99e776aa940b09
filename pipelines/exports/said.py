"""What a rollout said, as text that a language model with audio tokens can be trained on, and back.

Codes are written `<|a_17|>` (frame by frame, the codebooks of a frame one after the other), other tokens `<|17|>`:
names of added tokens, so that a tokenizer that has them gives them back exactly.
"""

import re

from trivox.platform.records import Branch, Prompt, Rollout

_CODES = re.compile(r"(?:<\|a_\d+\|>)+")
_TOKENS = re.compile(r"(?:<\|\d+\|>)+")
_NUMBER = re.compile(r"\d+")


def prompt_text(prompt: Prompt) -> str:
    """What is asked, in words: the text to say, the dialogue so far, or nothing where the question is heard."""
    if prompt.turns:
        said = [f"{turn.role}: {turn.text}" for turn in prompt.turns if turn.text]
        return "\n".join([*([prompt.instruction] if prompt.instruction else []), *said])
    asked = prompt.text or ""
    return f"{prompt.instruction}\n{asked}" if prompt.instruction else asked


def said(one: Rollout, prompt: Prompt) -> str:
    """Words where the answer is words (asr, or a reply without sound), else codes, else tokens; "" for neither."""
    if one.text and (prompt.branch is Branch.ASR or not (one.codes or one.tokens)):
        return one.text
    if one.codes:
        return "".join(f"<|a_{code}|>" for frame in one.codes for code in frame)
    return "".join(f"<|{token}|>" for token in one.tokens) or (one.text or "")


def read_said(text: str) -> tuple[str | None, tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """(words, tokens, codes of one codebook) of such a text; what has no such form is words."""
    if _CODES.fullmatch(text):
        return None, (), tuple((int(n),) for n in _NUMBER.findall(text))
    if _TOKENS.fullmatch(text):
        return None, tuple(int(n) for n in _NUMBER.findall(text)), ()
    return text, (), ()

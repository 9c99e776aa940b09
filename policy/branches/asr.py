"""asr: speech in, text out."""

from trivox.policy.branches.constraint import TextConstraint
from trivox.policy.vocabulary import TokenMap


def asr_prompt(tokens: TokenMap, heard: int) -> list[int]:
    """`<|asr|> <|audio|>… <|text|>` with a placeholder for each of the `heard` embeddings of the recording."""
    return [tokens.asr, *[tokens.audio] * heard, tokens.text]


def asr_completion(tokens: TokenMap, text: str) -> list[int]:
    """The transcript and the end. Raises UnspeakableText."""
    return [*tokens.text_ids(text), tokens.eos]


def asr_constraint(tokens: TokenMap) -> TextConstraint:
    """Text or the end."""
    return TextConstraint(tokens)

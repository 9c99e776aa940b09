"""realtime: persona and spoken dialogue in, spoken reply out."""

from collections.abc import Sequence
from dataclasses import dataclass

from trivox.policy.branches.constraint import AudioConstraint, Constraint, FreeWords
from trivox.policy.vocabulary import TokenMap


@dataclass(frozen=True)
class Heard:
    """A user's turn as audio: how many embeddings its recording has."""

    embeddings: int


@dataclass(frozen=True)
class Said:
    """A turn as text: what the assistant said, or a user who typed."""

    role: str
    text: str


def realtime_prompt(
    tokens: TokenMap, persona: str, turns: Sequence[Heard | Said], instruction: str = ""
) -> list[int]:
    """`<|realtime|> <|persona|> text [<|instruction|> words]`, the turns (`<|user|> <|audio|>…` or text,
    `<|assistant|> text`), and `<|assistant|>` for the reply.

    instruction: how the replies are spoken; nano knows the name of a voice. Raises UnspeakableText.
    """
    prompt = [tokens.realtime, tokens.persona, *tokens.text_ids(tokens.written(persona))]
    if instruction:
        prompt += [tokens.instruction, *tokens.text_ids(tokens.written(instruction))]
    for turn in turns:
        if isinstance(turn, Heard):
            prompt += [tokens.user, *[tokens.audio] * turn.embeddings]
        else:
            prompt += said_ids(tokens, turn)
    return [*prompt, tokens.assistant]


def said_ids(tokens: TokenMap, turn: Said) -> list[int]:
    """A turn that is text: the mark of its role, and the text."""
    role = tokens.user if turn.role == "user" else tokens.assistant
    return [role, *tokens.text_ids(tokens.written(turn.text))]


def reasoning(tokens: TokenMap, thought: str) -> list[int]:
    """`<|think|> thought <|/think|>`: what comes before a reply and is not spoken."""
    return [tokens.think, *tokens.text_ids(tokens.written(thought)), tokens.end_think]


def planned(heard: str, reply: str) -> str:
    """The thought that nano has before a reply: what it heard, and in parentheses what it is about to say."""
    return f"{heard} ({reply})"


def realtime_constraint(tokens: TokenMap, thinks: bool = False) -> Constraint:
    """Words and their audio, after hidden reasoning if asked for."""
    if tokens.carries == "none":
        return AudioConstraint(tokens)
    return FreeWords(tokens, thinks)

"""Views as tokens: through a tokenizer's chat template, or in the marks of the shared backbone.

What people and policies wrote can never become a control token: it is cut into tokens apart from the frame.
"""

from dataclasses import dataclass
from typing import Any, Protocol

from trivox.platform.errors import ConfigError, UnspeakableText
from trivox.platform.records import Failure
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.generative.backends import JudgeFailure, failure
from trivox.reward_models.generative.questions import Reply, View
from trivox.reward_models.generative.templates import Template, persona_text

_SLOT = "\u0000SLOT\u0000"


@dataclass(frozen=True)
class Encoded:
    """shared: token ids that many prompts begin with; own: those of this view, up to the place where the verdict
    or the reasoning begins."""

    shared: tuple[int, ...]
    own: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.shared) + len(self.own)


class Encoder(Protocol):
    """closing: ids between the reasoning and the verdict; stop: ids that end the reasoning."""

    stop: frozenset[int]

    def encode(self, view: View, template: Template, reasons: bool) -> Encoded | Failure: ...

    def labels(self, template: Template) -> dict[str, int]: ...

    def closing(self, template: Template) -> list[int]: ...

    def text(self, ids: list[int]) -> str: ...


class ChatEncoder:
    """For language models with a chat template; without one, plain text."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.stop = frozenset({tokenizer.eos_token_id} - {None})
        self._frames: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}

    def encode(self, view: View, template: Template, reasons: bool) -> Encoded | Failure:
        if view.shown[0].text is None or view.shown[1].text is None:
            return failure(
                JudgeFailure.NOTHING_TO_JUDGE,
                f"question {view.question.id}: a judge of text alone needs the text of both replies",
            )
        system = template.system_text(view.question.rubric, view.question.instruction)
        before, after = self._frame(system)
        own = [*self._plain(template.question_text(view, reasons)), *after]
        return Encoded(before, tuple(own if reasons else own + self._plain(template.cue)))

    def labels(self, template: Template) -> dict[str, int]:
        """The token of each label as it follows the cue; raises ConfigError for a label of several tokens."""
        cue, found = self._plain(template.cue), {}
        for label in template.labels:
            ids = self._plain(f"{template.cue} {label}")
            if ids[: len(cue)] != cue or len(ids) != len(cue) + 1:
                ids = [*cue, *self._plain(label)]
            if len(ids) != len(cue) + 1:
                raise ConfigError(
                    f"template {template.reference}: label {label!r} takes {len(ids) - len(cue)} tokens of this "
                    "model: choose labels of one token"
                )
            found[label] = ids[-1]
        if len(set(found.values())) < len(found):
            raise ConfigError(
                f"template {template.reference}: two labels are the same token of this model: {found}"
            )
        return found

    def closing(self, template: Template) -> list[int]:
        return self._plain(f"\n{template.cue}")

    def text(self, ids: list[int]) -> str:
        return str(self.tokenizer.decode(ids, skip_special_tokens=True))

    def _frame(self, system: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The ids before and after the user's message."""
        if system not in self._frames:
            before, _, after = self._framed(system).partition(_SLOT)
            ids = [tuple(self._ids(part, control=True)) for part in (before, after)]
            self._frames[system] = (ids[0], ids[1])
        return self._frames[system]

    def _framed(self, system: str) -> str:
        if not getattr(self.tokenizer, "chat_template", None):
            return f"{system}\n\n{_SLOT}\n"
        messages = [
            {"role": "system", "content": system},
            {"role": "user", "content": _SLOT},
        ]
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )

    def _plain(self, text: str) -> list[int]:
        return self._ids(text, control=False)

    def _ids(self, text: str, control: bool) -> list[int]:
        read = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not control)
        return list(read["input_ids"])


class BackboneEncoder:
    """For the shared backbone: text and audio tokens between its marks.

    `<|realtime|> <|instruction|> system [<|persona|> character] (<|user|> | <|assistant|> turn)… <|assistant|> A
    <|assistant|> B`, then `<|think|>` for reasoning or `<|text|>` for the verdict at once; a reply is its text, or
    `<|speech|>` and its codes, or both.
    """

    def __init__(self, tokens: TokenMap) -> None:
        self.tokens = tokens
        self.stop = frozenset({tokens.end_think, tokens.eos})

    def encode(self, view: View, template: Template, reasons: bool) -> Encoded | Failure:
        try:
            return self._encode(view, template, reasons)
        except UnspeakableText as error:
            return failure(JudgeFailure.NOTHING_TO_JUDGE, f"question {view.question.id}: {error}")

    def labels(self, template: Template) -> dict[str, int]:
        """Raises ConfigError for a label of several tokens."""
        found = {label: self.tokens.text_ids(label) for label in template.labels}
        if long := [label for label, ids in found.items() if len(ids) != 1]:
            raise ConfigError(
                f"template {template.reference}: labels {long} take several tokens of this one: use backbone@1"
            )
        return {label: ids[0] for label, ids in found.items()}

    def closing(self, template: Template) -> list[int]:
        return [self.tokens.end_think]

    def text(self, ids: list[int]) -> str:
        return self.tokens.read_text(ids)

    def _encode(self, view: View, template: Template, reasons: bool) -> Encoded:
        tokens, question = self.tokens, view.question
        system = template.system_text(question.rubric, question.instruction)
        shared = [tokens.realtime, tokens.instruction, *self._text(system)]
        own: list[int] = []
        if question.persona is not None:
            own += [tokens.persona, *self._text(persona_text(question.persona))]
        for line in question.history:
            role = tokens.user if line.role == "user" else tokens.assistant
            own += [role, *self._text(line.text)]
        for reply in view.shown:
            own += [tokens.assistant, *self._reply(reply)]
        return Encoded(tuple(shared), (*own, tokens.think if reasons else tokens.text))

    def _reply(self, reply: Reply) -> list[int]:
        ids = [] if not (reply.text or "").strip() else self._text(reply.text or "")
        if reply.codes is not None and len(reply.codes):
            ids += [self.tokens.speech, *self.tokens.audio_ids(reply.codes)]
        if not ids:
            raise UnspeakableText(
                "", [], "any text", f"reply {reply.id}, which has no audio either"
            )
        return ids

    def _text(self, text: str) -> list[int]:
        return self.tokens.text_ids(self.tokens.written(text))

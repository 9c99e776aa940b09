"""A judge that asks nothing: how likely a language model finds each reply after the dialogue.

Mean log-likelihood of the reply's tokens, or that less the mean without the dialogue (pointwise mutual information
per token), which does not favour replies that are likely anywhere. No order, so no position bias. Small models
that cannot answer "A or B" can still be used so.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from trivox.platform.records import Answer, AnswerKind, Failure, Tie
from trivox.policy.rows import IGNORED, Row, collate
from trivox.reward_models.generative.backends import Identity, JudgeFailure, failure
from trivox.reward_models.generative.questions import Question, Reply
from trivox.reward_models.generative.templates import persona_text

Mode = Literal["mean", "pmi"]
MARGINS = (0.1, 0.5, 1.0)
"""Least differences, in nats per token, for slightly better, better, much better; below: a tie."""
BATCH = 16


class LikelihoodJudge:
    """tokenizer: of a chat model. Values are nats per token, higher is better."""

    def __init__(
        self, identity: Identity, model: PreTrainedModel, tokenizer: Any, mode: Mode = "mean"
    ) -> None:
        self.identity, self.model, self.tokenizer, self.mode = identity, model, tokenizer, mode
        self.limit = int(model.config.get_text_config().max_position_embeddings)

    def values(self, asked: Sequence[tuple[Question, Reply]]) -> list[float | Failure]:
        """One value for each reply to its question."""
        rows = [self._row(question, reply, True) for question, reply in asked]
        given = self._means(rows)
        if self.mode == "mean":
            return given
        alone = self._means([self._row(question, reply, False) for question, reply in asked])
        return [
            one
            if isinstance(one, Failure)
            else other
            if isinstance(other, Failure)
            else one - other
            for one, other in zip(given, alone, strict=True)
        ]

    def judge(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """The reply of the higher value; `judge([q.swapped])` is exactly the opposite of `judge([q])`."""
        ordered = [q if q.in_order else q.swapped for q in questions]
        found = self.values([(q, reply) for q in ordered for reply in (q.first, q.second)])
        answers = []
        for index, question in enumerate(questions):
            first, second = found[2 * index : 2 * index + 2]
            answers.append(_answer(first, second, 1 if question.in_order else -1))
        return answers

    def _row(self, question: Question, reply: Reply, with_dialogue: bool) -> Row | Failure:
        if not (reply.text or "").strip():
            return failure(JudgeFailure.NOTHING_TO_JUDGE, f"reply {reply.id} has no text")
        said = self._ids(reply.text or "")
        before = self._dialogue(question) if with_dialogue else self._alone()
        if len(before) + len(said) > self.limit:
            took = f"reply {reply.id} and its dialogue take {len(before) + len(said)} tokens"
            return failure(JudgeFailure.TOO_LONG, f"{took} of {self.limit}")
        return Row(before, said, [True] * len(said))

    def _dialogue(self, question: Question) -> list[int]:
        persona = persona_text(question.persona)
        turns = [(line.role, line.text) for line in question.history]
        return self._chat(([("system", persona)] if persona else []) + turns)

    def _alone(self) -> list[int]:
        return self._chat([("user", "")])

    def _chat(self, turns: list[tuple[str, str]]) -> list[int]:
        """Turns in the model's own frame, whose marks no turn can forge."""
        if not getattr(self.tokenizer, "chat_template", None):
            return self._ids("".join(f"{role}: {text}\n" for role, text in turns) + "assistant:")
        slots = [f"\u0000{index}\u0000" for index in range(len(turns))]
        framed = self.tokenizer.apply_chat_template(
            [{"role": role, "content": slot} for (role, _), slot in zip(turns, slots, strict=True)],
            tokenize=False,
            add_generation_prompt=True,
        )
        ids: list[int] = []
        for slot, (_, text) in zip(slots, turns, strict=True):
            frame, _, framed = framed.partition(slot)
            ids += [*self._ids(frame, control=True), *self._ids(text)]
        return [*ids, *self._ids(framed, control=True)]

    def _ids(self, text: str, control: bool = False) -> list[int]:
        read = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not control)
        return list(read["input_ids"])

    def _means(self, rows: Sequence[Row | Failure]) -> list[float | Failure]:
        """Mean log-probability of each row's completion; rows of like length together, whatever their order."""
        work = [(index, row) for index, row in enumerate(rows) if isinstance(row, Row)]
        work.sort(key=lambda one: (len(one[1]), one[1].prompt, one[1].completion))
        found: dict[int, float | Failure] = {
            index: row for index, row in enumerate(rows) if isinstance(row, Failure)
        }
        for begin in range(0, len(work), BATCH):
            batch = work[begin : begin + BATCH]
            values = self._batch([row for _, row in batch])
            found |= {index: value for (index, _), value in zip(batch, values, strict=True)}
        return [found[index] for index in range(len(rows))]

    @torch.no_grad()
    def _batch(self, rows: list[Row]) -> list[float]:
        batch = {name: value.to(self.model.device) for name, value in collate(rows, pad=0).items()}
        labels = batch.pop("labels")[:, 1:]
        logits = self.model(**batch).logits[:, :-1].float().log_softmax(-1)
        covered = labels != IGNORED
        picked = logits.gather(-1, labels.clamp(min=0)[..., None])[..., 0]
        means = (picked * covered).sum(1) / covered.sum(1)
        return [float(value) for value in means]


def _answer(first: float | Failure, second: float | Failure, sign: int) -> Answer | Failure:
    if isinstance(first, Failure):
        return first
    if isinstance(second, Failure):
        return second
    difference = sign * (first - second)
    size = sum(abs(difference) >= margin for margin in MARGINS)
    if not math.isfinite(difference):
        return failure(JudgeFailure.BROKEN_ANSWER, f"log-likelihoods {first} and {second}")
    if size == 0:
        return Answer(AnswerKind.TIE, tie=Tie.CANNOT_TELL)
    return Answer(AnswerKind.COMPARISON, comparison=size if difference > 0 else -size)

"""A judge whose weights are in this process: verdicts from the probabilities of the labels.

The prompt up to the replies (task, rubric) is the same for many views: its keys and values are computed once and
kept, and each batch continues from a copy. A verdict at once then costs the view's own tokens and one output.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, DynamicCache, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from trivox.platform.hashing import content_hash, sha256_file, sha256_files
from trivox.platform.records import Failure
from trivox.policy.backbone import backbone_hash, weight_files
from trivox.policy.hub import loading
from trivox.policy.modeling import default_dtype
from trivox.policy.resident import ADAPTER_WEIGHTS, ResidentPolicy
from trivox.policy.rows import positions_of
from trivox.reward_models.generative.backends import (
    Identity,
    JudgeFailure,
    Reading,
    Spent,
    failure,
    from_probabilities,
)
from trivox.reward_models.generative.encoders import (
    BackboneEncoder,
    ChatEncoder,
    Encoded,
    Encoder,
)
from trivox.reward_models.generative.questions import View
from trivox.reward_models.generative.templates import Template

KEPT_PREFIXES = 8
LABEL_TOKENS = 16
"""Room that is kept for what stands between the reasoning and the verdict."""


@dataclass(frozen=True)
class Drawing:
    """batch: views at once. temperature: of the reasoning; 0 takes the likeliest token. least_mass: probability of
    all labels together below which the model answered something else."""

    batch: int = 16
    temperature: float = 0.7
    reasoning_tokens: int = 96
    least_mass: float = 0.01


DEFAULT = Drawing()
FORCED = Drawing(least_mass=0.0)
"""However little of the model's probability the labels have: for measuring what it would choose."""


class LocalJudge:
    """model: a causal LM in eval mode. reuse: whether shared prefixes are kept; without, every view computes its
    whole prompt (to compare with).

    Readings do not depend on the order of the views; on their neighbours only by rounding (below 1e-4 in a
    log-probability in float32).
    """

    def __init__(
        self,
        identity: Identity,
        model: PreTrainedModel,
        encoder: Encoder,
        drawing: Drawing = DEFAULT,
        reuse: bool = True,
    ) -> None:
        self.identity, self.model, self.encoder = identity, model, encoder
        self.drawing, self.reuse = drawing, reuse
        self._prefixes: OrderedDict[tuple[int, ...], DynamicCache] = OrderedDict()
        self._tokens = [0, 0, 0]

    @property
    def spent(self) -> Spent:
        return Spent(self._tokens[0], 0, self._tokens[1], self._tokens[2])

    @property
    def limit(self) -> int:
        return int(self.model.config.get_text_config().max_position_embeddings)

    def read(
        self, views: Sequence[View], template: Template, reasons: bool
    ) -> list[Reading | Failure]:
        labels = self.encoder.labels(template)
        found: dict[int, Reading | Failure] = {}
        work: list[tuple[int, Encoded]] = []
        for index, view in enumerate(views):
            encoded = self._encoded(view, template, reasons)
            if isinstance(encoded, Failure):
                found[index] = encoded
            else:
                work.append((index, encoded))
        # Sorted by content: neighbours, and with them rounding, do not depend on the order of the views.
        work.sort(key=lambda one: (one[1].shared, len(one[1].own), views[one[0]].key))
        for rows in self._batches(work):
            batch = [views[index] for index, _ in rows]
            read = self._read([one for _, one in rows], batch, template, labels, reasons)
            found |= {index: reading for (index, _), reading in zip(rows, read, strict=True)}
        return [found[index] for index in range(len(views))]

    def forget(self) -> None:
        """Drop the prefixes that are kept."""
        self._prefixes = OrderedDict()

    def _encoded(self, view: View, template: Template, reasons: bool) -> Encoded | Failure:
        encoded = self.encoder.encode(view, template, reasons)
        if isinstance(encoded, Failure):
            return encoded
        room = self.limit - (self.drawing.reasoning_tokens + LABEL_TOKENS if reasons else 0)
        if len(encoded) > room:
            return failure(
                JudgeFailure.TOO_LONG,
                f"question {view.question.id} takes {len(encoded)} tokens and the judge has room for {room}",
            )
        return encoded

    def _batches(self, work: list[tuple[int, Encoded]]) -> list[list[tuple[int, Encoded]]]:
        """At most `batch` rows of one prefix."""
        batches: list[list[tuple[int, Encoded]]] = []
        for row in work:
            last = batches[-1] if batches else []
            if last and len(last) < self.drawing.batch and last[0][1].shared == row[1].shared:
                last.append(row)
            else:
                batches.append([row])
        return batches

    @torch.no_grad()
    def _read(
        self,
        rows: list[Encoded],
        views: list[View],
        template: Template,
        labels: dict[str, int],
        reasons: bool,
    ) -> list[Reading]:
        state = _Rows(self, rows)
        thoughts: list[list[int]] = [[] for _ in rows]
        if reasons:
            thoughts = self._reason(state, [view.seed for view in views])
            closing = self.encoder.closing(template)
            state.extend([[*closing] for _ in rows])
        logprobs = state.logits.float().log_softmax(-1)
        self._tokens[0] += len(rows)
        self._tokens[1] += sum(map(len, rows))
        self._tokens[2] += len(rows) + sum(map(len, thoughts))
        readings = []
        for row, thought in zip(logprobs, thoughts, strict=True):
            probabilities = {label: float(row[index].exp()) for label, index in labels.items()}
            reading = from_probabilities(template, probabilities, self.drawing.least_mass)
            said = f"{self.encoder.text(thought)}\n" if thought else ""
            readings.append(Reading(reading.belief, said + reading.raw, reading.mass))
        return readings

    def _reason(self, state: "_Rows", seeds: list[int]) -> list[list[int]]:
        """Tokens of each row up to a stop token; a row that has stopped waits, its tokens masked."""
        generators = [torch.Generator().manual_seed(seed) for seed in seeds]
        said: list[list[int]] = [[] for _ in seeds]
        running = [True] * len(seeds)
        for _ in range(self.drawing.reasoning_tokens):
            drawn = [
                _draw(row, self.drawing.temperature, generator)
                for row, generator in zip(state.logits.float().cpu(), generators, strict=True)
            ]
            running = [
                on and token not in self.encoder.stop
                for on, token in zip(running, drawn, strict=True)
            ]
            if not any(running):
                break
            for row, on in enumerate(running):
                if on:
                    said[row].append(drawn[row])
            state.extend([[token] if on else [] for token, on in zip(drawn, running, strict=True)])
        return said

    def prefix(self, ids: tuple[int, ...]) -> DynamicCache:
        """Keys and values of a shared prefix, computed at first use."""
        if ids in self._prefixes:
            self._prefixes.move_to_end(ids)
            return self._prefixes[ids]
        cache = DynamicCache(config=self.model.config)
        with torch.no_grad():
            self.model(
                input_ids=torch.tensor([ids], device=self.model.device),
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
        self._prefixes[ids] = cache
        while len(self._prefixes) > KEPT_PREFIXES:
            self._prefixes.popitem(last=False)
        return cache


@contextmanager
def backbone_judge(
    folder: Path,
    adapter: Path | None,
    drawing: Drawing = DEFAULT,
    reuse: bool = True,
) -> Iterator[LocalJudge]:
    """The shared backbone as a judge, with a trained adapter or as it is. Raises as `ResidentPolicy` does."""
    resident = ResidentPolicy(folder)
    with resident.using(adapter) as speaker:
        weights = backbone_hash(folder)
        if adapter is not None:
            weights = content_hash([weights, sha256_file(adapter / ADAPTER_WEIGHTS)])
        identity = Identity(f"backbone:{folder.name}", weights, "trivox-backbone", asdict(drawing))
        encoder = BackboneEncoder(resident.backbone.tokens)
        yield LocalJudge(identity, speaker.engine.model, encoder, drawing, reuse)


def language_model_judge(
    source: str,
    drawing: Drawing = DEFAULT,
    reuse: bool = True,
) -> LocalJudge:
    """A causal LM of a hub id or a folder, in float32 without a GPU. Raises NotFound, MissingModel,
    ConfigError."""
    with loading("judge", source, "give a causal LM with its tokenizer"):
        disable_progress_bar()
        tokenizer = AutoTokenizer.from_pretrained(source)
        model = AutoModelForCausalLM.from_pretrained(source, dtype=default_dtype()).eval()
    if torch.cuda.is_available():
        torch.nn.Module.to(model, "cuda")
    folder = Path(source)
    weights = sha256_files(weight_files(folder)) if folder.is_dir() else source
    name = folder.name
    identity = Identity(f"lm:{name}", weights, f"lm:{name}", asdict(drawing))
    return LocalJudge(
        identity, cast(PreTrainedModel, model), ChatEncoder(tokenizer), drawing, reuse
    )


class _Rows:
    """A batch in the model: its cache, its mask int64 [B, L], and logits [B, V] after each row's last token."""

    def __init__(self, judge: LocalJudge, rows: list[Encoded]) -> None:
        self.model, count = judge.model, len(rows)
        self.logits: Tensor
        device = self.model.device
        shared = rows[0].shared
        if judge.reuse and shared:
            self.cache = copy.deepcopy(judge.prefix(shared))
            self.cache.batch_repeat_interleave(count)
            self.mask = torch.ones(count, len(shared), dtype=torch.long, device=device)
            self.extend([list(row.own) for row in rows])
        else:
            self.cache = DynamicCache(config=self.model.config)
            self.mask = torch.ones(count, 0, dtype=torch.long, device=device)
            self.extend([[*row.shared, *row.own] for row in rows])

    def extend(self, tokens: list[list[int]]) -> None:
        """Append tokens to each row, some of them none: those keep their logits."""
        width = max(map(len, tokens))
        gaps = [width - len(row) for row in tokens]
        ids = torch.tensor([[0] * gap + row for gap, row in zip(gaps, tokens, strict=True)])
        new = torch.tensor([[0] * gap + [1] * (width - gap) for gap in gaps])
        self.mask = torch.cat([self.mask, new.to(self.mask)], 1)
        logits = self.model(
            input_ids=ids.to(self.mask.device),
            attention_mask=self.mask,
            position_ids=positions_of(self.mask)[:, -width:],
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits[:, -1]
        some = torch.tensor([gap < width for gap in gaps], device=logits.device)
        self.logits = (
            logits if bool(some.all()) else torch.where(some[:, None], logits, self.logits)
        )


def _draw(logits: Tensor, temperature: float, generator: torch.Generator) -> int:
    """One token [V] -> id, by the row's own random numbers."""
    if temperature == 0:
        return int(logits.argmax())
    probabilities = (logits / temperature).softmax(-1)
    return int(torch.multinomial(probabilities, 1, generator=generator))

"""Training of a generative judge on the shared backbone.

First SFT on what agrees with the labels: rationale and verdict, and the verdict at once, for questions of overall
preference and of single criteria in one stage (Step-Audio-R1.5, section 3.3: apart, the one is forgotten over the
other). Then DPO (Rafailov et al. 2023) on the training pairs that it still gets wrong: what it should have said
over what it said (SpeechJudge does this step with GRPO).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from trivox.platform.errors import ConfigError
from trivox.platform.records import Answer, Failure, Tie
from trivox.platform.statistics.intervals import Interval
from trivox.policy.rows import Row
from trivox.policy.trainers.common import TrainedAdapter
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, train_dpo
from trivox.policy.trainers.sft import SFTSettings, train_sft
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.generative.backends import Reading
from trivox.reward_models.generative.encoders import BackboneEncoder, Encoder
from trivox.reward_models.generative.judge import GenerativeJudge, JudgeSettings
from trivox.reward_models.generative.local import FORCED, LocalJudge, backbone_judge
from trivox.reward_models.generative.measuring import Agreement, agreement, gain
from trivox.reward_models.generative.planted import PlantedPair, split
from trivox.reward_models.generative.questions import View, views_of
from trivox.reward_models.generative.templates import Template, load_template
from trivox.reward_models.generative.verdicts import OUTCOMES, Outcome, opposite, sides, sure

TEMPLATE = "backbone@1"
_AT_ONCE = 256
_TIES = {
    Tie.BOTH_GOOD: Outcome.BOTH_GOOD,
    Tie.BOTH_BAD: Outcome.BOTH_BAD,
    Tie.CANNOT_TELL: Outcome.CANNOT_TELL,
}


class GrmSettings(BaseModel):
    """How a judge is trained."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    sft: SFTSettings = SFTSettings(
        learning_rate=2e-3,
        epochs=1,
        batch_tokens=2048,
        lora_rank=32,
        lora_alpha=64,
        train_adapter=False,
    )
    """The first step."""
    dpo: DPOSettings = DPOSettings(
        learning_rate=2e-4, epochs=1, batch_size=16, lora_rank=32, lora_alpha=64, beta=0.2
    )
    """The second; rank and alpha are those of the first."""
    rationales: float = Field(0.1, ge=0, le=1)
    """Share of the pairs whose rationale is learned too. A rationale has some thirty tokens and a verdict one."""
    mistakes: int = Field(400, ge=0)
    """Views that the second step learns from, of those that the first left wrong; 0 leaves the step out."""
    held_out: float = Field(0.2, gt=0, lt=1)
    """Share of the requests that are kept for measuring."""


@dataclass(frozen=True)
class TrainedJudge:
    """adapter: of the second step, or of the first where it left nothing wrong. wrong: views that the first step
    left wrong and the second learned from. Agreements are on held-out pairs, all with forced choice."""

    adapter: TrainedAdapter
    trained_on: int
    held_out: int
    wrong: int
    before: Agreement
    after_sft: Agreement
    after: Agreement
    gain: float
    gain_interval: Interval

    def to_json(self) -> dict[str, Any]:
        return {
            "adapter": str(self.adapter.folder),
            "weights_hash": self.adapter.weights_hash,
            "trained_on": self.trained_on,
            "held_out": self.held_out,
            "mistakes_learned_from": self.wrong,
            "untrained": self.before.to_json(),
            "after_sft": self.after_sft.to_json(),
            "trained": self.after.to_json(),
            "gain": self.gain,
            "gain_interval": [self.gain_interval.low, self.gain_interval.high],
            "labels": "simulated",
        }


def train_judge(
    backbone_folder: Path,
    pairs: Sequence[PlantedPair],
    settings: GrmSettings,
    folder: Path,
    seed: int,
    on_step: Callable[[str, int, int], None] = lambda stage, done, total: None,
) -> TrainedJudge:
    """Train a judge's adapter into folder and measure it on requests it has not seen.

    on_step: stage, steps done, steps in all. Raises as `train_sft` and `train_dpo` do, and ConfigError where
    nothing is left to train on or to measure on.
    """
    training, held = split(list(pairs), settings.held_out, seed)
    if not training or not any(pair.side for pair in held):
        raise ConfigError(
            f"{len(pairs)} pairs leave {len(training)} to train on and {len(held)} to measure on: give more"
        )
    template, sft_folder = load_template(TEMPLATE), folder / "sft"
    before = measured(backbone_folder, None, held)
    tokens = TokenMap.load(backbone_folder)
    rows = sft_rows(tokens, template, training, settings.rationales)
    adapter = train_sft(
        backbone_folder,
        rows,
        settings.sft,
        sft_folder,
        seed,
        on_step=lambda d, t: on_step("sft", d, t),
    )
    after_sft = measured(backbone_folder, sft_folder, held)
    mistakes = wrong_pairs(backbone_folder, sft_folder, template, training, settings.mistakes)
    if mistakes:
        adapter = train_dpo(
            backbone_folder,
            mistakes,
            settings.dpo,
            folder,
            seed,
            start=sft_folder,
            on_step=lambda d, t: on_step("dpo", d, t),
        )
    after = measured(backbone_folder, adapter.folder, held)
    better, interval = gain(before, after, held, seed)
    return TrainedJudge(
        adapter, len(training), len(held), len(mistakes), before, after_sft, after, better, interval
    )


def measured(
    backbone_folder: Path, adapter: Path | None, pairs: Sequence[PlantedPair]
) -> Agreement:
    """A judge at once, by forced choice: however little the labels' probability."""
    with backbone_judge(backbone_folder, adapter, FORCED) as local:
        judge = GenerativeJudge(local, load_template(TEMPLATE), JudgeSettings(template=TEMPLATE))
        return agreement(judge, pairs)


def sft_rows(
    tokens: TokenMap, template: Template, pairs: Sequence[PlantedPair], rationales: float
) -> list[Row]:
    """Both orders of each pair with its verdict; `rationales` of the pairs, the first ones, with their rationale
    too."""
    encoder, rows = BackboneEncoder(tokens), list[Row]()
    for index, pair in enumerate(pairs):
        for view, label in labelled(template, pair):
            rows.append(_row(encoder, template, view, label, None))
            if index < rationales * len(pairs):
                rows.append(_row(encoder, template, view, label, rationale_of(pair, view)))
    return rows


def labelled(template: Template, pair: PlantedPair) -> list[tuple[View, str]]:
    """Both views of a pair with the label that is right in them."""
    by_outcome = {outcome: label for label, outcome in template.labels.items()}
    return [
        (
            view,
            by_outcome[
                outcome_of(
                    pair.answer if view.shown[0] is pair.question.first else opposite(pair.answer)
                )
            ],
        )
        for view in views_of(pair.question, 1, 0)
    ]


def outcome_of(answer: Answer) -> Outcome:
    """Raises ConfigError for an answer that is neither a comparison nor a tie."""
    if answer.tie is not None:
        return _TIES[answer.tie]
    if answer.comparison is None:
        raise ConfigError(f"a {answer.kind.value} is no label of a pair: leave it out")
    side = "first" if answer.comparison > 0 else "second"
    return Outcome(f"{side}+{abs(answer.comparison)}")


def rationale_of(pair: PlantedPair, view: View) -> str:
    """ "one ..., two ..." of the pair, in the order of the view."""
    if view.shown[0] is pair.question.first:
        return pair.rationale
    first, _, second = pair.rationale.removeprefix("one ").partition(" two ")
    return f"one {second} two {first}"


def wrong_pairs(
    backbone_folder: Path,
    adapter: Path,
    template: Template,
    pairs: Sequence[PlantedPair],
    most: int | None = None,
) -> list[TokenPair]:
    """What the judge should have said over what it said, for each view whose likeliest side is not the label's;
    the first `most` of them."""
    views = [(view, label) for pair in pairs for view, label in labelled(template, pair)]
    found: list[TokenPair] = []
    with backbone_judge(backbone_folder, adapter, FORCED) as local:
        eos = TokenMap.load(backbone_folder).eos
        for begin in range(0, len(views), _AT_ONCE):
            if most is not None and len(found) >= most:
                break
            found += _wrong(local, template, views[begin : begin + _AT_ONCE], eos)
    return found[:most]


def _wrong(
    local: LocalJudge, template: Template, views: Sequence[tuple[View, str]], eos: int
) -> list[TokenPair]:
    read = local.read([view for view, _ in views], template, reasons=False)
    ids = local.encoder.labels(template)
    found = []
    for (view, label), reading in zip(views, read, strict=True):
        said = None if isinstance(reading, Failure) else _mistake(template, reading, label)
        if said is not None:
            prompt = _prompt(local.encoder, template, view, reasons=False)
            found.append(TokenPair(prompt, [ids[label], eos], [ids[said], eos]))
    return found


def _mistake(template: Template, reading: Reading, label: str) -> str | None:
    """The likeliest label of a reading whose side is not the label's; None for one that is right or unreadable."""
    told = reading.belief
    if told is None or sides(told).side == sides(sure(template.labels[label])).side:
        return None
    said = max(template.labels, key=lambda one: told[OUTCOMES.index(template.labels[one])])
    return None if said == label else said


def _row(
    encoder: BackboneEncoder, template: Template, view: View, label: str, rationale: str | None
) -> Row:
    tokens, reasons = encoder.tokens, rationale is not None
    completion = [encoder.labels(template)[label], tokens.eos]
    if rationale is not None:
        thought = tokens.text_ids(tokens.written(rationale))
        completion = [*thought, *encoder.closing(template), *completion]
    return Row(_prompt(encoder, template, view, reasons), completion, [True] * len(completion))


def _prompt(encoder: Encoder, template: Template, view: View, reasons: bool) -> list[int]:
    encoded = encoder.encode(view, template, reasons)
    if isinstance(encoded, Failure):
        raise ConfigError(
            f"{encoded.message}: leave the pair out, or use a backbone that can read it"
        )
    return [*encoded.shared, *encoded.own]

"""The configuration of a round: what people edit in TOML. Every default of a round lives here."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from trivox.annotation.aggregation import MIN_CONFIDENCE, MIN_MARGIN, Method
from trivox.annotation.simulated import SimulatedJudge
from trivox.pipelines.pools.cluster import ResourceSection
from trivox.pipelines.updates.recipe import (
    DialogueSection,
    RehearsalSection,
    RewardSection,
    TelemetrySection,
    WatchSection,
    WorkersSection,
)
from trivox.pipelines.updates.suites import BranchSuite
from trivox.platform.errors import ConfigError
from trivox.platform.records import Branch, Sampling, ScorerRole
from trivox.platform.scoring import check_families
from trivox.policy.speaker import TTS_SAMPLING
from trivox.policy.trainers.dpo import DPOSettings
from trivox.policy.trainers.rl.settings import GRPOSettings, PPOSettings
from trivox.reward_models.bradley_terry.training import RewardSettings
from trivox.reward_models.composition import CompositionConfig, default_names, load
from trivox.reward_models.generative.config import JudgeConfig
from trivox.reward_models.registry import families


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RolloutSection(Section):
    prompts: int = Field(48, ge=1)
    """How many prompts of the training split get candidates; fewer when the split is smaller."""
    candidates: int = Field(4, ge=2, le=4096)
    """Candidates for each prompt."""
    temperature: float = Field(0.7, gt=0)
    """Higher than in use, so that candidates differ enough to be compared."""
    max_tokens: int = Field(TTS_SAMPLING.max_tokens, ge=8, le=1 << 20)
    """Length limit of a candidate in tokens, the end token included."""
    slots: int = Field(16, ge=1, le=4096)
    """Candidates that an actor draws at once; a unit of its work is up to four times as many."""
    workers: int = Field(2, ge=1, le=4096)
    """Ray actors, each with one resident backbone."""
    resources: ResourceSection = ResourceSection()
    """Of each actor."""
    on_unspeakable: Literal["refuse", "exclude"] = "refuse"
    """What to do with prompts outside the model's alphabet: refuse the round, or leave them out and say so."""

    @property
    def sampling(self) -> Sampling:
        return Sampling(temperature=self.temperature, max_tokens=self.max_tokens)


def _packaged(given: object) -> object:
    """The composition of a name. No path: a round's configuration also comes over HTTP."""
    if not isinstance(given, str):
        return given
    if given not in default_names():
        raise ValueError(
            f"no composition {given!r} is packaged: name one of {', '.join(default_names())}, or write a table"
        )
    return load(given)


Composed = Annotated[CompositionConfig, BeforeValidator(_packaged)]


class ScoreSection(Section):
    rewards: tuple[str, ...] = ("whisper-base-wer", "distillmos")
    """Scorers that judges and rewards may look at."""
    gates: tuple[str, ...] = ("duration", "silence", "end")
    """Scorers that a candidate must pass."""
    composition: Composed | None = None
    """A reward made of scorers: the name of a packaged one, or a table (docs/reward-models.md). Total and parts
    are stored too."""
    workers: int = Field(2, ge=1, le=4096)
    """Ray actors, each with all scorers in memory."""
    resources: ResourceSection = ResourceSection()
    """Of each actor."""
    unit: int = Field(12, ge=1, le=65536)
    """Rollouts in one unit of scoring work."""
    pipelined: bool = False
    """Score what has been rolled out while the rest still is: the workers of both then want room at once."""

    @property
    def roles(self) -> dict[str, ScorerRole]:
        """Single scorers by name; one that is both is a gate."""
        rewards = dict.fromkeys(self.rewards, ScorerRole.REWARD)
        return rewards | dict.fromkeys(self.gates, ScorerRole.GATE)

    @property
    def scorers(self) -> list[str]:
        """Every single scorer once."""
        composed = self.composition.scorers if self.composition else []
        return list(dict.fromkeys([*self.rewards, *self.gates, *composed]))

    @property
    def rewarding(self) -> list[str]:
        """Those of the rewards, alone or composed."""
        composed = self.composition.scorers if self.composition else []
        return list(dict.fromkeys([*self.rewards, *composed]))


class CompareSection(Section):
    pairs_per_prompt: int = Field(3, ge=1, le=65536)
    """Comparisons of each prompt's candidates; fewer when there are fewer pairs."""
    overlap: int = Field(1, ge=1, le=1000)
    """Judgements wanted for each comparison."""


class LabelSection(Section):
    judges: Literal["human", "grm", "simulated"] = "human"
    """Who answers the comparisons: people in the browser, a generative judge, or scorers in place of people."""
    grm: JudgeConfig | None = None
    """The generative judge (docs/generative-reward-models.md), where `judges` is grm."""
    wer_weight: float = Field(SimulatedJudge.wer_weight, ge=0)
    """Simulated judges: what an error rate of 1 costs."""
    mos_weight: float = Field(SimulatedJudge.mos_weight, ge=0)
    """Simulated judges: what one point of predicted quality is worth."""
    noise: float = Field(SimulatedJudge.noise, ge=0)
    """Simulated judges: standard deviation of the noise on what they hear."""


class AggregateSection(Section):
    min_margin: float = Field(MIN_MARGIN, ge=0, le=3)
    """Mean strength of the judgements, 0..3, from which a comparison gives a preference."""
    min_confidence: float = Field(MIN_CONFIDENCE, ge=0, le=1)
    """Share of the judgements that must agree."""
    method: Method = Method.MAJORITY
    """majority, weighted (by the reliability of each judge) or dawid-skene."""
    heard_only: bool = False
    """Leave out people's judgements without proof of listening: those from Label Studio and imports."""


class EvaluateSection(Section):
    prompts: int = Field(100, ge=2)
    """Held-out prompts; fewer when the split is smaller."""
    evaluators: tuple[str, ...] = ("pocketsphinx-wer", "dnsmos")
    """A recogniser that decides by word error rate, and a quality predictor that breaks its ties."""
    monitor: str | None = None
    """A recogniser whose word error rate is reported beside the evaluators', deciding nothing."""
    quality_margin: float = Field(0.1, ge=0)
    """Difference of predicted quality under which two equally intelligible clips are a tie."""
    temperature: float = Field(TTS_SAMPLING.temperature, ge=0)
    """As in use; 0 is greedy."""


class PublishSection(Section):
    win_rate_above: float = Field(0.5, ge=0.5, lt=1)
    """The lower bound of the win rate's 95% interval must lie above this."""
    wer_increase_at_most: float = Field(0.02, ge=0)
    """The mean paired change of held-out word error rate must not lie above this."""


class UpdateSection(Section):
    """grpo and ppo: what an answer is worth, what is watched, and how the branch is measured afterwards
    (docs/training.md)."""

    reward: RewardSection = RewardSection()
    """What an answer is worth."""
    watch: WatchSection = WatchSection()
    """Figures outside the reward, and where they stop the run."""
    rehearsal: RehearsalSection = RehearsalSection()
    """Supervised rows that are mixed in, so that no branch forgets."""
    dialogue: DialogueSection = DialogueSection()
    """The simulated user of realtime."""
    telemetry: TelemetrySection = TelemetrySection()
    """Where the figures of each step go beside the workspace's own."""
    workers: WorkersSection = WorkersSection()
    """Who draws and scores; another number of them makes the same version."""
    grpo: GRPOSettings | None = None
    """Settings of GRPO; its defaults where the table is not there."""
    ppo: PPOSettings | None = None
    """Settings of PPO."""
    suite: BranchSuite = BranchSuite()
    """How candidate and parent are measured; no prompts named: those of the round."""

    @model_serializer(mode="wrap")
    def _as_before(self, told: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without workers where none are asked for: rounds have the ids that they had before there were any."""
        fields: dict[str, Any] = told(self)
        if self.workers == WorkersSection():
            fields.pop("workers", None)
        return fields


class RoundConfig(Section):
    """A round, from rollouts to a published policy."""

    branch: Branch = Branch.TTS
    """Which regime of the model is improved."""
    algorithm: Literal["dpo", "grpo", "ppo"] = "dpo"
    """dpo: preferences between candidates update the policy; grpo, ppo: rewards on what it says, step by step."""
    policy: str = "nano"
    """Version to start from: a name, an id, or the start of an id."""
    prompts: str = "nano-domain"
    """Prompt set, `name` or `name@version`."""
    seed: int = Field(0, ge=0, lt=1 << 63)
    """Of everything that is drawn; another seed is another round."""
    rollout: RolloutSection = RolloutSection()
    score: ScoreSection = ScoreSection()
    compare: CompareSection = CompareSection()
    label: LabelSection = LabelSection()
    aggregate: AggregateSection = AggregateSection()
    train_reward: RewardSettings | None = None
    """A reward model of the round's preferences, where this table is there; registered beside the policy."""
    train: DPOSettings = DPOSettings()
    """Of dpo."""
    update: UpdateSection = UpdateSection()
    """Of grpo and ppo."""
    evaluate: EvaluateSection = EvaluateSection()
    publish: PublishSection = PublishSection()

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.algorithm == "dpo" and self.branch is not Branch.TTS:
            other = "grpo" if self.branch is Branch.ASR else "ppo"
            raise ValueError(
                f"a dpo round compares candidates of branch 'tts', not {self.branch.value!r}: use algorithm "
                f"{other!r}, or `trivox policy train --algorithm dpo` on preferences that you have"
            )
        if self.algorithm == "dpo" and self.update != UpdateSection():
            raise ValueError("[update] belongs to algorithm grpo or ppo: leave it out")
        trained = self.train, self.update.grpo, self.update.ppo
        if self.by_rewards and self.score.pipelined:
            raise ValueError(
                f"score.pipelined is of dpo rounds: {self.algorithm} scores in its own steps; set "
                f"update.{self.algorithm}.staleness to draw while it does"
            )
        if any(one is not None and one.lora_rank == 0 for one in trained):
            raise ValueError(
                "a round updates one branch by an adapter and lora_rank 0 trains all weights: give a rank, or use "
                "`trivox policy train --full`"
            )
        monitor = self.evaluate.monitor
        watching = [monitor] if monitor is not None else []
        families([*self.score.scorers, *self.evaluate.evaluators, *watching])
        self._check_composition()
        if monitor in self.evaluate.evaluators:
            raise ValueError(f"evaluate.monitor {monitor!r} is an evaluator too: name another")
        if (self.label.judges == "grm") != (self.label.grm is not None):
            raise ValueError(
                "label.judges is 'grm' exactly where a table label.grm says which judge"
            )
        if self.label.judges == "simulated" and not self.score.rewards:
            raise ValueError("simulated judges need at least one scorer in score.rewards")
        return self

    def _check_composition(self) -> None:
        composed = self.score.composition
        if composed is None:
            return
        if self.by_rewards:
            raise ValueError(
                f"score.composition is of dpo rounds: for {self.algorithm} name it in update.reward.composition"
            )
        if composed.branch is not self.branch:
            raise ValueError(
                f"composition {composed.name!r} is of branch {composed.branch.value!r}, the round of "
                f"{self.branch.value!r}: name one of that branch"
            )
        if not composed.steady:
            raise ValueError(
                f"composition {composed.name!r} normalises over a batch, and workers score in units: normalise by "
                "range"
            )
        check_families(families(composed.scorers), families(self.evaluate.evaluators))

    @property
    def by_rewards(self) -> bool:
        """Whether rewards update the policy, and nobody compares candidates."""
        return self.algorithm != "dpo"

    @property
    def trains_reward(self) -> bool:
        return self.train_reward is not None

    def proxy_reason(self) -> str | None:
        """Why the win rate is only a proxy one, or None: a family that labelled also evaluates."""
        labelling = families(self.score.rewarding if self.label.judges == "simulated" else ())
        if self.label.grm is not None:
            labelling["label.grm"] = self.label.grm.family
        try:
            check_families(labelling, families(self.evaluate.evaluators))
        except ConfigError as error:
            return str(error)
        return None


def demo_config(seed: int) -> RoundConfig:
    """What `trivox demo` runs: the defaults, judged by simulated judges."""
    return RoundConfig(
        seed=seed,
        label=LabelSection(judges="simulated"),
        evaluate=EvaluateSection(monitor="whisper-base-wer"),
    )

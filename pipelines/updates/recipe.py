"""What a policy update is asked for: what people edit in TOML. Every default of an update lives here."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from trivox.pipelines.pools.cluster import ResourceSection
from trivox.platform.records import Branch
from trivox.policy.trainers.dpo import DPOSettings
from trivox.policy.trainers.rl.settings import GRPOSettings, PolicyGradientSettings, PPOSettings
from trivox.policy.trainers.rl.watchers import Bound

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RewardSection(Section):
    """What an answer is worth: the total of a composition, and in dialogues the rubric's rules."""

    composition: str | None = None
    """Name of a packaged composition or a TOML file (docs/rewards.md); none: the branch's own."""
    weight: Weight = 1.0
    """Of the composition's total; 0: it is not asked and none of its models is loaded."""
    rubric_weight: Weight = 1.0
    """realtime: of the share of the rubric that a reply keeps, checked by rule, turn by turn."""


class BoundSection(Section):
    """A figure that stops the run when it leaves low..high in `patience` steps one after the other."""

    figure: str
    low: float | None = None
    high: float | None = None
    patience: int = Field(3, ge=1)
    relative: bool = False
    """Whether the bounds are factors of the figure's mean over the first `patience` steps."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.low is None and self.high is None:
            raise ValueError(f"bound of {self.figure!r} has neither low nor high: give one")
        return self

    @property
    def bound(self) -> Bound:
        return Bound(**self.model_dump())


BOUNDS = (
    BoundSection(figure="kl", high=1.0),
    BoundSection(figure="length", low=0.4, high=2.0, relative=True),
    BoundSection(figure="end_rate", low=0.5, relative=True),
    BoundSection(figure="repetition", high=0.7),
    BoundSection(figure="silence_ratio", high=0.7),
    BoundSection(figure="pitch_spread", low=0.4, relative=True),
    BoundSection(figure="speaker_similarity", low=0.8, relative=True),
    BoundSection(figure="gap", high=0.3),
)
"""What no update should do on its way to a higher reward."""


class WatchSection(Section):
    """Figures outside the reward, and where they stop the run."""

    scorers: tuple[str, ...] | None = None
    """Scorers of the held-out answers, of other families than the reward's; none: the composition's evaluators."""
    prompts: int = Field(16, ge=0)
    """Held-out prompts that the policy answers: of the validation split, or else kept out of the training split;
    0: none, and no gap between proxy and held-out reward."""
    every: int = Field(5, ge=1)
    """Steps between two looks at the held-out prompts."""
    clips: int = Field(8, ge=0)
    """Clips of each step whose silence, pitch and voice are measured."""
    bounds: tuple[BoundSection, ...] = BOUNDS


class RehearsalSection(Section):
    """Supervised rows that are mixed into the updates, so that no branch forgets: `rehearsal_share` of the
    algorithm's table says how many."""

    data: dict[str, Weight] = Field(default_factory=dict)
    """Prompt sets with reference answers, of any branch, and their weights."""
    rows: int = Field(512, ge=1)
    """At most so many rows are kept in memory."""


class DialogueSection(Section):
    """The simulated user of multi-turn episodes."""

    turns: int = Field(3, ge=1)
    """Turns of the user in an episode."""
    user: Literal["teacher", "text"] = "teacher"
    """How the user's turns reach the policy: spoken by the teacher's voice, or as text."""


class TelemetrySection(Section):
    """Where the figures of each step go beside the workspace's own metrics; changes no result."""

    tensorboard: str | None = None
    """Folder of event files (`pip install trivox[tensorboard]`)."""
    mlflow: str | None = None
    """Tracking URI (`pip install trivox[mlflow]`)."""


class WorkersSection(Section):
    """Ray actors that draw and score beside the process that trains. They run the same code: where they have other
    devices or numbers of threads, results differ by rounding, and a sample may by a draw next to a border."""

    rollout: int = Field(0, ge=0, le=4096)
    """Actors that draw, each with one resident backbone; 0: the process that trains draws itself."""
    score: int = Field(0, ge=0, le=4096)
    """Actors that score, each with the scorers of the reward; 0: the process that trains scores itself."""
    rollout_resources: ResourceSection = ResourceSection()
    """Of each actor that draws."""
    score_resources: ResourceSection = ResourceSection()
    """Of each actor that scores."""


class UpdateRecipe(Section):
    """An update of one branch of the shared model."""

    algorithm: Literal["grpo", "ppo", "dpo"]
    """grpo and ppo learn from rewards on what the policy itself says, dpo from preferences."""
    branch: Branch
    """Which branch is updated."""
    parent: str = "nano"
    """Version to start from: a backbone, or an adapter of the branch, which is trained further."""
    prompts: str | None = None
    """grpo and ppo: the prompt set whose training split is answered; realtime needs none: its user asks. dpo: a
    set whose validation split is answered meanwhile, for `watch`; none: nothing is held out."""
    preferences: tuple[str, ...] = ()
    """dpo: preference sets, by id."""
    seed: int = Field(0, ge=0)
    """Of all that is drawn; another seed is another version."""
    reward: RewardSection = RewardSection()
    watch: WatchSection = WatchSection()
    rehearsal: RehearsalSection = RehearsalSection()
    dialogue: DialogueSection = DialogueSection()
    telemetry: TelemetrySection = TelemetrySection()
    workers: WorkersSection = WorkersSection()
    """grpo and ppo: who draws and scores; another number of them is the same version."""
    grpo: GRPOSettings | None = None
    """Settings of GRPO; its defaults where the table is not there."""
    ppo: PPOSettings | None = None
    dpo: DPOSettings | None = None

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for other in ("grpo", "ppo", "dpo"):
            if other != self.algorithm and getattr(self, other) is not None:
                raise ValueError(f"algorithm is {self.algorithm!r} and there is a table [{other}]")
        if self.algorithm == "dpo":
            self._check_dpo()
        else:
            self._check_rewarded()
        if self.rehearsal_share and not self.rehearsal.data:
            raise ValueError("rehearsal_share is above 0: name prompt sets in [rehearsal.data]")
        return self

    def _check_dpo(self) -> None:
        if not self.preferences:
            raise ValueError("dpo learns from preferences: name a preference set")
        if self.prompts is not None and self.branch is Branch.REALTIME:
            raise ValueError("realtime has no prompts to hold out: leave prompts out")
        if self.workers.rollout or self.workers.score:
            raise ValueError("[workers] draw and score for grpo and ppo: leave them out of dpo")

    def _check_rewarded(self) -> None:
        if self.preferences:
            raise ValueError(f"{self.algorithm} learns from rewards: leave preferences out")
        if self.branch is Branch.REALTIME and self.prompts is not None:
            raise ValueError("realtime episodes are led by the simulated user: leave prompts out")
        if self.branch is not Branch.REALTIME and self.prompts is None:
            raise ValueError(f"{self.branch.value} needs prompts to answer: name a prompt set")
        if self.branch is Branch.REALTIME and self.gradient.staleness:
            raise ValueError(
                "realtime episodes are rewarded turn by turn, as they are made: set staleness to 0"
            )
        weights = self.reward.weight, self.reward.rubric_weight
        if not (weights[0] or (weights[1] and self.branch is Branch.REALTIME)):
            raise ValueError("every part of the reward has weight 0: raise one")

    @property
    def gradient(self) -> PolicyGradientSettings:
        """The settings of grpo or ppo."""
        if self.algorithm == "ppo":
            return self.ppo or PPOSettings()
        return self.grpo or GRPOSettings()

    @property
    def rehearsal_share(self) -> float:
        settings = self.preference_settings if self.algorithm == "dpo" else self.gradient
        return settings.rehearsal_share

    @property
    def preference_settings(self) -> DPOSettings:
        return self.dpo or DPOSettings()

    @property
    def composition(self) -> str:
        return self.reward.composition or self.branch.value

"""What people set of PPO and GRPO; one home for each default."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from trivox.policy.trainers.rl.losses import Normalisation


class PolicyGradientSettings(BaseModel):
    """What PPO and GRPO have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: int = Field(100, ge=1)
    """Rollouts are made, rewarded and trained on this many times."""
    prompts: int = Field(8, ge=1)
    """Different prompts in each step."""
    samples: int = Field(8, ge=1)
    """Answers to each prompt: the group of GRPO."""
    inner_epochs: int = Field(1, ge=1)
    """How often the rollouts of a step are trained on."""
    minibatch_turns: int = Field(32, ge=1)
    """Turns in one update."""
    learning_rate: float = Field(5e-5, gt=0)
    """Of AdamW on the policy. All weights want about a tenth."""
    warmup_steps: int = Field(5, ge=0)
    """Steps in which the learning rate rises; it stays after them."""
    max_grad_norm: float = Field(1.0, gt=0)
    """The gradient is scaled down to this norm."""
    temperature: float = Field(1.0, gt=0)
    """Of the rollouts. They are drawn without top-k and top-p: what is cut off would have no log-probability."""
    max_tokens: int = Field(256, ge=1)
    """The longest completion of a turn."""
    staleness: int = Field(0, ge=0, le=1)
    """How many steps older than the policy that learns the one may be that drew an answer. 0: each step draws,
    rewards and learns; 1: the answers of the next step are drawn while those of this one are rewarded."""
    learns: Literal["all", "words"] = "all"
    """Which of the tokens that it chose the loss is of: all, or words: text and the end alone. Where only words
    are rewarded, the audio between them, most of a spoken turn, adds noise to the gradient."""
    hold_coefficient: float = Field(1.0, ge=0)
    """With learns = "words": weight of the KL divergence of all other tokens from the reference, in the loss, so
    that the sound stays as it was."""
    clip_low: float = Field(0.2, gt=0, lt=1)
    """The ratio to the old policy counts down to 1 - clip_low."""
    clip_high: float = Field(0.2, gt=0)
    """And up to 1 + clip_high; DAPO takes 0.28."""
    kl_coefficient: float = Field(0.02, ge=0)
    """Weight of the KL divergence from the reference: the policy with the adapter off, or as it began."""
    entropy_coefficient: float = Field(0.0, ge=0)
    """Weight of an entropy bonus."""
    truncated: Literal["keep", "mask"] = "keep"
    """What is done with episodes that reached max_tokens: trained on as rewarded, or left out (DAPO's overlong
    filtering)."""
    rehearsal_share: float = Field(0.0, ge=0, lt=1)
    """Share of the updates that are supervised, on rows of all branches, so that none is forgotten."""
    rehearsal_rows: int = Field(16, ge=1)
    """Rows in such an update."""
    lora_rank: int = Field(16, ge=0)
    """Rank of the update of each linear layer of the language model (Hu et al. 2021); 0: all its weights train,
    and the reference is a frozen copy of those that the run began with."""
    lora_alpha: int = Field(32, ge=1)
    """The update is scaled by alpha / rank."""
    train_tokens: bool = False
    """With LoRA: whether the rows of the tokens and the head are trained too, in full, as a model with new audio
    tokens needs it."""
    checkpoint_every: int = Field(10, ge=1)
    """Steps between checkpoints, from which a run that was stopped goes on."""
    recompute: bool = False
    """Whether activations are computed again in the backward pass: less memory, a third more time."""

    def identity(self) -> dict[str, Any]:
        """What the result depends on, in JSON; without what runs had before there was another choice."""
        told = self.model_dump(mode="json", exclude={"checkpoint_every", "recompute"})
        before = {"staleness": 0, "learns": "all", "value_decay": None, "turn_discount": 1.0}
        if self.learns == "all":
            del told["hold_coefficient"]
        return {
            key: value for key, value in told.items() if key not in before or before[key] != value
        }


class GRPOSettings(PolicyGradientSettings):
    """Group relative policy optimisation (Shao et al. 2024) and its relatives."""

    normalisation: Normalisation = "dapo"
    """How the tokens of a batch become one loss: grpo, dr_grpo, dapo or gspo."""
    scale: Literal["group", "batch", "none"] = "group"
    """What a reward's distance from its group's mean is divided by."""
    pass_rate: tuple[float, float] | None = None
    """Groups whose share of rewards at or above pass_at lies outside are left out: what is always or never solved
    teaches nothing."""
    pass_at: float = 1.0
    """The reward from which an answer counts as solved."""


class PPOSettings(PolicyGradientSettings):
    """Proximal policy optimisation (Schulman et al. 2017) with a value head and KL in the reward."""

    discount: float = Field(1.0, gt=0, le=1)
    """gamma: of rewards that come a step later."""
    turn_discount: float = Field(1.0, ge=0, le=1)
    """gamma is multiplied by it from one turn of a dialogue to the next; 0: each turn is judged by its own reward
    alone, which is less noisy where replies change little of what follows."""
    decay: float = Field(0.95, ge=0, le=1)
    """lambda of generalised advantage estimation."""
    value_decay: float | None = Field(None, ge=0, le=1)
    """lambda of the returns that the value head learns; none: as decay. With long turns and one reward at their
    end 1 is wanted (decoupled GAE of VC-PPO, Yuan et al. 2025): else it learns from its own wrong values."""
    value_learning_rate: float = Field(1e-3, gt=0)
    """Of AdamW on the value head."""
    value_clip: float = Field(0.2, gt=0)
    """How far a value may move in one step before its loss counts no further."""
    critic_warmup: int = Field(5, ge=0)
    """Steps in which the value head alone is trained."""
    inner_epochs: int = Field(4, ge=1)
    kl_target: float | None = Field(None, gt=0)
    """KL per action, in nats, that the coefficient is steered to; none: it is fixed."""
    whiten: bool = True
    """Whether advantages are brought to mean 0 and standard deviation 1 in each step."""

"""What a training run is asked for: what people edit in TOML."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from trivox.policy.trainers.sft import SFTSettings

Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class TrainingRecipe(BaseModel):
    """Supervised fine-tuning on prompt sets."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: dict[str, Weight] = Field(min_length=1)
    """Prompt sets, `name` or `name@version`, and how often their rows are seen in an epoch; 0 leaves a set out."""
    parent: str = "nano"
    """Version to start from: a backbone, or an adapter that is trained further."""
    seed: int = Field(0, ge=0)
    """Of the order of the rows and of the new weights; another seed is another run."""
    on_unusable: Literal["refuse", "exclude"] = "refuse"
    """What to do when a row cannot be used: refuse the run, or leave such rows out and count them."""
    reasoning_share: float = Field(0.0, ge=0, le=1)
    """Share of the realtime rows that first say to themselves what was heard, where the data writes it down."""
    train: SFTSettings = SFTSettings()

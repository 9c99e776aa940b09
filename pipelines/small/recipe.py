"""Every choice of trivox-small, in one place. Users override them in a TOML file."""

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from trivox.pipelines.small.weights import PACKAGES
from trivox.pipelines.workspaces import NANO
from trivox.platform.config import load_toml, validated
from trivox.platform.errors import ConfigError
from trivox.policy.backbone import PACKAGED
from trivox.policy.codec.layouts import FLAT
from trivox.policy.extend import Extension


class SmallRecipe(BaseModel):
    """What trivox-small is made of; how it is trained says a training recipe."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    language_model: str = "HuggingFaceTB/SmolLM2-135M-Instruct"
    """Hub id or folder of a causal LM with one output head."""
    encoder: str = "openai/whisper-tiny.en"
    """Hub id or folder of a model whose audio encoder it hears with; the encoder stays frozen."""
    source: Literal["hub", "packages"] = "hub"
    """Where the two come from: hub or folder, or the packages of requirements/offline-models.txt."""
    codec: str = f"{PACKAGED}{NANO}"
    """That of trivox-nano, or a hub id or folder."""
    codebooks: int | None = Field(None, ge=1)
    """How many of the codec's codebooks are used; all of them if not given."""
    copy_codec: bool = True
    """Whether its weights are copied or named."""
    layout: str = FLAT
    """Order of the codes of several codebooks."""
    carries: Literal["words", "none"] = "none"
    """Whether speech goes word by word with its text."""
    adapter_stack: int = Field(4, ge=1)
    """Frames of the encoder in one embedding: 4 of Whisper's 50 a second make 12.5."""
    seed: int = Field(0, ge=0)
    """Of the new rows and the adapter."""

    @classmethod
    def load(cls, path: Path | None, overrides: dict[str, Any]) -> Self:
        """From a TOML file, the defaults without one; overrides go before both. Raises ConfigError."""
        raw = {} if path is None else load_toml(path, cls).model_dump(exclude_unset=True)
        return validated(raw | overrides, cls, "recipe of trivox-small")

    def check(self) -> None:
        """Raises ConfigError for a model that no package carries, where packages are the source."""
        for model in (self.language_model, self.encoder):
            if self.source == "packages" and model not in PACKAGES:
                raise ConfigError(
                    f'no package carries {model}: take {" and ".join(PACKAGES)}, or source = "hub"'
                )

    def extension(self, language_model: str, encoder: str) -> Extension:
        """The backbone that is made; language_model and encoder: where they lie now."""
        return Extension(
            backbone=language_model,
            codec=self.codec,
            encoder=encoder,
            codebooks=self.codebooks,
            copy_codec=self.copy_codec,
            layout=self.layout,
            carries=self.carries,
            adapter_stack=self.adapter_stack,
            seed=self.seed,
        )

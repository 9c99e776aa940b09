"""A campaign as people write it in TOML."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from trivox.platform.config import load_toml
from trivox.platform.records import Branch, WorkPlan

if TYPE_CHECKING:
    from trivox.annotation.leads.campaigns import NewCampaign

Name = Annotated[str, Field(min_length=1, max_length=200)]


class CampaignSettings(BaseModel):
    """guideline and warning: language -> text; plan: what `WorkPlan` has, each with its default there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    branch: Branch
    languages: Annotated[tuple[Name, ...], Field(min_length=1)]
    guideline: dict[Name, str]
    warning: dict[Name, str] = {}
    overlap: Annotated[int, Field(ge=1, le=50)] = 1
    budget: Annotated[int, Field(ge=1)] | None = None
    plan: WorkPlan = WorkPlan()

    @field_validator("plan", mode="before")
    @classmethod
    def _known(cls, given: object) -> object:
        """A dataclass would let a misspelt name pass."""
        names = [field.name for field in fields(WorkPlan)]
        unknown = [name for name in given if name not in names] if isinstance(given, dict) else []
        if unknown:
            raise ValueError(f"{unknown[0]!r} is no setting: there are {', '.join(names)}")
        return given

    def wanted(self) -> "NewCampaign":
        from trivox.annotation.leads.campaigns import NewCampaign

        return NewCampaign(**{name: getattr(self, name) for name in type(self).model_fields})


def read_settings(path: Path) -> CampaignSettings:
    """Raises NotFound, ConfigError for what is wrong in the file."""
    return load_toml(path, CampaignSettings)

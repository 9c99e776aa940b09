"""What of a workspace belongs to a dataset."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, field_validator

from trivox.platform.records import Branch, JudgeKind, Judgement, Prompt, Split


def _sorted(value: Any) -> Any:
    return sorted(set(value)) if isinstance(value, list | tuple | set | frozenset) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_sorted)]


class Filters(BaseModel):
    """All of the project by default; empty lists filter nothing.

    prompt_sets: `name@version`, or a name for its latest version; rounds: ids, of rollouts, tasks and preference
    sets; preference_sets: ids; judges: kinds of judge; since, until: when judged.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    prompt_sets: Names = ()
    preference_sets: Names = ()
    rounds: Names = ()
    languages: Names = ()
    branches: Annotated[tuple[Branch, ...], BeforeValidator(_sorted)] = ()
    splits: Annotated[tuple[Split, ...], BeforeValidator(_sorted)] = ()
    judges: Annotated[tuple[JudgeKind, ...], BeforeValidator(_sorted)] = ()
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None

    @field_validator("until")
    @classmethod
    def _in_order(cls, until: datetime | None, info: Any) -> datetime | None:
        since = info.data.get("since")
        if until is not None and since is not None and until < since:
            raise ValueError(f"until {until} is before since {since}")
        return until

    def plain(self) -> dict[str, Any]:
        """Only what filters, as JSON."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def takes_prompt(self, prompt: Prompt) -> bool:
        if self.branches and prompt.branch not in self.branches:
            return False
        return not self.languages or not set(self.languages).isdisjoint(prompt.languages)

    def takes_judgement(self, one: Judgement) -> bool:
        early = self.since is not None and one.created_at < self.since
        late = self.until is not None and one.created_at >= self.until
        return not early and not late and (not self.judges or one.judge_kind in self.judges)

    def takes_round(self, round: str | None) -> bool:
        return not self.rounds or round in self.rounds

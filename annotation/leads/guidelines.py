"""Guidelines by version: Markdown in English and other languages, and what may upset in a campaign."""

from dataclasses import replace
from datetime import UTC, datetime

from trivox.annotation.people.audit import By, note
from trivox.annotation.work.questions import ENGLISH, in_language
from trivox.platform.errors import UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Campaign, Guideline
from trivox.platform.store import Workspace

MOST_CHARACTERS = 50_000


def publish(
    workspace: Workspace,
    by: By,
    campaign: str,
    texts: dict[str, str],
    *,
    warning: dict[str, str] | None = None,
    requalify: bool = False,
) -> Guideline:
    """The next version of a campaign's guideline, from now on the one to work by.

    requalify: what was passed in training for earlier versions counts no more. Raises NotFound, UsageError.
    """
    check_texts(texts)
    with workspace.records.exclusive("audit"):
        held = workspace.records.get(Campaign, campaign)
        made = _version(held, held.guideline_version + 1, by, texts, warning or {}, requalify)
        plan = replace(held.plan, trained_from=made.version) if requalify else held.plan
        current = replace(held, guideline=texts[ENGLISH], guideline_version=made.version, plan=plan)
        workspace.records.add(made)
        workspace.records.replace(current)
        note(
            workspace, by, "publish guideline", "Campaign", campaign,
            version=made.version, requalify=requalify,
        )  # fmt: skip
    return made


def first(
    campaign: Campaign, by: By, texts: dict[str, str], warning: dict[str, str] | None = None
) -> Guideline:
    """The guideline that a new campaign begins with; raises UsageError."""
    check_texts(texts)
    return _version(campaign, campaign.guideline_version, by, texts, warning or {}, False)


def _version(
    campaign: Campaign,
    version: int,
    by: By,
    texts: dict[str, str],
    warning: dict[str, str],
    requalify: bool,
) -> Guideline:
    return Guideline(
        id=derived_id("guideline", campaign.id, version),
        project=campaign.project,
        campaign=campaign.id,
        version=version,
        texts=texts,
        author=by.actor,
        created_at=datetime.now(UTC),
        warning=warning,
        requalify=requalify,
    )


def check_texts(texts: dict[str, str]) -> None:
    """Raises UsageError for guidelines without English, without words, or too long."""
    if not texts.get(ENGLISH, "").strip():
        raise UsageError(f"the guideline is in {sorted(texts)}: give at least {ENGLISH!r}")
    longest = max(map(len, texts.values()))
    if longest > MOST_CHARACTERS:
        raise UsageError(f"a guideline of {longest} characters: give at most {MOST_CHARACTERS}")


def versions(workspace: Workspace, campaign: str) -> list[Guideline]:
    """All versions there are, the oldest first."""
    return workspace.records.find(Guideline, campaign=campaign)


def text_of(
    workspace: Workspace, campaign: str, version: int, language: str
) -> tuple[str | None, str | None]:
    """The text and the warning of a version in a language, in English where there is none of it; None for none."""
    found = workspace.records.find(Guideline, campaign=campaign, version=version)
    if not found:
        return None, None
    return in_language(found[0].texts, language), in_language(found[0].warning, language)

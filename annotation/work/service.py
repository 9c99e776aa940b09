"""The work of annotators behind pages and API. Person is a Person id; another's lease is as good as none."""

from typing import Any, Protocol

from trivox.annotation.work.shapes import (
    Feedback,
    Given,
    Lease,
    Nothing,
    Played,
    Progress,
    SkipReason,
    Sound,
    Waiting,
)
from trivox.platform.records import Judgement


class Work(Protocol):
    """Every method raises LeaseLost (a NotFound) for a lease that is not this person's and open."""

    def next_lease(self, person: str, campaign: str) -> Lease | Nothing:
        """What to do now: the open lease again (reload), or a new one. Raises NotFound for another campaign."""

    def ahead(self, person: str, campaign: str) -> Lease | None:
        """The lease that next_lease gives once the open one is closed, held from now on, so that the page can load
        its sound beforehand; its clock of listening starts when it is shown. None: nothing to look ahead to."""

    def overview(self, person: str) -> list[Waiting]:
        """The campaigns that this person may see, each with what waits there for them; takes no lease."""

    def acknowledge(self, person: str, campaign: str, version: int) -> None:
        """The person has read that version of the guideline; next_lease gives Why.GUIDELINE before."""

    def lease(self, person: str, lease_id: str) -> Lease:
        """An open lease as it was shown."""

    def audio(self, person: str, lease_id: str, audio_id: str, range_header: str | None) -> Sound:
        """Bytes of a clip, noted as fetched. Raises NotFound, RangeNotSatisfiable."""

    def progress(self, person: str, lease_id: str, played: list[Played]) -> Progress:
        """Note what was played; an empty list asks how things stand."""

    def answer(
        self, person: str, lease_id: str, given: Given, idempotency_key: str
    ) -> tuple[Judgement, Feedback | None]:
        """Keep the answer and close the lease; the same key again returns the same judgement.

        Raises NotHeard, BadAnswer, LeaseLost.
        """

    def skip(
        self,
        person: str,
        lease_id: str,
        reason: SkipReason,
        comment: str | None,
        idempotency_key: str,
    ) -> Judgement:
        """Close the lease with an abstention; a reason of REPORTS also goes to a lead. Needs no listening."""

    def draft(self, person: str, lease_id: str, values: dict[str, Any]) -> None:
        """Autosave: what is typed so far; BadAnswer for more than 16 kB."""

    def undo(self, person: str, campaign: str) -> Lease:
        """Open the last answer again, its clips as heard; the next answer supersedes it.

        Raises NotFound when there is none to undo.
        """

"""Whose voice the imported recordings are, and what may be done with them."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from trivox.platform.errors import BadImport, RefusedByConsent
from trivox.platform.hashing import derived_id
from trivox.platform.records import Consent, Speaker
from trivox.platform.store import Workspace


@dataclass(frozen=True)
class Terms:
    """speaker: name of the voice where rows name none; None: the import's name stands for it.

    licence: where rows name none. consents: what the person who imports states that the speakers allow.
    """

    speaker: str | None = None
    licence: str | None = None
    consents: tuple[Consent, ...] = (Consent.TRAIN, Consent.ANNOTATE)
    synthetic: bool = False
    generator: str | None = None

    def speaker_record(self, project: str, import_name: str, named: str | None) -> Speaker:
        """The speaker of a row; names in rows hold within their import, for "1089" means nothing else."""
        name = f"{import_name}:{named}" if named else self.speaker or import_name
        return Speaker(
            id=derived_id("sp", project, name),
            project=project,
            name=name,
            consents=tuple(sorted(set(self.consents))),
            synthetic=self.synthetic,
            generator=self.generator,
            licence=self.licence,
        )

    def note(self, names: Iterable[str]) -> str:
        """What is recorded as stated, for the report."""
        listed = sorted(names)
        shown = ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
        licence = self.licence or "none stated"
        return f"recorded as stated by you: {shown} allows {self.allowed}; licence: {licence}"

    @property
    def allowed(self) -> str:
        """The consents in words."""
        return ", ".join(sorted(self.consents)) or "nothing"


def check_speaker(workspace: Workspace, speaker: Speaker) -> None:
    """Raises BadImport when speaker is recorded with other terms, RefusedByConsent when revoked."""
    for known in workspace.records.find(Speaker, id=speaker.id):
        if known.revoked_at is not None and known.revoked_at <= datetime.now(UTC):
            raise RefusedByConsent(
                f"speaker {speaker.name!r} revoked consent on {known.revoked_at:%Y-%m-%d}: leave the"
                " recordings out"
            )
        if set(known.consents) != set(speaker.consents):
            raise BadImport(
                f"speaker {speaker.name!r} is recorded as allowing {', '.join(known.consents)}, this"
                f" import states {', '.join(speaker.consents)}: state the same, or name another speaker"
            )

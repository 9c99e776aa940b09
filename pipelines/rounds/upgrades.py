"""Whether this version of Trivox may go on with a round that another version began."""

import re
from collections.abc import Mapping

from pydantic import ValidationError

from trivox import __version__
from trivox.pipelines.rounds.config import RoundConfig
from trivox.platform.errors import UsageError
from trivox.platform.records import Round, Stage, StageRun

OLDEST: Mapping[Stage, str] = {}
"""Stage -> the first version whose outputs of it this version goes on from; a stage that is not here is readable
from every version. Whoever changes what a stage leaves behind enters the new version here."""


class OtherVersion(UsageError):
    """The round was begun by a version of Trivox whose work this one does not continue."""


def check_version(round_: Round, runs: Mapping[Stage, StageRun]) -> None:
    """Raises OtherVersion, which names the round, both versions and the way out.

    A round goes on across an upgrade when its configuration still means something and every stage it has finished
    is readable; it is never continued by an older Trivox than the one that last worked on it.
    """
    made = {stage: run.code_version for stage, run in runs.items()}
    for version in filter(None, [round_.code_version, *made.values()]):
        if _order(version) > _order(__version__):
            raise _refused(round_, version, "which is newer")
    for stage, version in made.items():
        oldest = OLDEST.get(stage)
        if oldest is not None and _order(version) < _order(oldest):
            raise _refused(round_, version, f"whose stage {stage.value} is not readable any more")
    try:
        RoundConfig.model_validate(round_.config)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "as a whole"
        begun = round_.code_version or next(iter(made.values()), "another version")
        why = f"whose configuration this one does not know ({place}: {first['msg']})"
        raise _refused(round_, begun, why) from None


def _refused(round_: Round, version: str, why: str) -> OtherVersion:
    return OtherVersion(
        f"round {round_.id} was worked on by Trivox {version}, {why}; this is {__version__}: finish it with "
        f"`pip install trivox=={version}`, or cancel it and begin it again"
    )


def _order(version: str) -> tuple[int, ...]:
    """`0.2.1.dev3` -> (0, 2, 1): what follows the release does not count."""
    release = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in release[0].split(".")) if release else ()

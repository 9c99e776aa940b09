"""Recorded human speech for evaluation: the English core sounds of the Asterisk telephone exchange.

Spoken by Allison Smith, CC-BY-SA-3.0. Debian has them as asterisk-core-sounds-en-g722 (recordings) and
asterisk-core-sounds-en (texts).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from trivox.pipelines.imports.folders import recording
from trivox.pipelines.imports.intake import Intake
from trivox.pipelines.imports.publish import publish
from trivox.pipelines.imports.report import ImportReport
from trivox.pipelines.imports.rows import Read, Refusal, Remark, Row, RowRefused, decoded_lines
from trivox.pipelines.imports.service import make_request
from trivox.pipelines.imports.splits import SplitPlan
from trivox.pipelines.imports.terms import Terms
from trivox.platform.errors import BadImport, NotFound
from trivox.platform.progress import progress
from trivox.platform.records import Branch, Consent, Split
from trivox.platform.store import Workspace

DEBIAN_SOUNDS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
DEBIAN_TEXTS = Path("/usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz")
TERMS = Terms(speaker="Allison Smith", licence="CC-BY-SA-3.0", consents=(Consent.ANNOTATE,))

_NO_WORDS = re.compile(r"\[[^\]]*\]")


def import_human_prompts(
    workspace: Workspace,
    sounds: Path = DEBIAN_SOUNDS,
    texts: Path = DEBIAN_TEXTS,
    name: str = "human-prompts",
) -> ImportReport:
    """The recordings as asr prompts, all in the test split; the speaker allows no training.

    texts: `name: text` a line, possibly gzipped; what stands in brackets is not spoken.
    Raises NotFound, BadImport, DiskFull.
    """
    for path in (sounds, texts):
        if not path.exists():
            raise NotFound(
                f"{path}: not there: apt-get install asterisk-core-sounds-en-g722"
                " asterisk-core-sounds-en, or name the folder and the texts"
            )
    request = make_request(name, Branch.ASR, "en-US", TERMS)
    intake = Intake(workspace, request, "asterisk-core-sounds-en/")
    try:
        for read in progress(_rows(sounds, texts), f"importing {name}"):
            intake.add(read)
    except (OSError, EOFError) as error:
        raise BadImport(f"{texts}: cannot be read ({error}): install it again") from None
    return publish(intake, "asterisk", SplitPlan(), str(sounds))


def _rows(sounds: Path, texts: Path) -> Iterator[Read]:
    wordless = 0
    for _, line in decoded_lines(texts):
        if isinstance(line, Refusal):
            yield line
            continue
        if line.startswith(";"):
            continue
        stem, _, written = line.partition(":")
        spoken = _NO_WORDS.sub(" ", written)
        if written.strip() and not spoken.strip():
            wordless += 1
            continue
        try:
            yield Row(stem, text=spoken, audio=recording(sounds, stem.strip()), split=Split.TEST)
        except RowRefused as refused:
            yield refused.of(stem)
    if wordless:
        yield Remark(f"{wordless} sounds without words left out")

"""A trained recipe as one checkpoint folder: what ships with the package."""

import os
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file

from trivox.pipelines.nano.teachers import MARGIN_S
from trivox.pipelines.nano.train_encoder import LETTERS_FILE
from trivox.platform.errors import NotFound
from trivox.policy.backbone import CODEC_FOLDER, WEIGHTS_FILE
from trivox.policy.encoder.features import HOP, SAMPLE_RATE
from trivox.policy.processing import NanoFeatureExtractor

PARTS = ("encoder", "codec", "lm")
HALF = {"codec": "", "lm": "model.encoder."}
"""Part -> how the names of its weights begin that are stored in half precision, to ship fewer bytes: what is
frozen once it was trained. It is computed with in single precision all the same."""
MTP_FOLDER = "mtp"
EDGE = round(MARGIN_S * SAMPLE_RATE / HOP)
"""Frames of silence around a clip, as `trimmed` leaves them around what the encoder is trained on."""


def export(folder: Path, checkpoint: Path) -> int:
    """Copy backbone, tokenizer, token map, feature extractor, the encoder's letters, codec and, where there are
    any, the blocks of multi-token prediction of a trained recipe; returns their size in bytes.

    Replaces the files of checkpoint that it writes and leaves others (a model card) alone. Raises NotFound.
    """
    for part in PARTS:
        if not (folder / part / WEIGHTS_FILE).exists():
            raise NotFound(f"{folder}: {part} is not trained yet: trivox nano train --part {part}")
    NanoFeatureExtractor(edge=EDGE).save_pretrained(folder / "lm")
    shutil.copyfile(folder / "encoder" / LETTERS_FILE, folder / "lm" / LETTERS_FILE)
    written = 0
    sources = [(folder / "lm", checkpoint), (folder / "codec", checkpoint / CODEC_FOLDER)]
    if (folder / MTP_FOLDER).exists():
        sources.append((folder / MTP_FOLDER, checkpoint))
    for source, target in sources:
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.iterdir()):
            partial = target / f".{file.name}.partial"
            if file.name == WEIGHTS_FILE and source.name in HALF:
                _store_half(file, partial, HALF[source.name])
            else:
                shutil.copyfile(file, partial)
            os.replace(partial, target / file.name)
            written += (target / file.name).stat().st_size
    return written


def _store_half(source: Path, target: Path, begin: str) -> None:
    """The weights of source, those whose names begin so as float16."""
    weights = {
        name: weight.half() if name.startswith(begin) else weight
        for name, weight in load_file(source).items()
    }
    save_file(weights, target, metadata={"format": "pt"})
    target.chmod(0o644)

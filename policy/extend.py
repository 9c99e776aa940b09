"""Bring your own model: a causal LM, a codec and perhaps an audio encoder, made into a Trivox backbone folder."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from trivox.platform.errors import ConfigError
from trivox.policy.backbone import CODEC_FOLDER, PACKAGED, locate
from trivox.policy.codec import Codec, load_codec, save_codec
from trivox.policy.codec.layouts import DELAYED, FLAT, check_sequential, offsets, vocabulary_size
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.parts import Hearing, check_lm, load_hearing, load_lm, load_tokenizer
from trivox.policy.processing import TrivoxProcessor
from trivox.policy.vocabulary import MARKS, TokenMap, audio_token

_ROW_MULTIPLE = 32
_MARK_TOKENS = (*(f"<|{mark}|>" for mark in MARKS), "<|/think|>")
NEW_ROW_SPREAD = 0.3
"""Rows as far apart as the old ones take most of the next token's probability from text: 90% with SmolLM2."""


@dataclass(frozen=True)
class Extension:
    """What a backbone is made of.

    backbone: hub id or folder of a causal LM with one output head, with its tokenizer. codec: hub id or folder of
    a codec of transformers, a codec folder, or package:NAME for the codec of a packaged backbone; codebooks: how
    many of its codebooks are used, None for all; copy_codec: whether its weights are copied or named. encoder:
    hub id or folder of a model whose audio encoder is taken; adapter_stack: its frames in one embedding, None for
    as many as make 12.5 embeddings a second. layout: of the codes (`trivox.policy.codec.layouts`); carries:
    "words" for speech that goes word by word with its text (flat layout only). seed: of the new rows.
    """

    backbone: str
    codec: str
    encoder: str | None = None
    codebooks: int | None = None
    layout: str = FLAT
    carries: Literal["words", "none"] = "none"
    copy_codec: bool = True
    adapter_stack: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class Extended:
    """parameters: of the whole backbone; vocab_size: rows with the new ones; added_tokens: marks and audio."""

    folder: Path
    parameters: int
    vocab_size: int
    added_tokens: int
    audio_tokens: int
    tokens_per_second: float


def extend(wanted: Extension, folder: Path) -> Extended:
    """Write the backbone into folder, complete or not at all.

    Raises NotFound and MissingModel for parts that cannot be had; ConfigError for an LM with no single output
    head, a part of an unknown kind, a tokenizer that was extended before, or a folder that is not empty;
    UnsupportedLayout.
    """
    check_sequential(wanted.layout)
    disable_progress_bar()
    if wanted.carries == "words" and wanted.layout != FLAT:
        raise ConfigError(
            f"layout {wanted.layout}: only flat can be cut between words: leave words out"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: give a new folder")
    check_lm(wanted.backbone)
    tokenizer = load_tokenizer(wanted.backbone)
    lm = load_lm(wanted.backbone)
    codec = _codec(wanted)
    hearing = None if wanted.encoder is None else load_hearing(wanted.encoder)
    known = len(tokenizer)
    tokens = add_tokens(tokenizer, codec.spec.codebook_sizes, wanted, _rows(lm))
    grow(lm, known, tokens.vocab_size, wanted.seed)
    _tell_ends(lm, tokens)
    whole = _composed(lm, hearing, tokens, wanted)
    with _new_folder(folder) as made:
        _write(made, whole, tokenizer, tokens, codec, hearing, wanted)
    audio = vocabulary_size(codec.spec.codebook_sizes, wanted.layout)
    rate = codec.spec.frame_rate * codec.spec.codebooks
    count = whole.num_parameters()
    return Extended(folder, count, tokens.vocab_size, len(tokenizer) - known, audio, rate)


def add_tokens(tokenizer: Any, sizes: tuple[int, ...], wanted: Extension, rows: int) -> TokenMap:
    """Marks and codes into the tokenizer, and the map of them. rows: of the LM's embeddings now.

    They are normal added tokens: special ones would vanish from completions that trl decodes.
    Raises ConfigError for a tokenizer that has them already.
    """
    if "<|asr|>" in tokenizer.get_vocab():
        raise ConfigError(
            f"backbone {wanted.backbone}: its tokenizer has <|asr|> already: give the model as it was before it "
            "was extended, or use the folder as a backbone as it is"
        )
    ends = _ends(tokenizer)
    _add(tokenizer, _MARK_TOKENS)
    first = len(tokenizer)
    _add(tokenizer, list(_audio_tokens(sizes, wanted.layout)))
    marks: dict[str, Any] = dict(
        zip((*MARKS, "end_think"), tokenizer.convert_tokens_to_ids([*_MARK_TOKENS]), strict=True)
    )
    needed = max(rows, len(tokenizer))
    return TokenMap(
        **ends,
        **marks,
        text_by="tokenizer",
        characters={},
        audio_offsets=tuple(first + offset for offset in offsets(sizes, wanted.layout)),
        codebook_sizes=sizes,
        layout=wanted.layout,
        carries=wanted.carries,
        vocab_size=-(-needed // _ROW_MULTIPLE) * _ROW_MULTIPLE,
        tokenizer=tokenizer,
    )


def _ends(tokenizer: Any) -> dict[str, Any]:
    """The ids of padding and end, which have to be two: added where the tokenizer has none of its own."""
    if tokenizer.eos_token_id is None:
        tokenizer.add_special_tokens({"eos_token": "<eos>"})
    if tokenizer.pad_token_id in (None, tokenizer.eos_token_id):
        tokenizer.add_special_tokens({"pad_token": "<pad>"})
    return {"pad": int(tokenizer.pad_token_id), "eos": int(tokenizer.eos_token_id)}


def _add(tokenizer: Any, names: tuple[str, ...] | list[str]) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in names])


def _audio_tokens(sizes: tuple[int, ...], layout: str) -> Iterator[str]:
    for book, size in enumerate(sizes):
        yield from (audio_token(book, code) for code in range(size))
        if layout == DELAYED:
            yield f"<|a{book}_pad|>"


@torch.no_grad()
def grow(lm: Any, known: int, rows: int, seed: int) -> None:
    """Give the LM `rows` embeddings and as many outputs; those from `known` on are drawn around the mean of the
    others, each dimension with NEW_ROW_SPREAD of their spread, from the seed; a bias of the head gets its mean."""
    lm.resize_token_embeddings(rows, mean_resizing=False)
    generator = torch.Generator().manual_seed(seed)
    inputs, outputs = lm.get_input_embeddings(), lm.get_output_embeddings()
    _draw(inputs.weight, known, generator)
    if outputs.weight.data_ptr() != inputs.weight.data_ptr():
        _draw(outputs.weight, known, generator)
    if getattr(outputs, "bias", None) is not None:
        outputs.bias[known:] = outputs.bias[:known].mean()


def _draw(weight: Tensor, known: int, generator: torch.Generator) -> None:
    old = weight[:known].float()
    noise = torch.randn(len(weight) - known, weight.shape[1], generator=generator)
    weight[known:] = (old.mean(0) + NEW_ROW_SPREAD * old.std(0) * noise).to(weight.dtype)


def _tell_ends(lm: PreTrainedModel, tokens: TokenMap) -> None:
    for settings in (lm.config, lm.generation_config):
        if settings is not None:
            settings.pad_token_id, settings.eos_token_id = tokens.pad, tokens.eos


def _rows(lm: Any) -> int:
    return int(lm.get_input_embeddings().weight.shape[0])


def _codec(wanted: Extension) -> Codec:
    source = wanted.codec
    if source.startswith(PACKAGED):
        source = str(locate(source, Path()) / CODEC_FOLDER)
    return load_codec(source, wanted.codebooks)


def _composed(
    lm: PreTrainedModel, hearing: Hearing | None, tokens: TokenMap, wanted: Extension
) -> PreTrainedModel:
    if hearing is None:
        return lm
    stack = wanted.adapter_stack or hearing.stack
    torch.manual_seed(wanted.seed)
    return TrivoxForCausalLM.compose(lm, hearing.encoder, tokens.audio, stack)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside it that becomes it when all went well."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield made
        made.chmod(0o755)
        made.replace(folder)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _write(
    folder: Path,
    lm: PreTrainedModel,
    tokenizer: Any,
    tokens: TokenMap,
    codec: Codec,
    hearing: Hearing | None,
    wanted: Extension,
) -> None:
    lm.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    if isinstance(lm, TrivoxForCausalLM) and hearing is not None:
        TrivoxProcessor.of(lm.config, hearing.extractor, tokenizer).save_pretrained(folder)
    tokens.save(folder)
    save_codec(codec, folder / CODEC_FOLDER, wanted.copy_codec)
    (folder / "README.md").write_text(_card(wanted, tokens, codec))


def _card(wanted: Extension, tokens: TokenMap, codec: Codec) -> str:
    spec = codec.spec
    rates = f"{spec.sample_rate} Hz, {spec.codebooks} codebooks at {spec.frame_rate:g} Hz"
    return f"""# A Trivox backbone

| | |
|---|---|
| language model | {wanted.backbone} |
| codec | {wanted.codec}: {spec.name}, {rates} |
| licence of the codec | {spec.licence or "not stated in its folder"} |
| audio encoder | {wanted.encoder or "none"} |
| layout | {tokens.layout}, speech carries {tokens.carries} |
| vocabulary | {tokens.vocab_size} rows, audio from {tokens.audio_offsets[0]} on |

Untrained as to audio: the rows of audio tokens and the adapter are random (seed {wanted.seed}).
"""

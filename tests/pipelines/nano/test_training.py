"""The three trainings and the export: a stopped run becomes the uninterrupted one, and the result loads."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from trivox.pipelines.nano import train_codec as codec_module
from trivox.pipelines.nano import train_encoder as encoder_module
from trivox.pipelines.nano import train_lm as lm_module
from trivox.pipelines.nano.examples import PROSODY_FILE
from trivox.pipelines.nano.export import export
from trivox.pipelines.nano.optimisers import MuonWithAdamW
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.train_codec import spectral_loss, train_codec
from trivox.pipelines.nano.train_encoder import (
    HEARD_FILE,
    LETTERS,
    Clips,
    augmented,
    letters,
    load_speller,
    padded,
    train_encoder,
)
from trivox.pipelines.nano.train_lm import train_lm
from trivox.platform.errors import ConfigError, NotFound
from trivox.platform.records import Sampling
from trivox.policy.branches.realtime import Said
from trivox.policy.encoder.features import MEL_BINS, scaled
from trivox.policy.resident import ResidentPolicy
from trivox.policy.speaker import Dialogue, Utterance

Train = Callable[[NanoRecipe, Path], Path]
PARTS: list[tuple[str, Any, Train]] = [
    ("codec", codec_module, train_codec),
    ("encoder", encoder_module, train_encoder),
    ("lm", lm_module, train_lm),
]


class Stopped(BaseException):
    """As Ctrl-C would."""


@pytest.fixture
def bare(trained: Path, tmp_path: Path) -> Path:
    """What stands before each training: corpus, quantiser, and for the language model what was heard."""
    for name in ("train", "validation", "test", "encoder"):
        shutil.copytree(trained / name, tmp_path / name)
    for name in ("quantiser.pt", HEARD_FILE, PROSODY_FILE):
        shutil.copy(trained / name, tmp_path)
    return tmp_path


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.mark.parametrize(("part", "module", "train"), PARTS)
def test_a_stopped_run_goes_on_to_the_same_weights(
    recipe: NanoRecipe,
    trained: Path,
    bare: Path,
    monkeypatch: pytest.MonkeyPatch,
    part: str,
    module: Any,
    train: Train,
) -> None:
    """Stopped in the third step, after the checkpoint of the second: two steps are not done again."""
    original, begun = module._step, []

    def counting(*args: Any) -> Any:
        begun.append(args[-1])
        if len(begun) == 3:
            raise Stopped
        return original(*args)

    monkeypatch.setattr(module, "_step", counting)
    shutil.rmtree(bare / part, ignore_errors=part != "encoder")
    with pytest.raises(Stopped):
        train(recipe, bare)
    assert not (bare / part).exists()
    torch.rand(5)
    train(recipe, bare)
    steps = recipe.lm_steps if part == "lm" else 3
    assert begun == [0, 1, 2, *range(2, steps)]
    assert same(bare / part, trained / part)


@pytest.mark.parametrize(("part", "module", "train"), PARTS)
def test_another_seed_is_another_model(
    recipe: NanoRecipe, trained: Path, bare: Path, part: str, module: Any, train: Train
) -> None:
    train(recipe.model_copy(update={"seed": 1}), bare)
    assert not same(bare / part, trained / part)


def test_resumed_on_a_model_of_another_shape(recipe: NanoRecipe, trained: Path) -> None:
    with pytest.raises(ConfigError, match=r"lm\.checkpoint\.pt is the checkpoint of a model of"):
        train_lm(recipe.model_copy(update={"lm_hidden": 64}), trained)


@pytest.mark.parametrize("train", [train_codec, train_lm])
def test_nothing_prepared(recipe: NanoRecipe, tmp_path: Path, train: Train) -> None:
    with pytest.raises(NotFound, match="trivox nano prepare --out"):
        train(recipe, tmp_path)


def test_nothing_spoken(recipe: NanoRecipe, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="run `trivox nano prepare` first"):
        train_encoder(recipe, tmp_path)


def test_segments_longer_than_every_clip(recipe: NanoRecipe, trained: Path) -> None:
    """Of the voices that the codec learns from."""
    with pytest.raises(ConfigError, match="codec_segment_frames is 500 and the longest of 22"):
        train_codec(recipe.model_copy(update={"codec_segment_frames": 500}), trained)


def test_another_encoder_makes_what_was_heard_worthless(recipe: NanoRecipe, bare: Path) -> None:
    """A training that was complete leaves it alone."""
    train_encoder(recipe, bare)
    assert not (bare / HEARD_FILE).exists()
    (bare / HEARD_FILE).touch()
    train_encoder(recipe, bare)
    assert (bare / HEARD_FILE).exists()


def test_encoder_and_letters_are_what_was_trained(trained: Path) -> None:
    speller = load_speller(trained)
    assert speller.encoder.config.dropout == 0 and not speller.training
    mel = torch.zeros(1, 12, MEL_BINS)
    logprobs = speller(mel, torch.ones(1, 12))
    assert logprobs.shape == (1, 3, len(LETTERS) + 1)
    torch.testing.assert_close(logprobs.exp().sum(-1), torch.ones(1, 3))


def test_letters_are_classes_after_the_blank() -> None:
    assert letters(" az'") == [1, 2, 27, 28]
    assert len(LETTERS) == 28


def test_batches_of_the_encoder_are_of_like_length(recipe: NanoRecipe, trained: Path) -> None:
    clips = Clips.load(trained / "train")
    mels, mask, texts = clips.batch(0, recipe)
    assert mels.shape[0] == len(texts) == 4 and mels.shape[2] == MEL_BINS
    assert mels.abs().max() <= 1
    again = clips.batch(0, recipe)
    assert torch.equal(mels, again[0]) and texts == again[2]
    assert not torch.equal(mask, clips.batch(1, recipe)[1]) or texts != clips.batch(1, recipe)[2]
    for row in range(4):
        assert (mels[row, int(mask[row].sum()) :] == 0).all()


def test_augmented_keeps_the_words_and_changes_the_rest() -> None:
    """Within the stretch of 0.85 to 1.18; another draw is another speaker."""
    mel = torch.randn(100, MEL_BINS)
    found = [augmented(mel, np.random.default_rng(seed)) for seed in range(20)]
    assert all(85 <= len(one) <= 118 and torch.isfinite(one).all() for one in found)
    assert len({len(one) for one in found}) > 8
    assert all(scaled(one).abs().max() <= 1 for one in found)
    assert len(augmented(mel[:1], np.random.default_rng(0))) >= 1


def test_padded_by_hand() -> None:
    features, mask = padded([torch.ones(2, 3), torch.ones(1, 3)])
    assert features.tolist() == [[[1.0] * 3] * 2, [[1.0] * 3, [0.0] * 3]]
    assert mask.tolist() == [[1, 1], [1, 0]]


def test_only_adapter_and_language_model_learn(trained: Path) -> None:
    """The encoder in the language model's folder is the encoder that was trained before, bit for bit."""
    lm, encoder = weights(trained / "lm"), weights(trained / "encoder")
    inside = {k.removeprefix("model.encoder."): v for k, v in lm.items() if ".encoder." in k}
    assert inside.keys() == encoder.keys()
    assert all(torch.equal(inside[name], encoder[name]) for name in encoder)
    assert {value.dtype for value in lm.values()} == {torch.float32}


def test_spectral_loss() -> None:
    """Nothing between a signal and itself; more the further they are apart."""
    wave = torch.sin(torch.arange(4096) * 0.1)[None]
    assert spectral_loss(wave, wave) == 0
    assert 0 < spectral_loss(0.9 * wave, wave) < spectral_loss(0.5 * wave, wave)


def test_export_writes_what_a_backbone_needs(trained: Path, checkpoint: Path) -> None:
    files = [path for path in checkpoint.rglob("*") if path.is_file()]
    assert (checkpoint / "README.md").read_text() == "the card"
    assert not [path for path in files if path.suffix == ".partial"]
    names = {str(path.relative_to(checkpoint)) for path in files}
    wanted = {
        "model.safetensors",
        "config.json",
        "tokenizer.json",
        "token_map.json",
        "letters.safetensors",
    }
    wanted |= {"preprocessor_config.json", "codec/model.safetensors", "codec/config.json"}
    assert wanted <= names
    size = export(trained, checkpoint)
    assert size == sum(path.stat().st_size for path in files if path.name != "README.md")


def test_the_export_transcribes_speaks_and_replies(policy: ResidentPolicy) -> None:
    wave = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    few = Sampling(temperature=0.0, max_tokens=12)
    with policy.using(None) as speaker:
        (heard,) = speaker.transcribe([wave], few)
        (spoken,) = speaker.speak([Utterance("turn on (slow) it", "heart loud")], [0], few)
        dialogue = Dialogue("anna says aye", (wave, Said("assistant", "aye"), wave), "heart")
        (reply,) = speaker.reply([dialogue], [0], few)
    assert set(heard.text) <= set(LETTERS) | {"(", ")"} and heard.generation.tokens
    assert spoken.text == "turn"[: len(spoken.text)] or spoken.text.startswith("turn")
    for speech in (spoken, reply):
        assert len(speech.samples) == 640 * len(speech.codes) and np.isfinite(speech.samples).all()


def test_the_export_is_what_was_trained(policy: ResidentPolicy, trained: Path) -> None:
    """Loaded without the recipe, the weights are those of the training folder; the encoder's in half precision."""
    backbone = policy.backbone
    assert backbone.hears and backbone.hearing_rate == 16_000
    trained_on = weights(trained / "lm")
    loaded = backbone.lm.state_dict()
    stored = {n: v.half().float() if ".encoder." in n else v for n, v in trained_on.items()}
    assert all(torch.equal(loaded[name], value) for name, value in stored.items())
    assert backbone.codec.spec.codebook_sizes == backbone.tokens.codebook_sizes == (1024, 1024)


@pytest.mark.parametrize("part", ["encoder", "lm", "codec"])
def test_export_of_what_is_not_trained(trained: Path, tmp_path: Path, part: str) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for other in {"encoder", "lm", "codec"} - {part}:
        os.symlink(trained / other, half / other)
    with pytest.raises(NotFound, match=f"{part} is not trained yet"):
        export(half, tmp_path / "checkpoint")
    assert not (tmp_path / "checkpoint").exists()


def test_muon_takes_the_matrices_of_the_layers_and_adamw_the_rest() -> None:
    """One step with a scale of 0 changes nothing, one with 1 every weight that trains; state comes back."""
    model = torch.nn.ModuleDict(
        {"model": torch.nn.ModuleDict({"layers": torch.nn.ModuleList([torch.nn.Linear(4, 4)])})}
    )
    optimiser = MuonWithAdamW(model, 0.1)
    weight, bias = optimiser.parts[0].param_groups[0]["params"], optimiser.parts[1].param_groups
    assert [tuple(p.shape) for p in weight] == [(4, 4)]
    assert [tuple(p.shape) for p in bias[0]["params"]] == [(4,)]
    before = [p.detach().clone() for p in model.parameters()]
    for share, changes in ((0.0, False), (1.0, True)):
        optimiser.scale(share)
        optimiser.zero_grad()
        model["model"]["layers"][0](torch.ones(2, 4)).square().sum().backward()  # type: ignore[index]
        optimiser.step()
        changed = [not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)]
        assert changed == [changes, changes]
    other = MuonWithAdamW(model, 0.1)
    other.load_state_dict(optimiser.state_dict())
    assert str(other.state_dict()) == str(optimiser.state_dict())

"""SFT on the tiny backbone that hears: arithmetic by hand, what trains and what may not, stops and refusals."""

import math
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from trivox.platform.errors import ConfigError, NotFound, WorkError
from trivox.platform.records import Branch
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.branches.realtime import Heard, Said, realtime_prompt
from trivox.policy.branches.tts import tts_prompt
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE, ResidentPolicy
from trivox.policy.rows import IGNORED, Row, collate
from trivox.policy.trainers.checkpoints import SEAL
from trivox.policy.trainers.common import TrainedAdapter
from trivox.policy.trainers.sft import SFTSettings, plan_rows, train_sft
from trivox.policy.trainers.sft_trainer import Job, make_trainer

ADAPTER = "base_model.model.model.adapter.weight"
SETTINGS = SFTSettings(
    learning_rate=0.02,
    epochs=4,
    batch_tokens=90,
    accumulation=2,
    lora_rank=4,
    lora_alpha=8,
    checkpoint_every=3,
)


def clip(frames: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).normal(size=(frames, 64)).astype(np.float32)


def asr_row(backbone: Backbone, index: int) -> Row:
    heard = clip(17 + 6 * index, index)
    said = asr_completion(backbone.tokens, ("a", "ab", "b a")[index % 3])
    prompt = asr_prompt(backbone.tokens, backbone.embeddings(heard))
    return Row(prompt, said, [True] * len(said), (heard,))


def speech(backbone: Backbone, index: int) -> tuple[list[int], list[bool]]:
    """A given letter, which no loss covers, then frames."""
    tokens = backbone.tokens
    codes = np.full((2 + index % 3, 2), index % 4, np.int32)
    said = [*tokens.text_ids("a"), *tokens.audio_ids(codes), tokens.eos]
    return said, [False, *[True] * (len(said) - 1)]


def tts_row(backbone: Backbone, index: int) -> Row:
    said, loss = speech(backbone, index)
    return Row(tts_prompt(backbone.tokens, "ab"[: 1 + index % 2], "slow"), said, loss)


def realtime_row(backbone: Backbone, index: int) -> Row:
    """Two clips of different lengths and a typed turn."""
    clips = (clip(9 + 4 * index, 50 + index), clip(20, 90 + index))
    first, second = (Heard(backbone.embeddings(one)) for one in clips)
    turns = (first, Said("assistant", "a b"), Said("user", "b"), Said("assistant", "a"), second)
    said, loss = speech(backbone, index)
    return Row(realtime_prompt(backbone.tokens, "anna", turns), said, loss, clips)


MAKERS = {Branch.ASR: asr_row, Branch.TTS: tts_row, Branch.REALTIME: realtime_row}


def rows_of(backbone: Backbone, branches: Sequence[Branch], count: int = 4) -> list[Row]:
    return [MAKERS[branch](backbone, index) for index in range(count) for branch in branches]


@pytest.fixture(scope="module")
def mixture(hearing_folder: Path) -> list[Row]:
    return rows_of(Backbone.load(hearing_folder), list(Branch))


@pytest.fixture(scope="module")
def trained(
    hearing_folder: Path, mixture: list[Row], tmp_path_factory: pytest.TempPathFactory
) -> TrainedAdapter:
    return train_sft(hearing_folder, mixture, SETTINGS, tmp_path_factory.mktemp("sft"), seed=1)


def trainer_of(folder: Path, rows: list[Row], settings: SFTSettings, out: Path) -> Any:
    backbone = Backbone.load(folder)
    plan = plan_rows(backbone, rows, settings, 0)
    with without_renaming_notices():
        return make_trainer(
            Job(backbone, rows, plan, settings, out, 0, None, lambda done, total: None)
        )


def nll(model: Any, row: Row, pad: int) -> tuple[float, int]:
    """Summed over the covered tokens of a row alone, by the model's own forward; and their number."""
    batch = collate([row], pad)
    labels = batch.pop("labels")[0, 1:]
    with torch.no_grad():
        logprobs = model(**batch).logits[0, :-1].double().log_softmax(-1)
    covered = labels != IGNORED
    chosen = logprobs[covered, labels[covered]]
    return -float(chosen.sum()), int(covered.sum())


def mean_nll(model: Any, rows: Sequence[Row], pad: int) -> float:
    sums = [nll(model, row, pad) for row in rows]
    return sum(one for one, _ in sums) / sum(count for _, count in sums)


def one_step(rows: int) -> SFTSettings:
    """All rows in one step: each a batch, or as many together as there are."""
    return SETTINGS.model_copy(
        update={"epochs": 1, "batch_tokens": 1, "accumulation": rows, "warmup_share": 0.0}
    )


def test_first_loss_by_hand(hearing_folder: Path, mixture: list[Row], tmp_path: Path) -> None:
    """With all embeddings zero, the tied head too, each of V tokens costs ln V, in every branch."""
    flat = Path(shutil.copytree(hearing_folder, tmp_path / "flat"))
    weights = load_file(flat / "model.safetensors")
    weights["model.language_model.embed_tokens.weight"].zero_()
    save_file(weights, flat / "model.safetensors", metadata={"format": "pt"})
    first = train_sft(flat, mixture, one_step(len(mixture)), tmp_path / "out", seed=0).metrics[0]
    expected = pytest.approx(math.log(Backbone.load(flat).tokens.vocab_size), abs=1e-4)
    for name in ("loss", "asr/loss", "tts/loss", "realtime/loss", "asr/entropy"):
        assert first[name] == expected
    assert first["asr/tokens"] == sum(sum(row.loss) for row in mixture[::3])


def test_loss_is_that_of_the_models_own_forward(
    hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    """TRL's fused head skips the forward of the causal LM: audio counts all the same, and neither padding nor the
    number of batches in a step changes the mean over its tokens."""
    backbone = Backbone.load(hearing_folder)
    wanted = mean_nll(backbone.lm, mixture, backbone.tokens.pad)
    alone = train_sft(hearing_folder, mixture, one_step(len(mixture)), tmp_path / "a", seed=0)
    together = one_step(3).model_copy(update={"batch_tokens": 2000})
    padded = train_sft(hearing_folder, mixture, together, tmp_path / "b", seed=0)
    assert alone.steps == padded.steps == 1
    assert alone.metrics[0]["loss"] == pytest.approx(wanted, rel=1e-5)
    assert padded.metrics[0]["loss"] == pytest.approx(wanted, rel=1e-5)
    for name, value in alone.metrics[0].items():
        assert padded.metrics[0][name] == pytest.approx(value, rel=1e-3), name
    asr = mean_nll(backbone.lm, mixture[::3], backbone.tokens.pad)
    assert alone.metrics[0]["asr/loss"] == pytest.approx(asr, rel=1e-5)


@pytest.mark.parametrize("branch", list(Branch))
def test_each_branch_is_learned(branch: Branch, hearing_folder: Path, tmp_path: Path) -> None:
    backbone = Backbone.load(hearing_folder)
    rows, pad = rows_of(backbone, [branch]), backbone.tokens.pad
    before = mean_nll(backbone.lm, rows, pad)
    settings = SETTINGS.model_copy(update={"accumulation": 1})
    made = train_sft(hearing_folder, rows, settings, tmp_path, seed=1)
    with without_renaming_notices():
        model = PeftModel.from_pretrained(backbone.lm, made.folder).eval()
    assert mean_nll(model, rows, pad) < 0.7 * before
    assert {key for entry in made.metrics for key in entry if "/" in key} == {
        f"{branch.value}/{figure}" for figure in ("loss", "accuracy", "entropy", "tokens")
    }


def test_a_mixture_is_learned_and_only_what_is_meant_to(
    hearing_folder: Path, mixture: list[Row], trained: TrainedAdapter
) -> None:
    """The audio adapter is trained with the language model; encoder and embeddings are not in what is saved; with
    the adapter off the backbone answers as before, bit for bit."""
    base = Backbone.load(hearing_folder)
    before = dict(load_file(hearing_folder / "model.safetensors"))
    written = load_file(trained.folder / ADAPTER_WEIGHTS)
    assert not torch.equal(written[ADAPTER], before["model.adapter.weight"])
    others = [name for name in written if "lora_" not in name]
    assert others == ["base_model.model.model.adapter.bias", ADAPTER]
    assert not any("encoder" in name or "embed" in name for name in written)
    assert all(
        float(weight.abs().max()) > 0 for name, weight in written.items() if "lora_B" in name
    )

    resident = ResidentPolicy(hearing_folder)
    batch = collate(mixture, base.tokens.pad)
    batch.pop("labels")
    with torch.no_grad():
        wanted = base.lm(**batch).logits
        with resident.using(trained.folder) as speaker:
            changed = speaker.engine.model(**batch).logits
        with resident.using(None) as speaker:
            assert torch.equal(speaker.engine.model(**batch).logits, wanted)
    assert not torch.equal(changed, wanted)
    recorded = (trained.folder / BACKBONE_HASH_FILE).read_text().strip()
    assert recorded == backbone_hash(hearing_folder)
    for branch in Branch:
        losses = [one[f"{branch}/loss"] for one in trained.metrics if f"{branch}/loss" in one]
        assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("rank", [4, 0])
def test_gradient_reaches_the_audio_adapter_and_not_the_encoder(
    rank: int, hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"lora_rank": rank})
    trainer = trainer_of(hearing_folder, mixture[::3], settings, tmp_path)
    trained = [n for n, weight in trainer.model.named_parameters() if weight.requires_grad]
    assert trained and not any(".encoder." in name for name in trained)
    batch = trainer.data_collator([{"row": 0}, {"row": 1}])
    trainer.model.train()
    with without_renaming_notices():
        trainer.compute_loss(trainer.model, batch).backward()
    weights = dict(trainer.model.named_parameters())
    (adapter,) = [
        n for n in weights if re.search(r"adapter\.(modules_to_save.default\.)?weight", n)
    ]
    assert float(weights[adapter].grad.norm()) > 0
    encoder = [weight for name, weight in weights.items() if ".encoder." in name]
    assert encoder
    assert all(weight.grad is None and not weight.requires_grad for weight in encoder)


def test_all_weights(hearing_folder: Path, mixture: list[Row], tmp_path: Path) -> None:
    """lora_rank 0 writes a whole backbone, with the encoder as it was."""
    settings = SETTINGS.model_copy(update={"lora_rank": 0, "learning_rate": 0.003})
    made = train_sft(hearing_folder, mixture, settings, tmp_path / "full", seed=1)
    assert made.weights_hash == backbone_hash(made.folder) != backbone_hash(hearing_folder)
    before = load_file(hearing_folder / "model.safetensors")
    after = load_file(made.folder / "model.safetensors")
    assert before.keys() == after.keys()
    for name, weight in before.items():
        assert torch.equal(weight, after[name]) == ("encoder" in name), name
    loaded = Backbone.load(made.folder)
    pad = loaded.tokens.pad
    base = mean_nll(Backbone.load(hearing_folder).lm, mixture, pad)
    assert mean_nll(loaded.lm, mixture, pad) < 0.8 * base


def test_audio_adapter_left_alone_and_token_rows_trained(
    hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    """train_adapter and train_tokens say what goes with LoRA; tied rows stay tied."""
    only = SETTINGS.model_copy(update={"epochs": 1, "train_adapter": False, "train_tokens": True})
    made = train_sft(hearing_folder, mixture, only, tmp_path / "out", seed=1)
    written = load_file(made.folder / ADAPTER_WEIGHTS)
    whole = {name: weight for name, weight in written.items() if "lora_" not in name}
    embedded, head = (
        "base_model.model.model.language_model.embed_tokens.weight",
        "base_model.model.lm_head.weight",
    )
    assert whole.keys() == {embedded, head}
    assert torch.equal(whole[embedded], whole[head])
    before = load_file(hearing_folder / "model.safetensors")
    assert not torch.equal(whole[embedded], before["model.language_model.embed_tokens.weight"])


def test_a_backbone_that_does_not_hear(backbone_folder: Path, tmp_path: Path) -> None:
    backbone = Backbone.load(backbone_folder)
    made = train_sft(backbone_folder, rows_of(backbone, [Branch.TTS]), SETTINGS, tmp_path, seed=1)
    assert all("lora_" in name for name in load_file(made.folder / ADAPTER_WEIGHTS))


@pytest.mark.parametrize("rank", [4, 0])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    rank: int, hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    """Stopped after step 5 with checkpoints at every third, and with one that was broken off: same bits, same
    figures; what only served to go on is gone."""
    settings = SETTINGS.model_copy(update={"lora_rank": rank, "learning_rate": 0.003})

    def stop(done: int, total: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    whole = train_sft(hearing_folder, mixture, settings, tmp_path / "whole", seed=1)
    with pytest.raises(KeyboardInterrupt):
        train_sft(hearing_folder, mixture, settings, tmp_path / "cut", seed=1, on_step=stop)
    shutil.copytree(tmp_path / "cut" / "checkpoint-3", tmp_path / "cut" / "checkpoint-5")
    (tmp_path / "cut" / "checkpoint-5" / SEAL).unlink()
    steps: list[int] = []
    again = train_sft(
        hearing_folder,
        mixture,
        settings,
        tmp_path / "cut",
        seed=1,
        on_step=lambda done, total: steps.append(done),
    )
    assert steps == list(range(4, whole.steps + 1))
    assert again.weights_hash == whole.weights_hash
    assert again.metrics == whole.metrics
    names = {path.name for path in (tmp_path / "cut").iterdir()}
    assert names == {path.name for path in (tmp_path / "whole").iterdir()}
    assert not any(name.startswith(("checkpoint", "run")) for name in names)


def test_checkpoints_of_another_run_are_refused(
    hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_sft(hearing_folder, mixture, SETTINGS, tmp_path, seed=1, on_step=stop)
    with pytest.raises(ConfigError, match="checkpoints of run"):
        train_sft(hearing_folder, mixture, SETTINGS, tmp_path, seed=2)
    with pytest.raises(ConfigError, match="checkpoints of run"):
        train_sft(hearing_folder, mixture[:-1], SETTINGS, tmp_path, seed=1)


def test_same_seed_same_bits(
    hearing_folder: Path, mixture: list[Row], trained: TrainedAdapter, tmp_path: Path
) -> None:
    torch.rand(3)  # what was drawn before plays no part
    again = train_sft(hearing_folder, mixture, SETTINGS, tmp_path / "again", seed=1)
    other = train_sft(hearing_folder, mixture, SETTINGS, tmp_path / "other", seed=2)
    assert again.weights_hash == trained.weights_hash != other.weights_hash


def test_an_adapter_is_trained_further(
    hearing_folder: Path, mixture: list[Row], trained: TrainedAdapter, tmp_path: Path
) -> None:
    """It begins where the start ended, and the start stays as it is."""
    settings = one_step(len(mixture))
    further = train_sft(hearing_folder, mixture, settings, tmp_path, seed=1, start=trained.folder)
    backbone = Backbone.load(hearing_folder)
    with without_renaming_notices():
        model = PeftModel.from_pretrained(backbone.lm, trained.folder).eval()
    wanted = mean_nll(model, mixture, backbone.tokens.pad)
    assert further.metrics[0]["loss"] == pytest.approx(wanted, rel=1e-4)
    written = load_file(further.folder / ADAPTER_WEIGHTS)
    start = load_file(trained.folder / ADAPTER_WEIGHTS)
    assert written.keys() == start.keys()
    assert not torch.equal(written[ADAPTER], start[ADAPTER])


def test_starts_that_cannot_be(
    hearing_folder: Path, mixture: list[Row], trained: TrainedAdapter, tmp_path: Path
) -> None:
    full = SETTINGS.model_copy(update={"lora_rank": 0})
    with pytest.raises(ConfigError, match="lora_rank 0"):
        train_sft(hearing_folder, mixture, full, tmp_path, seed=0, start=trained.folder)
    strange = Path(shutil.copytree(trained.folder, tmp_path / "strange"))
    (strange / BACKBONE_HASH_FILE).write_text("e" * 64)
    with pytest.raises(ConfigError, match="eeeeeeeeeeee"):
        train_sft(hearing_folder, mixture, SETTINGS, tmp_path / "o", seed=0, start=strange)
    with pytest.raises(NotFound, match="nowhere"):
        train_sft(hearing_folder, mixture, SETTINGS, tmp_path, seed=0, start=tmp_path / "nowhere")


def test_rows_that_cannot_be_trained_on(
    hearing_folder: Path, backbone_folder: Path, hearing: Backbone, tmp_path: Path
) -> None:
    """Counted, the first one named; nothing is dropped or cut."""
    tokens = hearing.tokens
    good, long = tts_row(hearing, 0), Row([tokens.tts] * 100, [tokens.eos] * 40, [True] * 40)
    silent = Row([tokens.asr, tokens.text], [tokens.eos], [False])
    heard = asr_row(hearing, 0)
    deaf = Row(heard.prompt, heard.completion, heard.loss)
    cases = [
        ([], "no rows"),
        (
            [good, long, long],
            r"2 of 3 rows .* row 1: has 140 tokens and the model's context is 128",
        ),
        ([good, silent], "row 1: has no token that the loss covers"),
        ([deaf], "row 0: has 3 audio placeholders and its clips make 0"),
        ([Row([tokens.eos], [tokens.eos], [True])], "begins with token 1"),
    ]
    for rows, message in cases:
        with pytest.raises(ConfigError, match=message):
            train_sft(hearing_folder, rows, SETTINGS, tmp_path / "out", seed=0)
    with pytest.raises(ConfigError, match="does not hear"):
        train_sft(backbone_folder, [heard], SETTINGS, tmp_path / "out", seed=0)
    with pytest.raises(ConfigError, match="1 rows and 2 weights"):
        train_sft(hearing_folder, [good], SETTINGS, tmp_path / "out", 0, weights=[1.0, 1.0])
    assert not (tmp_path / "out").exists()


def test_branch_and_row_weights(hearing_folder: Path, mixture: list[Row], tmp_path: Path) -> None:
    """tts left out, asr seen twice, and the first asr row not at all."""
    settings = one_step(100).model_copy(
        update={"branch_weights": {Branch.TTS: 0.0, Branch.ASR: 2.0}}
    )
    weights = [0.0, *[1.0] * (len(mixture) - 1)]
    made = train_sft(hearing_folder, mixture, settings, tmp_path, 0, weights=weights)
    (step,) = made.metrics
    assert "tts/loss" not in step
    assert step["asr/tokens"] == 2 * sum(sum(row.loss) for row in mixture[3::3])
    assert step["realtime/tokens"] == sum(sum(row.loss) for row in mixture[2::3])


def test_a_loss_that_is_not_finite_is_an_error(
    hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    """At the step where it happens, and nothing is written that could be taken for an adapter."""
    wild = SETTINGS.model_copy(
        update={"learning_rate": 1e30, "warmup_share": 0.0, "max_grad_norm": 1e30}
    )
    with pytest.raises(WorkError, match=r"at step \d+: lower the learning rate"):
        train_sft(hearing_folder, mixture, wild, tmp_path, seed=0)
    assert not (tmp_path / ADAPTER_WEIGHTS).exists()


def test_recomputed_activations_change_nothing(
    hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    settings = SETTINGS.model_copy(update={"epochs": 1})
    kept = train_sft(hearing_folder, mixture, settings, tmp_path / "kept", seed=1)
    again = settings.model_copy(update={"recompute": True})
    recomputed = train_sft(hearing_folder, mixture, again, tmp_path / "again", seed=1)
    for one, other in zip(kept.metrics, recomputed.metrics, strict=True):
        assert one == pytest.approx(other, rel=1e-4)


@pytest.mark.parametrize("rank", [4, 0])
def test_what_is_trained_is_in_float32(
    rank: int, hearing_folder: Path, mixture: list[Row], tmp_path: Path
) -> None:
    """As on a GPU, where the rest is in bfloat16: steps of 1e-5 beside weights near 1 would be lost there."""
    backbone = Backbone.load(hearing_folder)
    torch.nn.Module.to(backbone.lm, torch.bfloat16)
    settings = SETTINGS.model_copy(update={"lora_rank": rank, "train_tokens": True})
    plan = plan_rows(backbone, mixture, settings, 0)
    with without_renaming_notices():
        trainer = make_trainer(
            Job(backbone, mixture, plan, settings, tmp_path, 0, None, lambda done, total: None)
        )
    stored = load_file(hearing_folder / "model.safetensors")
    for name, weight in trainer.model.named_parameters():
        wide = rank == 0 or weight.requires_grad
        assert weight.dtype == (torch.float32 if wide else torch.bfloat16), name
        assert rank or torch.equal(weight, stored[name])
    head = trainer.model.get_output_embeddings().weight
    assert head is trainer.model.get_input_embeddings().weight


def test_silent_and_steps_are_reported(
    hearing_folder: Path, mixture: list[Row], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    steps: list[tuple[int, int]] = []
    settings = one_step(6)
    train_sft(
        hearing_folder,
        mixture,
        settings,
        tmp_path,
        seed=0,
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert capfd.readouterr().out == ""
    assert steps == [(1, 2), (2, 2)]


def test_settings_refuse_what_makes_no_sense() -> None:
    for wrong in (
        {"epochs": 0},
        {"warmup_share": 1},
        {"lora_rang": 4},
        {"branch_weights": {"x": 1}},
    ):
        with pytest.raises(ValueError):
            SFTSettings.model_validate(wrong)

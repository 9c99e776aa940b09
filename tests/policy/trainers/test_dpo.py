"""DPO on the tiny backbone: the arithmetic by hand, what the trainer differentiates, and what it may not do."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file

from tests.policy.conftest import write_hearing_backbone
from trivox.platform.errors import ConfigError, NotFound, WorkError
from trivox.policy.backbone import Backbone, backbone_hash, without_renaming_notices
from trivox.policy.branches.asr import asr_completion, asr_prompt
from trivox.policy.resident import ADAPTER_WEIGHTS, BACKBONE_HASH_FILE
from trivox.policy.trainers import dpo
from trivox.policy.trainers.dpo import DPOSettings, TokenPair, TrainedAdapter, train_dpo
from trivox.policy.trainers.dpo_loss import preference_loss
from trivox.policy.vocabulary import TokenMap


def logprob(model: Any, prompt: list[int], completion: list[int]) -> float:
    """Sum of the completion's log-probs by the model's own forward: whole vocabulary, no constraint."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
    rows = logits.double().log_softmax(-1)
    return float(rows[torch.arange(len(completion)), torch.tensor(completion)].sum())


def both(model: Any, pair: TokenPair) -> tuple[float, float]:
    return logprob(model, pair.prompt, pair.chosen), logprob(model, pair.prompt, pair.rejected)


def dpo_loss(policy: tuple[float, float], reference: tuple[float, float], beta: float) -> float:
    """Equation 7 of Rafailov et al. 2023 for one pair: -ln sigmoid(beta * (margin - reference margin))."""
    delta = (policy[0] - reference[0]) - (policy[1] - reference[1])
    return math.log1p(math.exp(-beta * delta))


def test_the_formula_by_hand() -> None:
    """Chosen -10 against -12, rejected -15 against -14: delta = 2 - (-1) = 3, times 0.1 is 0.3;
    sigmoid(0.3) = 0.574443, and -ln of it 0.554355. At the start delta is 0 and the loss ln 2."""
    assert dpo_loss((-10, -15), (-12, -14), 0.1) == pytest.approx(0.554355, abs=1e-6)
    assert dpo_loss((-3, -7), (-3, -7), 0.1) == pytest.approx(0.693147, abs=1e-6)


def trainer_of(
    folder: Path,
    pairs: Sequence[TokenPair],
    settings: DPOSettings,
    start: Path | None,
    out: Path,
    carried: Sequence[int] = (),
) -> Any:
    """The trainer as train_dpo makes it, before its first step."""
    with without_renaming_notices():
        return dpo._trainer(
            Backbone.load(folder), pairs, settings, out, 0, start, carried, lambda done, total: None
        )


def one_batch(trainer: Any) -> Any:
    """All rows in the order of the data set."""
    return trainer.data_collator(
        [trainer.train_dataset[i] for i in range(len(trainer.train_dataset))]
    )


def loss_and_metrics(trainer: Any) -> tuple[torch.Tensor, dict[str, float]]:
    trainer.model.train()
    with without_renaming_notices():
        loss = trainer.compute_loss(trainer.model, one_batch(trainer))
    return loss, {key: values[-1] for key, values in trainer._metrics["train"].items()}


def disturb(model: Any, seed: int = 5) -> None:
    """LoRA starts as the identity: move its second factor, so that policy and reference differ."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_B.default" in name:
            weight.data = 0.3 * torch.randn(weight.shape, generator=generator)


def test_first_loss_by_hand(
    backbone_folder: Path, pairs: list[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """With all embeddings zero, the tied head too, each of 96 tokens has probability 1/96. Policy and reference
    agree: the preference loss is ln 2 = 0.693147. The chosen cost ln 96 = 4.564348 a token, weighted by
    1: together 5.257495."""
    flat = Path(shutil.copytree(backbone_folder, tmp_path / "flat"))
    weights = load_file(flat / "model.safetensors")
    weights["model.embed_tokens.weight"].zero_()
    save_file(weights, flat / "model.safetensors", metadata={"format": "pt"})
    trained = train_dpo(flat, pairs, settings, tmp_path / "out", seed=0)
    first = trained.metrics[0]
    assert first["loss"] == pytest.approx(5.257495, abs=1e-5)
    assert first["rewards/chosen"] == first["rewards/rejected"] == 0
    assert first["entropy"] == pytest.approx(math.log(96), abs=1e-4)


def test_loss_and_rewards_of_a_policy_that_has_moved(
    backbone_folder: Path, pairs: list[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    """Guard tests b and c: TRL's figures are those of model.forward (its fused head is not), with the
    backbone alone as the reference; dropout is off though the backbone was trained with it."""
    trainer = trainer_of(backbone_folder, pairs, settings, None, tmp_path)
    disturb(trainer.model)
    loss, metrics = loss_and_metrics(trainer)
    base = Backbone.load(backbone_folder).lm
    trainer.model.eval()
    policy = [both(trainer.model, pair) for pair in pairs]
    reference = [both(base, pair) for pair in pairs]
    assert max(abs(p[0] - r[0]) for p, r in zip(policy, reference, strict=True)) > 1
    preference = [dpo_loss(p, r, settings.beta) for p, r in zip(policy, reference, strict=True)]
    chosen_tokens = sum(len(pair.chosen) for pair in pairs)
    sft = -sum(p[0] for p in policy) / chosen_tokens
    expected = sum(preference) / len(pairs) + settings.sft_weight * sft
    assert loss.item() == pytest.approx(expected, abs=1e-4)
    for side, name in enumerate(("chosen", "rejected")):
        mean = sum(p[side] for p in policy) / len(pairs)
        reward = settings.beta * sum(
            p[side] - r[side] for p, r in zip(policy, reference, strict=True)
        )
        assert metrics[f"logps/{name}"] == pytest.approx(mean, abs=1e-3)
        assert metrics[f"rewards/{name}"] == pytest.approx(reward / len(pairs), abs=1e-4)


def test_reference_is_the_backbone(
    backbone_folder: Path, pairs: list[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    trainer = trainer_of(backbone_folder, pairs, settings, None, tmp_path)
    disturb(trainer.model)
    with without_renaming_notices():
        found = trainer.compute_ref_log_probs(trainer.model, one_batch(trainer))
    base = Backbone.load(backbone_folder).lm
    for side, values in enumerate(found):
        expected = [both(base, pair)[side] for pair in pairs]
        assert values.tolist() == pytest.approx(expected, abs=1e-4)


def test_only_the_adapter_gets_a_gradient(
    backbone_folder: Path, pairs: list[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    trainer = trainer_of(backbone_folder, pairs, settings, None, tmp_path)
    disturb(trainer.model)  # where one factor is zero the other has no gradient
    loss, _ = loss_and_metrics(trainer)
    loss.backward()
    moved = {n for n, w in trainer.model.named_parameters() if w.grad is not None and w.grad.any()}
    lora = {name for name, _ in trainer.model.named_parameters() if "lora_" in name}
    assert moved == lora
    assert len(lora) == 2 * 7 * 2  # two factors of seven linear layers in two blocks


def test_training_leaves_the_backbone_as_it_was(
    backbone_folder: Path, adapters: list[TrainedAdapter]
) -> None:
    names = load_file(adapters[0].folder / ADAPTER_WEIGHTS)
    assert all("lora_" in name for name in names)
    recorded = (adapters[0].folder / BACKBONE_HASH_FILE).read_text().strip()
    assert recorded == backbone_hash(backbone_folder)


def test_no_row_is_dropped(
    backbone_folder: Path,
    tokens: TokenMap,
    settings: DPOSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Five pairs in batches of four: each is seen whole once an epoch, one of 90 tokens among them."""
    low, high = tokens.audio_range(0)[0], tokens.audio_range(1)[0]
    prompt = [tokens.tts, tokens.text, *tokens.text_ids("a"), tokens.audio]
    pairs = [
        TokenPair(prompt, [low + i, high] * length + [tokens.eos], [low + 9, high, tokens.eos])
        for i, length in enumerate((1, 2, 3, 4, 45))
    ]
    seen: list[tuple[int, ...]] = []
    original = dpo._trainer

    def spying(*args: Any) -> Any:
        trainer = original(*args)
        collate = trainer.data_collator

        def recorded(rows: list[dict[str, list[int]]]) -> Any:
            batch = collate(rows)
            for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
                seen.append(tuple(ids[mask.bool()].tolist()))
            return batch

        trainer.data_collator = recorded
        return trainer

    monkeypatch.setattr(dpo, "_trainer", spying)
    trained = train_dpo(backbone_folder, pairs, settings, tmp_path, seed=0)
    wanted = [(*p.prompt, *side) for p in pairs for side in (p.chosen, p.rejected)]
    assert sorted(seen) == sorted(tuple(row) for row in wanted * settings.epochs)
    assert (trained.steps, len(trained.metrics)) == (4, 4)


def test_what_is_chosen_becomes_likelier(
    backbone_folder: Path, pairs: list[TokenPair], adapters: list[TrainedAdapter]
) -> None:
    backbone = Backbone.load(backbone_folder).lm
    before = [both(backbone, pair) for pair in pairs]
    with without_renaming_notices():
        trained = PeftModel.from_pretrained(backbone, adapters[0].folder).eval()
    after = [both(trained, pair) for pair in pairs]
    for (chosen, rejected), (chosen_then, rejected_then) in zip(after, before, strict=True):
        assert chosen - rejected > chosen_then - rejected_then
    margins = [entry["rewards/margins"] for entry in adapters[0].metrics]
    assert margins[0] == 0
    assert margins[-1] > 0.05


def test_same_seed_same_bits(
    backbone_folder: Path,
    pairs: list[TokenPair],
    settings: DPOSettings,
    adapters: list[TrainedAdapter],
    tmp_path: Path,
) -> None:
    torch.rand(3)  # what was drawn before plays no part
    again = train_dpo(backbone_folder, pairs, settings, tmp_path, seed=1)
    one, two = adapters
    assert again.weights_hash == one.weights_hash
    assert one.weights_hash != two.weights_hash


def test_second_round_starts_from_an_adapter(
    backbone_folder: Path,
    pairs: list[TokenPair],
    settings: DPOSettings,
    adapters: list[TrainedAdapter],
    tmp_path: Path,
) -> None:
    """Its reference is the start, not the backbone; the start stays as it was; one adapter is written."""
    start = adapters[0].folder
    trainer = trainer_of(backbone_folder, pairs, settings, start, tmp_path / "look")
    disturb(trainer.model)
    with without_renaming_notices():
        reference = trainer.compute_ref_log_probs(trainer.model, one_batch(trainer))
        model = PeftModel.from_pretrained(Backbone.load(backbone_folder).lm, start).eval()
    for side, values in enumerate(reference):
        expected = [both(model, pair)[side] for pair in pairs]
        assert values.tolist() == pytest.approx(expected, abs=1e-4)

    second = train_dpo(backbone_folder, pairs, settings, tmp_path / "two", seed=1, start=start)
    assert second.metrics[0]["rewards/margins"] == pytest.approx(0, abs=1e-6)
    assert second.metrics[-1]["rewards/margins"] > 0
    assert second.weights_hash != adapters[0].weights_hash
    assert dpo.sha256_file(start / ADAPTER_WEIGHTS) == adapters[0].weights_hash
    assert not (second.folder / "ref").exists()
    written = load_file(second.folder / ADAPTER_WEIGHTS)
    assert written.keys() == load_file(start / ADAPTER_WEIGHTS).keys()
    third = train_dpo(
        backbone_folder, pairs, settings, tmp_path / "three", seed=1, start=second.folder
    )
    assert third.steps == second.steps


def test_start_of_another_backbone_or_of_none(
    backbone_folder: Path,
    pairs: list[TokenPair],
    settings: DPOSettings,
    adapters: list[TrainedAdapter],
    tmp_path: Path,
) -> None:
    strange = Path(shutil.copytree(adapters[0].folder, tmp_path / "strange"))
    (strange / BACKBONE_HASH_FILE).write_text("e" * 64)
    with pytest.raises(ConfigError, match="eeeeeeeeeeee"):
        train_dpo(backbone_folder, pairs, settings, tmp_path / "out", seed=0, start=strange)
    with pytest.raises(NotFound, match="nowhere"):
        train_dpo(
            backbone_folder, pairs, settings, tmp_path / "out", seed=0, start=tmp_path / "nowhere"
        )
    assert not (tmp_path / "out").exists()


def test_bad_pairs(
    backbone_folder: Path, pairs: list[TokenPair], settings: DPOSettings, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="preference set is empty"):
        train_dpo(backbone_folder, [], settings, tmp_path, seed=0)
    same = TokenPair([4], [40, 60, 1], [40, 60, 1])
    with pytest.raises(ConfigError, match="pair 6 has the same tokens"):
        train_dpo(backbone_folder, [*pairs, same], settings, tmp_path, seed=0)


def test_a_loss_that_is_not_finite_is_an_error(
    backbone_folder: Path, pairs: list[TokenPair], tmp_path: Path
) -> None:
    """Nothing is written that could be taken for an adapter."""
    wild = DPOSettings(learning_rate=1e30, epochs=2, batch_size=4, warmup_share=0.0)
    with pytest.raises(WorkError, match="lower the learning rate"):
        train_dpo(backbone_folder, pairs, wild, tmp_path, seed=0)
    assert not (tmp_path / ADAPTER_WEIGHTS).exists()


def test_silent_and_steps_are_reported(
    backbone_folder: Path,
    pairs: list[TokenPair],
    settings: DPOSettings,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Nothing on stdout; warnings are errors in every test. Six pairs by four, twice: four steps."""
    steps: list[tuple[int, int]] = []
    train_dpo(
        backbone_folder,
        pairs,
        settings,
        tmp_path,
        seed=0,
        on_step=lambda done, total: steps.append((done, total)),
    )
    assert capfd.readouterr().out == ""
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_settings_refuse_what_makes_no_sense() -> None:
    for wrong in ({"beta": 0}, {"epochs": 0}, {"warmup_share": 1}, {"betta": 0.1}):
        with pytest.raises(ValueError):
            DPOSettings.model_validate(wrong)


def test_no_loss_covers_what_a_completion_carries(backbone_folder: Path, tmp_path: Path) -> None:
    """Ids 9 and 10 are characters: prompt, carried ids and padding are out of the mask, the rest is in."""
    pairs = [TokenPair([4, 6, 9, 7], [9, 40, 60, 10, 1], [9, 41, 1])]
    trainer = trainer_of(backbone_folder, pairs, DPOSettings(), None, tmp_path, carried=(9, 10))
    batch = one_batch(trainer)
    assert batch["completion_mask"].tolist() == [
        [0, 0, 0, 0, 0, 1, 1, 0, 1],
        [0, 0, 0, 0, 0, 1, 1, 0, 0],
    ]


@pytest.mark.parametrize("kind", ["sigmoid", "sigmoid_norm", "ipo"])
@pytest.mark.parametrize("sft", [0.0, 0.7])
def test_the_loss_is_trls(
    kind: Any, sft: float, backbone_folder: Path, pairs: list[TokenPair], tmp_path: Path
) -> None:
    """The same batch through TRL's own `_compute_loss`, which knows neither margins nor weights."""
    from trl import DPOTrainer

    settings = DPOSettings(loss=kind, sft_weight=sft)
    trainer = trainer_of(backbone_folder, pairs, settings, None, tmp_path)
    disturb(trainer.model)
    trainer.model.train()
    trainer.loss_types, trainer.loss_weights = [kind, "sft"], [1.0, sft]
    batch = one_batch(trainer)
    theirs = {k: v for k, v in batch.items() if k not in ("margins", "weights")}
    with without_renaming_notices():
        mine = trainer._compute_loss(trainer.model, batch, False)
        wanted = DPOTrainer._compute_loss(trainer, trainer.model, theirs, False)
    assert mine.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_preference_losses_by_hand() -> None:
    """beta 0.5. Pair one: 4 over 2 tokens against 0 over 4; pair two: 0 over 2 against 2 over 1.

    sigmoid: beta times the margins is 2 and -1; -ln sigmoid is 0.126928 and 1.313262, mean 0.720095. With weights
    3 and 1 (3 * 0.126928 + 1.313262) / 4 = 0.423511; with an offset of 1 on the first, sigmoid(1): 0.313262, mean
    0.813262. By the token margins are 2 and -2: sigmoid_norm 0.313262 and 1.313262, mean 0.813262; ipo (2 - 1)^2
    and (-2 - 1)^2, mean 5.
    """
    chosen, rejected = torch.tensor([4.0, 0.0]), torch.tensor([0.0, 2.0])
    lengths = torch.tensor([2, 2]), torch.tensor([4, 1])
    none, even = torch.zeros(2), torch.ones(2)

    def loss(kind: Any, offsets: torch.Tensor = none, weights: torch.Tensor = even) -> float:
        return preference_loss(chosen, rejected, lengths, kind, 0.5, offsets, weights).item()

    assert loss("sigmoid") == pytest.approx(0.720095, abs=1e-6)
    assert loss("sigmoid", weights=torch.tensor([3.0, 1.0])) == pytest.approx(0.423511, abs=1e-6)
    assert loss("sigmoid", torch.tensor([1.0, 0.0])) == pytest.approx(0.813262, abs=1e-6)
    assert loss("sigmoid_norm") == pytest.approx(0.813262, abs=1e-6)
    assert loss("ipo") == pytest.approx(5.0)


def test_margins_and_confidence_reach_the_loss(
    backbone_folder: Path, pairs: list[TokenPair], tmp_path: Path
) -> None:
    """At the start every margin of the policy is 0: an offset of 0.5 * 2 makes the loss -ln sigmoid(-1) = 1.313262
    for the pair that has it. Weights count when they are asked for."""
    marked = [
        replace(pair, margin=2.0 * (i == 0), weight=3.0 if i == 0 else 1.0)
        for i, pair in enumerate(pairs)
    ]
    ln2, worse, n = math.log(2), 1.313262, len(pairs)
    for weighed, wanted in (
        (False, (worse + (n - 1) * ln2) / n),
        (True, (3 * worse + (n - 1) * ln2) / (n + 2)),
    ):
        settings = DPOSettings(margin_scale=0.5, confidence_weights=weighed, sft_weight=0.0)
        trainer = trainer_of(backbone_folder, marked, settings, None, tmp_path / str(weighed))
        loss, _ = loss_and_metrics(trainer)
        assert loss.item() == pytest.approx(wanted, abs=1e-5)
    with pytest.raises(ConfigError, match="pair 0 has weight 0"):
        train_dpo(backbone_folder, [replace(pairs[0], weight=0.0)], DPOSettings(), tmp_path, 0)


def test_pairs_about_what_was_heard(tmp_path: Path) -> None:
    """asr: both completions of a pair hear its own clip; another clip gives another loss."""
    folder = write_hearing_backbone(tmp_path / "hearing")
    backbone = Backbone.load(folder)
    tokens = backbone.tokens

    def pair(pitch: float) -> TokenPair:
        wave = np.sin(np.arange(6400) * pitch).astype(np.float32)
        features = backbone.features(wave)
        prompt = asr_prompt(tokens, backbone.embeddings(features))
        chosen, rejected = (asr_completion(tokens, text) for text in ("ab", "b a b"))
        return TokenPair(prompt, chosen, rejected, audio=(features,))

    def first_chosen(*given: TokenPair) -> float:
        trainer = trainer_of(folder, list(given), DPOSettings(), None, tmp_path / "look")
        return loss_and_metrics(trainer)[1]["logps/chosen"]

    low, high = pair(0.1), pair(0.4)
    alone = [first_chosen(low), first_chosen(high)]
    assert alone[0] != pytest.approx(alone[1], abs=1e-3)
    assert first_chosen(low, high) == pytest.approx(sum(alone) / 2, abs=1e-4)
    trained = train_dpo(folder, [low, high], DPOSettings(epochs=4, batch_size=2), tmp_path / "a", 0)
    assert trained.metrics[-1]["rewards/margins"] > 0


def test_the_reference_may_be_kept(
    backbone_folder: Path,
    pairs: list[TokenPair],
    settings: DPOSettings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One file for one reference and set of pairs; read again, not computed again; the training is the same but
    for rounding; a damaged file is named."""
    cache = tmp_path / "reference"

    def trained(name: str, given: list[TokenPair], kept: Path | None = cache) -> TrainedAdapter:
        return train_dpo(
            backbone_folder, given, settings, tmp_path / name, seed=1, reference_cache=kept
        )

    plain, first = trained("plain", pairs, None), trained("first", pairs)
    for one, other in zip(plain.metrics, first.metrics, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], abs=1e-4)
    (file,) = cache.iterdir()
    with monkeypatch.context() as patched:
        patched.setattr("trivox.policy.trainers.reference._computed", None)
        assert trained("again", pairs).weights_hash == first.weights_hash
    trained("fewer", pairs[:-1])
    assert len(list(cache.iterdir())) == 2
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ConfigError, match=r"cannot be read .* delete it"):
        trained("damaged", pairs)

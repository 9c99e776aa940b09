"""The backbone as a transformers model: merging, what trains and what does not, saving, encoders of others."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    LlamaConfig,
    PretrainedConfig,
    Qwen2AudioEncoderConfig,
    Qwen2Config,
    Qwen3ASREncoderConfig,
    Qwen3Config,
    Wav2Vec2Config,
    WhisperConfig,
)

from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.policy.backbone import without_renaming_notices
from trivox.policy.encoder.nano import NanoEncoderConfig
from trivox.policy.modeling import TrivoxConfig, TrivoxForCausalLM, default_dtype, embeddings_for
from trivox.policy.modeling.encoders import family_of
from trivox.policy.modeling.merging import clips_of_rows

AUDIO, PAD = 8, 0
SIZES = {
    "vocab_size": 48,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "initializer_range": 0.3,
    "pad_token_id": PAD,
    "eos_token_id": 1,
    "bos_token_id": None,
}
NANO = NanoEncoderConfig(hidden_size=16, layers=1, heads=2, feed_forward=32, dropout=0.5)
LAYERS = {"encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 32, "d_model": 16}
WHISPER = WhisperConfig(**LAYERS, num_mel_bins=8, max_source_positions=40, pad_token_id=0)
QWEN2_AUDIO = Qwen2AudioEncoderConfig(**LAYERS, num_mel_bins=8, max_source_positions=40)
QWEN3_ASR = Qwen3ASREncoderConfig(
    **LAYERS,
    num_mel_bins=16,
    n_window_infer=100,
    downsample_hidden_size=8,
    output_dim=24,
)
ENCODERS = {"nano": NANO, "whisper": WHISPER, "qwen2-audio": QWEN2_AUDIO, "qwen3-asr": QWEN3_ASR}


def backbone_of(
    text: PretrainedConfig | None = None, encoder: PretrainedConfig | None = NANO, **rest: Any
) -> TrivoxForCausalLM:
    torch.manual_seed(0)
    text = text or LlamaConfig(**SIZES, tie_word_embeddings=True)
    encoder = copy.deepcopy(encoder)  # a model writes into its configuration
    config = TrivoxConfig(text_config=text, encoder_config=encoder, audio_token_id=AUDIO, **rest)
    return TrivoxForCausalLM(config).eval()


def batch_of(model: TrivoxForCausalLM, side: str = "left") -> dict[str, Tensor]:
    """Three rows: two clips of 40 and 17 frames, none, and one of 25."""
    frames = [40, 17, 25]
    n = [embeddings_for(model.config, count) for count in frames]
    rows = [
        [3, *[AUDIO] * n[0], 12, *[AUDIO] * n[1], 6, 20, 21],
        [4, 6, 22, 23],
        [3, *[AUDIO] * n[2], 6, 24, 25],
    ]
    width = max(map(len, rows))
    gaps = [[PAD] * (width - len(row)) for row in rows]
    padded = [
        gap + row if side == "left" else row + gap for gap, row in zip(gaps, rows, strict=True)
    ]
    ids = torch.tensor(padded)
    mask = (ids != PAD).long()
    torch.manual_seed(1)
    bins = family_of(model.config.encoder_config).bins(model.config.encoder_config)
    features, heard = torch.randn(3, 40, bins), torch.zeros(3, 40, dtype=torch.long)
    for clip, count in enumerate(frames):
        heard[clip, :count] = 1
    features = features * heard[..., None]
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "position_ids": positions,
        "input_features": features,
        "feature_mask": heard,
    }


def rows_alone(model: TrivoxForCausalLM, batch: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Each row of the batch without padding, with its own clips."""
    alone, first = [], 0
    for row, clips in enumerate((2, 0, 1)):
        one = {"input_ids": batch["input_ids"][row][batch["attention_mask"][row].bool()][None]}
        if clips:
            heard = batch["feature_mask"][first : first + clips]
            longest = int(heard.sum(1).max())
            one["feature_mask"] = heard[:, :longest]
            one["input_features"] = batch["input_features"][first : first + clips, :longest]
        first += clips
        alone.append(one)
    return alone


def test_audio_stands_where_its_placeholders_were() -> None:
    """The language model gets clip after clip at the placeholders, and the embeddings of the tokens elsewhere."""
    model = backbone_of()
    batch = batch_of(model)
    clips = model.model.hear(batch["input_features"], batch["feature_mask"])
    assert [len(clip) for clip in clips] == [5, 3, 4]
    embedded = model.get_input_embeddings()(batch["input_ids"]).clone()
    embedded[batch["input_ids"] == AUDIO] = torch.cat(clips)
    merged = {name: batch[name] for name in ("attention_mask", "position_ids")}
    expected = model(inputs_embeds=embedded, **merged).logits
    assert torch.equal(model(**batch).logits, expected)
    without = model.get_input_embeddings()(batch["input_ids"])
    assert not torch.allclose(model(inputs_embeds=without, **merged).logits, expected)


@pytest.mark.parametrize(("encoder", "frames"), [(NANO, 5), (WHISPER, 9)])
def test_a_clip_is_stacked_frames_through_the_adapter(
    encoder: PretrainedConfig, frames: int
) -> None:
    """17 frames of features are 5 of nano's encoder, 9 of Whisper's: in twos, 0 where the next would be."""
    model, family = backbone_of(encoder=encoder), family_of(encoder)
    features = torch.randn(1, 17, family.bins(encoder))
    heard = family.run(model.model.encoder, features, torch.tensor([17]))[0, :frames]
    stacked = torch.cat([heard, torch.zeros(1, 16)]).reshape(-1, 32)
    (clip,) = model.model.hear(features)
    assert torch.allclose(clip, model.model.adapter(stacked), atol=1e-6)


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_neither_padding_nor_neighbours_matter(encoder: PretrainedConfig, side: str) -> None:
    model = backbone_of(encoder=encoder)
    batch = batch_of(model, side)
    together = model(**batch).logits
    for row, alone in enumerate(rows_alone(model, batch)):
        real = batch["attention_mask"][row].bool()
        assert torch.allclose(together[row][real], model(**alone).logits[0], atol=2e-4)


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
def test_one_count_of_embeddings_for_all(encoder: PretrainedConfig) -> None:
    """`embeddings_for` says what `hear` gives, for every length up to the encoder's limit."""
    model = backbone_of(encoder=encoder, adapter_stack=3)
    family = family_of(encoder)
    over = [99, 100, 101, 250] if family.longest(encoder) is None else []
    for frames in [*range(1, 40), 64, 79, 80, *over]:
        (clip,) = model.model.hear(torch.randn(1, frames, family.bins(encoder)))
        assert len(clip) == embeddings_for(model.config, frames) >= 1
        assert bool(clip.isfinite().all())


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(1, 1), (4, 1), (8, 1), (9, 2), (16, 2), (17, 3), (100, 13), (1000, 125)],
)
def test_embeddings_of_nano_by_hand(frames: int, expected: int) -> None:
    """100 frames a second, 12.5 embeddings: eight frames each, rounded up."""
    assert embeddings_for(backbone_of().config, frames) == expected


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 39, 40, 79, 80])
def test_frames_are_counted_as_their_makers_do(frames: int) -> None:
    from transformers.models.qwen2_audio.modeling_qwen2_audio import Qwen2AudioEncoder

    ours = family_of(QWEN2_AUDIO).frames(QWEN2_AUDIO, frames)
    theirs = Qwen2AudioEncoder(QWEN2_AUDIO)._get_feat_extract_output_lengths(frames)[1]
    assert ours == max(1, theirs)


def test_qwen2_audio_hears_as_in_its_own_model() -> None:
    """The frames of Qwen2-Audio's own forward, whose features are padded to the encoder's width with silence."""
    from transformers.masking_utils import create_bidirectional_mask

    model = backbone_of(encoder=QWEN2_AUDIO)
    features = torch.rand(1, 40, 8)
    silent = (features.max() - 2).expand(1, 40, 8)
    padded = torch.cat([features, silent], 1).transpose(1, 2)
    encoder = model.model.encoder
    assert encoder is not None
    heard = (torch.arange(40) < 20)[None].long()
    mask = create_bidirectional_mask(
        config=encoder.config, inputs_embeds=torch.zeros(1, 40, 16), attention_mask=heard
    )
    theirs = encoder(padded, attention_mask=mask).last_hidden_state[:, :10]
    ours = family_of(QWEN2_AUDIO).run(encoder, features, torch.tensor([40]))[:, :10]
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_base_model_and_head_are_the_forward() -> None:
    """What trainers with a fused head compute: base_model(...) times the head, audio and all."""
    model = backbone_of()
    batch = batch_of(model)
    hidden = model.base_model(**batch).last_hidden_state
    head = model.get_output_embeddings()
    assert torch.equal(hidden @ head.weight.T, model(**batch).logits)


def test_fused_head_of_trl_hears() -> None:
    """trl's own patch: its log-probs are those of the forward, and its gradient reaches the adapter."""
    from trl.trainer.utils import add_fused_lm_head

    model = backbone_of()
    batch = batch_of(model)
    logits = model(**batch).logits[:, :-1].log_softmax(-1)
    expected = logits.gather(2, batch["input_ids"][:, 1:, None])[..., 0]
    add_fused_lm_head(model)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    fused = model.train()(**batch, labels=labels, fused_lm_head=True)
    real = labels[:, 1:] != -100
    assert torch.allclose(fused.log_probs[real], expected[real], atol=1e-4)
    fused.loss.backward()
    assert float(model.model.adapter.weight.grad.abs().max()) > 0


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_reaches_what_is_meant_to_train(checkpointing: bool) -> None:
    """Adapter, language model and rows of tokens that occur; the encoder keeps its weights and its eval mode."""
    model = backbone_of(LlamaConfig(**SIZES, tie_word_embeddings=False)).train()
    if checkpointing:
        model.activation_checkpointing_enable()
    batch = batch_of(model)
    encoder = model.model.encoder
    assert encoder is not None and not any(part.training for part in encoder.modules())
    before = {name: weight.clone() for name, weight in encoder.named_parameters()}
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.1)
    model(**batch, labels=batch["input_ids"]).loss.backward()
    for name, weight in model.named_parameters():
        trains = "encoder" not in name
        assert weight.requires_grad == trains, name
        assert (weight.grad is not None and float(weight.grad.abs().max()) > 0) == trains, name
    rows = model.get_input_embeddings().weight.grad.abs().sum(1) > 0
    used = set(batch["input_ids"][:, :-1].flatten().tolist()) - {AUDIO, PAD}
    assert set(rows.nonzero().flatten().tolist()) - {PAD} == used
    optimiser.step()
    assert all(torch.equal(before[name], now) for name, now in encoder.named_parameters())


def test_checkpointing_changes_no_gradient() -> None:
    found = []
    for checkpointing in (False, True):
        model = backbone_of().train()
        if checkpointing:
            model.activation_checkpointing_enable()
        batch = batch_of(model)
        model(**batch, labels=batch["input_ids"]).loss.backward()
        found.append(model.model.adapter.weight.grad)
    assert torch.allclose(found[0], found[1], atol=1e-6)


def test_the_encoder_stays_frozen_whatever_is_asked() -> None:
    model = backbone_of()
    batch = batch_of(model)
    expected = model(**batch).logits
    model.requires_grad_(True).train()
    assert not any(weight.requires_grad for weight in model.model.encoder.parameters())
    assert torch.equal(model(**batch).logits, expected)  # its dropout of 0.5 does not act


def test_loss_is_of_the_labels_alone() -> None:
    """Mean of -log p(next) where the label is not -100."""
    model = backbone_of()
    batch = batch_of(model)
    labels = torch.full_like(batch["input_ids"], -100)
    labels[:, -2:] = batch["input_ids"][:, -2:]
    logprobs = model(**batch).logits[:, -3:-1].log_softmax(-1)
    expected = -logprobs.gather(2, labels[:, -2:, None]).mean()
    assert torch.allclose(model(**batch, labels=labels).loss, expected, atol=1e-5)


def test_lora_leaves_the_encoder_alone() -> None:
    """peft's wrapper: gradient in each LoRA matrix B and nowhere else, adapter off is the backbone bit for bit."""
    model = backbone_of()
    batch = batch_of(model)
    expected = model(**batch).logits
    lora = LoraConfig(
        r=2, target_modules="all-linear", exclude_modules=r".*\.encoder\..*", task_type="CAUSAL_LM"
    )
    with without_renaming_notices():
        wrapped = get_peft_model(model, lora).train()
    wrapped(**batch, labels=batch["input_ids"]).loss.backward()
    trained = {n for n, w in wrapped.named_parameters() if w.grad is not None and w.grad.any()}
    wanted = {n for n, w in wrapped.named_parameters() if w.requires_grad and "lora_B" in n}
    assert trained == wanted
    assert any("adapter" in name for name in trained)
    assert not any(".encoder." in name for name in wanted)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    assert not torch.allclose(wrapped(**batch).logits, expected, atol=1e-3)
    with wrapped.disable_adapter():
        assert torch.equal(wrapped(**batch).logits, expected)


@pytest.mark.parametrize("encoder", ENCODERS.values(), ids=ENCODERS)
@pytest.mark.parametrize("tied", [True, False])
def test_saved_and_loaded_it_says_the_same(
    encoder: PretrainedConfig, tied: bool, tmp_path: Path
) -> None:
    model = backbone_of(LlamaConfig(**SIZES, tie_word_embeddings=tied), encoder, adapter_stack=4)
    model.save_pretrained(tmp_path)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, TrivoxForCausalLM) and loaded.hears
    kept = model.state_dict()
    assert loaded.state_dict().keys() == kept.keys()
    assert all(torch.equal(kept[name], weight) for name, weight in loaded.state_dict().items())
    assert (loaded.lm_head.weight is loaded.get_input_embeddings().weight) == tied
    assert not any(weight.requires_grad for weight in loaded.model.encoder.parameters())
    batch, how = batch_of(model), {"do_sample": False, "max_new_tokens": 8}
    assert torch.equal(model(**batch).logits, loaded(**batch).logits)
    assert torch.equal(model.generate(**batch, **how), loaded.generate(**batch, **how))


def test_without_encoder(tmp_path: Path) -> None:
    """tts needs none: fewer parameters, the same words, and audio is refused."""
    model = backbone_of()
    model.save_pretrained(tmp_path / "whole")
    deaf = TrivoxForCausalLM.from_pretrained(tmp_path / "whole", encoder=False)
    assert not deaf.hears and deaf.config.encoder_config is None
    assert not any("encoder" in name or "adapter" in name for name in deaf.state_dict())
    batch = batch_of(model)
    ids = torch.tensor([[4, 6, 22, 23]])
    assert torch.equal(deaf(ids).logits, model(ids).logits)
    with pytest.raises(ConfigError, match="no audio encoder"):
        deaf(**batch)
    with pytest.raises(ConfigError, match="12 audio placeholders.*load it with its encoder"):
        deaf(batch["input_ids"])
    deaf.save_pretrained(tmp_path / "deaf")
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "deaf")
    assert not again.hears and torch.equal(again(ids).logits, deaf(ids).logits)


@pytest.mark.parametrize("text", [LlamaConfig, Qwen2Config, Qwen3Config])
@pytest.mark.parametrize("cached", [True, False])
def test_language_models_of_many_makers(text: Any, cached: bool) -> None:
    """Greedy tokens are those of repeated full passes, with a cache and without."""
    sizes = SIZES | ({"head_dim": 16} if text is Qwen3Config else {})
    model = backbone_of(text(**sizes, tie_word_embeddings=False))
    one = rows_alone(model, batch_of(model))[0]
    said = model.generate(
        **one,
        attention_mask=torch.ones_like(one["input_ids"]),
        do_sample=False,
        max_new_tokens=6,
        use_cache=cached,
        suppress_tokens=[AUDIO, 1],
    )
    for step in range(6):
        ids = said[:, : one["input_ids"].shape[1] + step]
        scores = model(**(one | {"input_ids": ids})).logits[0, -1].clone()
        scores[[AUDIO, 1]] = -torch.inf
        assert int(scores.argmax()) == int(said[0, ids.shape[1]])


def test_a_later_turn_of_audio_joins_the_cache() -> None:
    """The first clip's row prefix, then the rest with the second clip: as in one pass."""
    model = backbone_of()
    batch = batch_of(model)
    one = rows_alone(model, batch)[0]
    whole = model(**one).logits
    heard, ids = one["feature_mask"], one["input_ids"]
    first = model(ids[:, :6], input_features=one["input_features"][:1], use_cache=True)
    second = model(
        ids[:, 6:],
        input_features=one["input_features"][1:],
        feature_mask=heard[1:],
        past_key_values=first.past_key_values,
        use_cache=True,
    )
    assert torch.allclose(torch.cat([first.logits, second.logits], 1), whole, atol=1e-4)


def test_several_completions_repeat_a_row_with_all_its_clips() -> None:
    """Two clips of one length in a row: repeated one by one they would change places."""
    model = backbone_of()
    torch.manual_seed(2)
    features = torch.randn(3, 16, 64) * torch.tensor([1.0, 3.0, 0.3])[:, None, None]
    ids = torch.tensor([[3, AUDIO, AUDIO, 12, AUDIO, AUDIO, 6], [0, 0, 0, 3, AUDIO, AUDIO, 6]])
    inputs = {"attention_mask": (ids != 0).long(), "input_features": features, "do_sample": False}
    one = model.generate(ids, **inputs, max_new_tokens=8)
    beams = model.generate(ids, **inputs, max_new_tokens=8, num_beams=2, num_return_sequences=2)
    repeated = torch.tensor([[0, 1, 0, 1, 2, 2]])[0]
    rows = model.generate(
        ids.repeat_interleave(2, 0),
        attention_mask=inputs["attention_mask"].repeat_interleave(2, 0),
        input_features=features[repeated],
        do_sample=False,
        max_new_tokens=8,
    )
    assert torch.equal(rows[::2], one)
    order = model._clip_order(ids, torch.full((3,), 16), 2)
    assert order == repeated.tolist()
    assert beams.shape[0] == 4


def test_compose_keeps_the_weights_of_both() -> None:
    """The LM says the same as before, and audio embeddings are as large as those of tokens."""
    torch.manual_seed(3)
    lm = AutoModelForCausalLM.from_config(Qwen2Config(**SIZES, tie_word_embeddings=True)).eval()
    encoder = family_of(WHISPER).build(WHISPER)
    model = TrivoxForCausalLM.compose(lm, encoder, AUDIO, adapter_stack=4).eval()
    ids = torch.tensor([[4, 6, 22, 23]])
    assert torch.equal(model(ids).logits, lm(ids).logits)
    ours = model.model.encoder.state_dict()
    assert all(torch.equal(ours[name], weight) for name, weight in encoder.state_dict().items())
    (clip,) = model.model.hear(torch.rand(1, 80, 8))
    rows = lm.get_input_embeddings().weight
    assert 0.5 < float((clip.std() / rows.std()).detach()) < 2


REFUSED = [
    (LlamaConfig, Wav2Vec2Config(), "audio encoder 'wav2vec2'.*whisper"),
    (Gemma2Config, NANO, "gemma2 has final_logit_softcapping 30"),
]


@pytest.mark.parametrize(("text", "encoder", "message"), REFUSED)
def test_what_it_cannot_be_made_of(text: Any, encoder: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        backbone_of(text(**SIZES), encoder)


def test_refusals() -> None:
    """Every mismatch of text and audio is named with both numbers."""
    model = backbone_of()
    batch = batch_of(model)
    ids, features, heard = (batch[n] for n in ("input_ids", "input_features", "feature_mask"))
    with pytest.raises(
        ConfigError, match="12 audio placeholders and audio for 0.*give its features"
    ):
        model(ids)
    with pytest.raises(ConfigError, match=r"row 2 has 4 audio placeholders and its clips make 0"):
        model(ids, input_features=features[:2], feature_mask=heard[:2])
    with pytest.raises(ConfigError, match=r"row 0 has 7 .* make 8 embeddings \(5 \+ 3\)"):
        model(ids[:, 2:], input_features=features, feature_mask=heard)
    with pytest.raises(ConfigError, match="8 audio placeholders and the 3 clips make 12"):
        model(ids[:2], input_features=features, feature_mask=heard)
    with pytest.raises(ConfigError, match="63 bins a frame and the encoder reads 64"):
        model(ids, input_features=features[..., 1:], feature_mask=heard)
    with pytest.raises(BrokenAudio, match="a clip has 0 feature frames"):
        model(ids, input_features=features, feature_mask=heard * 0)
    with pytest.raises(ConfigError, match="inputs_embeds and input_features"):
        model(inputs_embeds=torch.zeros(1, 2, 32), input_features=features)
    with pytest.raises(BrokenAudio, match="81 feature frames and encoder whisper hears 80"):
        embeddings_for(backbone_of(encoder=WHISPER).config, 81)
    with pytest.raises(ConfigError, match="adapter_stack is 0"):
        backbone_of(adapter_stack=0)


@pytest.mark.parametrize(
    ("placeholders", "embeddings", "expected"),
    [
        ([5, 0, 4], [2, 3, 4], [2, 0, 1]),
        ([0, 0], [], [0, 0]),
        ([3], [1, 1, 1], [3]),
        ([2, 4], [3, 3], None),  # as many in all, but the first clip would run into the second row
        ([3, 3], [3], None),
        ([3], [3, 1], None),
    ],
)
def test_clips_of_rows(
    placeholders: list[int], embeddings: list[int], expected: list[int] | None
) -> None:
    if expected is None:
        with pytest.raises(ConfigError):
            clips_of_rows(placeholders, embeddings)
    else:
        assert clips_of_rows(placeholders, embeddings) == expected


def test_default_dtype() -> None:
    expected = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    assert default_dtype() == expected


def test_bfloat16_runs() -> None:
    model = backbone_of().to(torch.bfloat16)
    logits = model(**batch_of(model)).logits
    assert logits.dtype == torch.bfloat16 and bool(logits.isfinite().all())

"""A backbone put together from parts says nothing of the machine that it was made on."""

from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

from trivox.policy.encoder.nano import NanoEncoder, NanoEncoderConfig
from trivox.policy.modeling import TrivoxForCausalLM


def test_the_encoders_folder_is_not_in_what_is_saved(tmp_path: Path) -> None:
    small = NanoEncoderConfig(hidden_size=8, layers=1, heads=2, feed_forward=16)
    NanoEncoder(small).save_pretrained(tmp_path / "encoder")
    encoder = NanoEncoder.from_pretrained(tmp_path / "encoder")
    lm = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=32,
            hidden_size=8,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
        )
    )
    TrivoxForCausalLM.compose(lm, encoder, audio_token_id=3).save_pretrained(tmp_path / "made")
    assert str(tmp_path) not in (tmp_path / "made" / "config.json").read_text()
    assert encoder.config.name_or_path == str(tmp_path / "encoder")

"""Codecs of transformers' real classes with random weights, small enough for tests."""

from typing import Any

import torch


def tiny_mimi(seed: int = 0) -> Any:
    """24 kHz, 12.5 Hz as the real one, 4 codebooks of 16; attention over 8 frames of 25 Hz in 2 layers."""
    from transformers import MimiConfig, MimiModel

    torch.manual_seed(seed)
    config = MimiConfig(
        hidden_size=16,
        num_filters=4,
        codebook_size=16,
        codebook_dim=8,
        vector_quantization_hidden_dimension=8,
        num_quantizers=4,
        upsample_groups=16,
        num_hidden_layers=2,
        intermediate_size=32,
        num_attention_heads=2,
        num_key_value_heads=2,
        sliding_window=8,
    )
    return randomised(MimiModel(config))


def tiny_encodec(**changed: Any) -> Any:
    """24 kHz, 75 Hz, codebooks of 16 (4 bits): 8 of them at 2.4 kbit/s."""
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    settings = {
        "target_bandwidths": [0.6, 2.4],
        "hidden_size": 16,
        "num_filters": 4,
        "codebook_size": 16,
    }
    model = randomised(EncodecModel(EncodecConfig(**(settings | changed))))
    if not changed:
        with torch.no_grad():  # entries where the untrained encoder is, so that it uses them
            frames = model.encoder(torch.randn(1, 1, 16 * 320))[0].T
            model.quantizer.layers[0].codebook.embed.copy_(frames)
    return model


def tiny_dac(rate: int = 16_000, ratios: tuple[int, ...] = (2, 4, 5, 8)) -> Any:
    """hop 320 with the odd stride of the real 24 kHz one, 3 codebooks of 16."""
    from transformers import DacConfig, DacModel

    torch.manual_seed(0)
    config = DacConfig(
        encoder_hidden_size=4,
        decoder_hidden_size=32,
        downsampling_ratios=list(ratios),
        n_codebooks=3,
        codebook_size=16,
        codebook_dim=4,
        sampling_rate=rate,
    )
    return randomised(DacModel(config))


def tiny_single(name: str = "NeuCodec") -> Any:
    """NeuCodec or Xcodec2: one codebook of 4 * 4 at 50 Hz; heard at 16 kHz, spoken at 24 or 16 kHz."""
    import transformers

    torch.manual_seed(0)
    semantic = {
        "model_type": "wav2vec2-bert",
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
    }
    config = getattr(transformers, f"{name}Config")(
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=32,
        encoder_hidden_size=4,
        quantization_dim=80,
        quantization_levels=[4, 4],
        semantic_model_config=semantic,
    )
    model = randomised(getattr(transformers, f"{name}Model")(config))
    with torch.no_grad():  # entries where the untrained encoder is, so that it uses them
        heard = list[torch.Tensor]()
        hook = model.quantizer.project_in.register_forward_hook(lambda *call: heard.append(call[2]))
        model.encode(torch.randn(1, 1, 50 * 320), input_features=torch.randn(1, 50, 160))
        hook.remove()
        spread = heard[0][0].std(0)
        model.quantizer.project_in.bias -= heard[0][0].mean(0)
        model.quantizer.project_in.weight.div_(spread[:, None])
        model.quantizer.project_in.bias.div_(spread)
    return model


def randomised(model: Any) -> Any:
    """Codebooks begin as zeros: entries apart."""
    for name, tensor in model.named_buffers():
        if name.rpartition(".")[2] in ("embed", "embed_sum"):
            tensor.normal_(std=0.1)
    return model.eval()

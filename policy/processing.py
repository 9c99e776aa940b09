"""Text and sound, as people have them, to what the backbone reads."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from transformers import (
    AutoFeatureExtractor,
    AutoProcessor,
    BatchFeature,
    ProcessorMixin,
    SequenceFeatureExtractor,
)

from trivox.platform.errors import BrokenAudio, ConfigError
from trivox.policy.encoder.features import MEL_BINS, SAMPLE_RATE, log_mel, without_edges
from trivox.policy.encoder.nano import NanoEncoderConfig
from trivox.policy.modeling import TrivoxConfig, embeddings_for
from trivox.policy.rows import pad_features

AUDIO_MARK = "<|audio|>"
Float = npt.NDArray[np.float32]


class NanoFeatureExtractor(SequenceFeatureExtractor):
    """`log_mel` as transformers calls it.

    edge: frames of silence, of 10 ms, that are left at either end of a clip, as a model knows them from its
    training; None leaves all.
    """

    model_input_names = ["input_features", "feature_mask"]

    def __init__(
        self,
        feature_size: int = MEL_BINS,
        sampling_rate: int = SAMPLE_RATE,
        padding_value: float = 0.0,
        edge: int | None = None,
        **rest: Any,
    ) -> None:
        super().__init__(feature_size, sampling_rate, padding_value, **rest)
        self.edge = edge

    def __call__(
        self,
        raw_speech: Float | Sequence[Float],
        sampling_rate: int | None = None,
        return_tensors: str | None = None,
        **_: Any,
    ) -> BatchFeature:
        """Clips float32 [n] -> input_features [A, T, 64] and feature_mask [A, T]; raises as `features_of`."""
        clips = [raw_speech] if isinstance(raw_speech, np.ndarray) else list(raw_speech)
        padded = pad_features([features_of(self, clip, sampling_rate) for clip in clips])
        if return_tensors == "pt":
            return BatchFeature(padded)
        return BatchFeature({name: value.numpy() for name, value in padded.items()})


def features_of(extractor: Any, samples: Float, rate: int | None = None) -> Float:
    """float32 [n] at the extractor's rate -> float32 [T, F], as many frames as the sound is long, rounded up;
    without the silence at its ends that the extractor says to leave out.

    extractor: of nano, or one of transformers that gives log-mel frames (Whisper's, which Qwen2-Audio uses too,
    Qwen3-ASR's). Raises ConfigError for another rate; BrokenAudio for no samples, several channels or what is
    not finite.
    """
    if rate is not None and rate != extractor.sampling_rate:
        raise ConfigError(
            f"audio at {rate} Hz and a feature extractor for {extractor.sampling_rate} Hz: resample the audio"
        )
    samples = np.asarray(samples, np.float32)
    if samples.ndim != 1 or not len(samples):
        raise BrokenAudio(
            f"audio has the shape {samples.shape}: give one channel, at least 1 sample"
        )
    if not np.isfinite(samples).all():
        raise BrokenAudio("audio has samples that are not finite: repair or drop it")
    if not isinstance(extractor, NanoFeatureExtractor):
        return _mel_of(extractor, samples)
    mel = log_mel(samples)
    return mel if extractor.edge is None else without_edges(mel, extractor.edge)


def _mel_of(extractor: Any, samples: Float) -> Float:
    """Silence goes behind the sound, as in the padded clips these encoders were trained on, and is cut off."""
    frames = -(-len(samples) // extractor.hop_length)
    padded = np.pad(
        samples, (0, frames * extractor.hop_length - len(samples) + 2 * extractor.n_fft)
    )
    found = extractor(
        padded,
        sampling_rate=extractor.sampling_rate,
        padding="longest",
        truncation=False,
        return_attention_mask=True,
        return_tensors="np",
    )["input_features"][0]
    mel: Float = np.ascontiguousarray(found.T[:frames], np.float32)
    return mel


class TrivoxProcessor(ProcessorMixin):
    """Tokenizer and feature extractor together; each `<|audio|>` of a text becomes a placeholder for each
    embedding of its clip.

    encoder_config: that of the backbone, as `to_dict` gives it, None for one that does not hear.
    """

    def __init__(
        self,
        feature_extractor: Any = None,
        tokenizer: Any = None,
        encoder_config: dict[str, Any] | None = None,
        adapter_stack: int = 2,
        **rest: Any,
    ) -> None:
        self.encoder_config, self.adapter_stack = encoder_config, adapter_stack
        self.backbone_config = TrivoxConfig(
            encoder_config=encoder_config, adapter_stack=adapter_stack
        )
        super().__init__(feature_extractor, tokenizer, **rest)  # type: ignore[no-untyped-call]  # untyped in transformers

    @classmethod
    def of(cls, config: TrivoxConfig, feature_extractor: Any, tokenizer: Any) -> "TrivoxProcessor":
        """The processor of a backbone."""
        encoder = None if config.encoder_config is None else config.encoder_config.to_diff_dict()
        return cls(feature_extractor, tokenizer, encoder, config.adapter_stack)

    def __call__(
        self,
        text: str | Sequence[str],
        audio: Float | Sequence[Float] | None = None,
        sampling_rate: int | None = None,
        padding_side: Literal["left", "right"] = "left",
        **_: Any,
    ) -> BatchFeature:
        """Texts with one `<|audio|>` for each clip, clips float32 [n] in the order of their marks -> input_ids and
        attention_mask [B, L], and with clips input_features [A, T, F] and feature_mask [A, T].

        Raises ConfigError for marks and clips that are not as many, else as `features_of` and `embeddings_for`.
        """
        texts = [text] if isinstance(text, str) else list(text)
        waves = [] if audio is None else [audio] if isinstance(audio, np.ndarray) else list(audio)
        clips = [features_of(self.feature_extractor, wave, sampling_rate) for wave in waves]
        expanded = self._expanded(texts, [len(clip) for clip in clips])
        ids = self.tokenizer(
            expanded,
            add_special_tokens=False,
            padding=True,
            padding_side=padding_side,
            return_tensors="pt",
        )
        named = {name: ids[name] for name in ("input_ids", "attention_mask")}
        return BatchFeature(named | pad_features(clips))

    def _expanded(self, texts: list[str], frames: list[int]) -> list[str]:
        marks = sum(text.count(AUDIO_MARK) for text in texts)
        if marks != len(frames):
            raise ConfigError(
                f"the texts have {marks} {AUDIO_MARK} marks and {len(frames)} clips are given: "
                "write one mark for each clip"
            )
        left = iter(frames)
        return ["".join(self._with_placeholders(text, left)) for text in texts]

    def _with_placeholders(self, text: str, frames: Any) -> list[str]:
        first, *others = text.split(AUDIO_MARK)
        pieces = [first]
        for piece in others:
            pieces += [AUDIO_MARK * embeddings_for(self.backbone_config, next(frames)), piece]
        return pieces


AutoFeatureExtractor.register(NanoEncoderConfig, NanoFeatureExtractor)
AutoProcessor.register(TrivoxConfig, TrivoxProcessor)

"""Which codec frames belong to which word, for speech that carries its words."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from trivox.pipelines.nano.align import word_frames
from trivox.pipelines.nano.train_encoder import LETTERS, LETTERS_FILE, Speller
from trivox.platform.audio.io import resample
from trivox.policy.backbone import Backbone
from trivox.policy.encoder.nano import NanoEncoder
from trivox.policy.modeling import TrivoxForCausalLM

Wave = npt.NDArray[np.float32]


class Aligner(Protocol):
    """Finds words in a recording of them. approximate: how many recordings it could only guess, so far."""

    @property
    def name(self) -> str: ...

    @property
    def approximate(self) -> int: ...

    def shares(self, samples: Wave, rate: int, words: Sequence[str]) -> list[float]:
        """samples float32 [n] at rate Hz, words as spoken -> how much of the time each takes, 1 in all."""
        ...


class ByLetters:
    """Time in proportion to the letters of each word and the space before it: where nothing can listen."""

    name = "letters in proportion"

    def __init__(self) -> None:
        self.approximate = 0

    def shares(self, samples: Wave, rate: int, words: Sequence[str]) -> list[float]:
        self.approximate += 1
        return proportional(words)


class ByHearing:
    """Forced alignment with the letters that nano's encoder hears; what is too fast to be spelled, or written in
    other letters, goes by their number."""

    name = "forced alignment"

    def __init__(self, backbone: Backbone, encoder: NanoEncoder, head: Path) -> None:
        self.approximate = 0
        self._backbone = backbone
        self._speller = Speller(encoder)
        self._speller.head.load_state_dict(load_file(head))
        self._speller.head.to(encoder.device)
        self._speller.eval()

    def shares(self, samples: Wave, rate: int, words: Sequence[str]) -> list[float]:
        text = " ".join(words)
        try:
            if not set(text) <= set(LETTERS):
                raise ValueError(f"{text!r} has other letters")
            counts = word_frames(self._logprobs(samples, rate), text)
        except ValueError:
            self.approximate += 1
            return proportional(words)
        return [count / sum(counts) for count in counts]

    @torch.no_grad()
    def _logprobs(self, samples: Wave, rate: int) -> npt.NDArray[np.float32]:
        heard = resample(samples, rate, self._backbone.hearing_rate)
        features = torch.from_numpy(self._backbone.features(heard))[None]
        encoder = self._speller.encoder
        features = features.to(encoder.device, encoder.dtype)
        mask = torch.ones(features.shape[:2], dtype=torch.long, device=features.device)
        hidden = encoder(features, mask).last_hidden_state.float()
        found: npt.NDArray[np.float32] = self._speller.head(hidden)[0].log_softmax(-1).cpu().numpy()
        return found


def aligner_for(backbone: Backbone) -> Aligner:
    """The best one that the backbone allows."""
    head = backbone.folder / LETTERS_FILE
    encoder = backbone.lm.model.encoder if isinstance(backbone.lm, TrivoxForCausalLM) else None
    if isinstance(encoder, NanoEncoder) and head.exists():
        return ByHearing(backbone, encoder, head)
    return ByLetters()


def proportional(words: Sequence[str]) -> list[float]:
    """By the letters of each word and the space before it."""
    lengths = [len(word) + 1 for word in words]
    return [length / sum(lengths) for length in lengths]


def frames_of(shares: Sequence[float], frames: int) -> list[int]:
    """Whole frames for each share, `frames` in all, each at least 1; raises ValueError for too few frames."""
    if len(shares) > frames:
        raise ValueError(f"{frames} frames are too few for {len(shares)} words")
    edges = [0, *np.rint(np.cumsum(shares) * frames).astype(int).tolist()]
    edges[-1] = frames
    for index in range(1, len(edges)):
        edges[index] = max(edges[index], edges[index - 1] + 1)
    for index in reversed(range(len(edges))):
        edges[index] = min(edges[index], frames - (len(edges) - 1 - index))
    return [cast(int, end - begin) for begin, end in zip(edges, edges[1:], strict=False)]

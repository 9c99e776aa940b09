"""Predicted mean opinion scores: DistillMOS for naturalness, DNSMOS for noise and degradation."""

import importlib.machinery
import importlib.util
import sys
import types
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from trivox.platform.hashing import sha256_files
from trivox.platform.records import Direction
from trivox.platform.scoring import Item, ScorerInfo, Value
from trivox.reward_models import offline
from trivox.reward_models.acoustic.threads import one_thread
from trivox.reward_models.audio_checks import RATE, Samples, guarded, speech


class DistillMOS:
    """Naturalness 1..5, about 1 to 4.7 in practice (Stahl & Gamper 2025, distilled from XLS-R).

    Ranks some synthetic voices above people: cap it, and weigh it with intelligibility.
    """

    def __init__(self) -> None:
        weights = offline.located(offline.DISTILLMOS)
        offline.module_folder(*offline.DISTILLMOS_NETWORK)
        import torch

        with _torchaudio_stand_in():
            from distillmos import ConvTransformerSQAModel
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "enable_nested_tensor is True", UserWarning)
            self._model: Any = ConvTransformerSQAModel(load_weights=False).eval()
        state = torch.load(weights, map_location="cpu", weights_only=True)
        self._model.load_state_dict(state["model"])
        self.info = _info("distillmos", offline.DISTILLMOS.sha256, "naturalness")

    def score(self, items: Sequence[Item]) -> list[Value]:
        with one_thread():
            return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        import torch

        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        with torch.inference_mode():
            return Value(float(self._model(torch.from_numpy(samples)[None]).item()))


DNSMOS_WINDOW = int(9.01 * RATE)
"""Samples that the network hears at once."""


class DNSMOS:
    """Overall quality of DNSMOS P.835 (Reddy et al. 2022), 1..5; evidence: SIG, BAK and P.808.

    Hears noise well and naturalness hardly.
    """

    def __init__(self) -> None:
        primary, p808 = offline.located(offline.DNSMOS), offline.located(offline.DNSMOS_P808)
        from speechmos import dnsmos

        self._predict: Any = dnsmos.DNSMOS(str(primary), str(p808))
        self._predict.onnx_sess = _session(str(primary))
        self._predict.p808_onnx_sess = _session(str(p808))
        self.info = _info("dnsmos", sha256_files([primary, p808]), "quality")

    def score(self, items: Sequence[Item]) -> list[Value]:
        return [guarded(self._score_one, item) for item in items]

    def _score_one(self, item: Item) -> Value:
        samples = speech(item)
        if isinstance(samples, Value):
            return samples
        found = self._run(np.clip(_repeated(samples, DNSMOS_WINDOW), -1, 1))
        parts = [f"{name} {float(found[f'{name}_mos']):.3f}" for name in ("sig", "bak", "p808")]
        return Value(float(found["ovrl_mos"]), evidence=", ".join(parts))

    def _run(self, samples: Samples) -> dict[str, Any]:
        with warnings.catch_warnings():
            # 120 mel bands over 161 bins leave some bands empty; the model was trained that way.
            warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
            return dict(self._predict(samples, RATE, False))


def _repeated(samples: Samples, length: int) -> Samples:
    """samples, over and over up to length when they are shorter. The library doubles until that is passed,
    which gives a clip of 3 s three overlapping windows of the same sound, at three times the cost."""
    return samples if len(samples) >= length else np.resize(samples, length)


def _info(name: str, weights_hash: str, component: str) -> ScorerInfo:
    return ScorerInfo(
        name=name,
        version="1",
        weights_hash=weights_hash,
        family=name,
        component=component,
        unit="MOS",
        direction=Direction.HIGHER,
    )


def _session(path: str) -> Any:
    """An ONNX session on one CPU thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@contextmanager
def _torchaudio_stand_in() -> Iterator[None]:
    """distillmos imports torchaudio at its top and needs it for files only: an empty module while it loads."""
    if importlib.util.find_spec("torchaudio"):
        yield
        return
    module = types.ModuleType("torchaudio")
    module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    sys.modules["torchaudio"] = module
    try:
        yield
    finally:
        del sys.modules["torchaudio"]

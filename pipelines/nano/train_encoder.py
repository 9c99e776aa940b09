"""`trivox nano train --part encoder`: the audio encoder learns to spell (CTC, Graves et al. 2006)."""

import math
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from trivox.pipelines.nano.checkpoint import resume, save_checkpoint
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.platform.progress import bar, progress
from trivox.policy.encoder.features import MEL_BINS, raw_mel, scaled
from trivox.policy.encoder.nano import SUBSAMPLING, NanoEncoder, NanoEncoderConfig

LETTERS = " abcdefghijklmnopqrstuvwxyz'"
BLANK = 0
"""Class of no letter; a letter has its place in LETTERS, plus one."""
MELS_FILE = "mels.npy"
LETTERS_FILE = "letters.safetensors"
"""The head of the trained encoder: which letter a frame spells. Forced alignment needs it."""
HEARD_FILE = "heard.pt"


class Speller(nn.Module):
    """The encoder with the head that it is trained by: log-probs of letters at 25 Hz."""

    def __init__(self, encoder: NanoEncoder) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Linear(encoder.config.hidden_size, len(LETTERS) + 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """[B, T, 64] and [B, T] -> log-probs [B, ceil(T / 4), 29]."""
        hidden = self.encoder(features, mask).last_hidden_state
        logprobs: Tensor = self.head(hidden).float().log_softmax(-1)
        return logprobs


def train_encoder(recipe: NanoRecipe, folder: Path) -> Path:
    """Train on the corpus under folder; returns the encoder's folder. Resumes from its checkpoint.

    Raises NotFound when nothing was spoken yet.
    """
    torch.manual_seed(recipe.seed)
    clips = Clips.load(folder / "train")
    speller = Speller(NanoEncoder(NanoEncoderConfig(dropout=recipe.encoder_dropout)))
    optimiser = torch.optim.AdamW(
        speller.parameters(), lr=recipe.encoder_learning_rate, weight_decay=0.02, betas=(0.9, 0.98)
    )
    checkpoint = folder / "encoder.checkpoint.pt"
    first = resume(checkpoint, speller, optimiser)
    speller.train()
    with bar() as shown:
        task = shown.add_task("training encoder", total=recipe.encoder_steps, completed=first)
        for step in range(first, recipe.encoder_steps):
            loss = _step(recipe, speller, optimiser, clips, step)
            shown.update(task, advance=1, description=f"training encoder, loss {loss:.3f}")
            if (step + 1) % recipe.checkpoint_every == 0 or step + 1 == recipe.encoder_steps:
                save_checkpoint(checkpoint, speller, optimiser, step + 1, loss)
    if first < recipe.encoder_steps:
        # What another encoder heard is of no use to the language model.
        (folder / HEARD_FILE).unlink(missing_ok=True)
    speller.encoder.config.dropout = 0.0
    speller.encoder.save_pretrained(folder / "encoder")
    save_file(speller.head.state_dict(), folder / "encoder" / LETTERS_FILE)
    return folder / "encoder"


def load_speller(folder: Path) -> Speller:
    """The trained encoder with its head, in eval mode."""
    encoder = NanoEncoder.from_pretrained(folder / "encoder")
    speller = Speller(encoder)
    speller.head.load_state_dict(load_file(folder / "encoder" / LETTERS_FILE))
    return speller.eval()


class Clips:
    """Mel frames of every clip, kept in memory as float16, and the letters they spell."""

    def __init__(self, mels: list[Tensor], texts: list[str]) -> None:
        self.mels, self.texts = mels, texts
        self.by_length = np.argsort([len(mel) for mel in mels], kind="stable")

    @classmethod
    def load(cls, folder: Path) -> "Clips":
        corpus = Corpus.load(folder)
        path = folder / MELS_FILE
        if not path.exists():
            numbers = progress(range(len(corpus)), f"features {folder.name}")
            mels = [raw_mel(corpus.waveform(i)).astype(np.float16) for i in numbers]
            partial = folder / f".partial-{MELS_FILE}"
            np.save(partial, np.concatenate(mels))
            os.replace(partial, path)
        starts = corpus.starts // 160
        frames = torch.from_numpy(np.load(path))
        parts = [frames[begin:end] for begin, end in zip(starts, starts[1:], strict=False)]
        return cls(parts, [clip.text for clip in corpus.clips])

    def batch(self, step: int, recipe: NanoRecipe) -> tuple[Tensor, Tensor, list[str]]:
        """Augmented features [B, T, 64], mask [B, T] and texts, of like length."""
        rng = np.random.default_rng([recipe.seed, step, 7])
        window = min(len(self.mels), 6 * recipe.encoder_batch)
        begin = int(rng.integers(len(self.mels) - window + 1))
        chosen = rng.choice(
            self.by_length[begin : begin + window], min(recipe.encoder_batch, window), replace=False
        )
        mels = [scaled(augmented(self.mels[i].float(), rng)) for i in chosen]
        mels = [_masked(mel, rng) for mel in mels]
        return *padded(mels), [self.texts[i] for i in chosen]


def augmented(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Another speaker, another room: raw mel [T, 64] stretched in time and along the mel axis (Jaitly and Hinton
    2013), filtered by a random slope, and with noise of a random level and colour added."""
    if rng.random() < 0.8:
        frames = max(8, round(len(mel) * rng.uniform(0.85, 1.18)))
        mel = F.interpolate(mel.T[None], size=frames, mode="linear")[0].T
    if rng.random() < 0.8:
        mel = _warped(mel, rng.uniform(0.84, 1.19))
    bins = torch.linspace(-1, 1, MEL_BINS)
    if rng.random() < 0.6:
        mel = mel + rng.uniform(-1, 1) * bins + rng.uniform(-0.7, 0.7) * bins**2
    if rng.random() < 0.6:
        noise = torch.from_numpy(rng.rayleigh(0.8, tuple(mel.shape)).astype(np.float32)).log()
        level = float(mel.max()) - rng.uniform(2.3, 7.5)
        mel = torch.logaddexp(mel, noise + level + rng.uniform(-1.5, 1.0) * bins)
    return mel


def _warped(mel: Tensor, factor: float) -> Tensor:
    """Bin b takes the value at b * factor: a longer or shorter vocal tract."""
    place = (torch.arange(MEL_BINS) * factor).clamp(max=MEL_BINS - 1)
    low = place.floor().long()
    high = (low + 1).clamp(max=MEL_BINS - 1)
    share = place - low
    return mel[:, low] * (1 - share) + mel[:, high] * share


def _masked(mel: Tensor, rng: np.random.Generator) -> Tensor:
    """Two stretches of bins and two of frames set to the floor (Park et al. 2019, SpecAugment)."""
    mel = mel.clone()
    for _ in range(2):
        width, begin = int(rng.integers(0, 9)), int(rng.integers(0, MEL_BINS - 9))
        mel[:, begin : begin + width] = -1
        length = int(rng.integers(0, max(1, min(16, len(mel) // 10))))
        first = int(rng.integers(0, max(1, len(mel) - length)))
        mel[first : first + length] = -1
    return mel


def padded(mels: list[Tensor]) -> tuple[Tensor, Tensor]:
    """float [B, T, 64] and its mask int64 [B, T]."""
    mask = torch.zeros(len(mels), max(map(len, mels)), dtype=torch.long)
    for row, mel in enumerate(mels):
        mask[row, : len(mel)] = 1
    return nn.utils.rnn.pad_sequence(mels, batch_first=True), mask


def letters(text: str) -> list[int]:
    return [LETTERS.index(letter) + 1 for letter in text]


def _step(
    recipe: NanoRecipe,
    speller: Speller,
    optimiser: torch.optim.Optimizer,
    clips: Clips,
    step: int,
) -> float:
    warm = min(1.0, (step + 1) / 200)
    cosine = 0.5 * (1 + math.cos(math.pi * step / recipe.encoder_steps))
    for group in optimiser.param_groups:
        group["lr"] = recipe.encoder_learning_rate * warm * (0.02 + 0.98 * cosine)
    torch.manual_seed(recipe.seed * 1_000_003 + step)
    features, mask, texts = clips.batch(step, recipe)
    with torch.autocast("cpu", torch.bfloat16, enabled=recipe.lm_bf16):
        logprobs = speller(features, mask)
    targets = [torch.tensor(letters(text)) for text in texts]
    loss = F.ctc_loss(
        logprobs.transpose(0, 1),
        torch.cat(targets),
        -(-mask.sum(1) // SUBSAMPLING),
        torch.tensor([len(target) for target in targets]),
        blank=BLANK,
        zero_infinity=True,
    )
    optimiser.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(speller.parameters(), 1.0)
    optimiser.step()
    return float(loss.item())

"""Training rows: what is asked, what is taught, and that training hears what the finished model hears."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from trivox.pipelines.nano.clips import Clip
from trivox.pipelines.nano.corpus import Corpus
from trivox.pipelines.nano.examples import (
    IGNORE,
    Example,
    Examples,
    _frames,
    chunks_of_clip,
    padded_rows,
)
from trivox.pipelines.nano.recipe import NanoRecipe
from trivox.pipelines.nano.train_encoder import load_speller
from trivox.pipelines.nano.train_lm import ADAPTER_STACK, _rate, embeddings_of
from trivox.platform.errors import ConfigError
from trivox.policy.encoder.features import log_mel
from trivox.policy.modeling import TrivoxForCausalLM
from trivox.policy.vocabulary import TokenMap

BRANCHES = ("asr", "tts", "realtime")


@pytest.fixture(scope="module")
def tokens(trained: Path) -> TokenMap:
    return TokenMap.load(trained / "lm")


@pytest.fixture
def examples(recipe: NanoRecipe, trained: Path, tokens: TokenMap) -> Examples:
    return Examples(recipe, trained, tokens)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def runs_of(ids: list[int], token: int) -> list[int]:
    """Lengths of the runs of a token."""
    marks = "".join("x" if one == token else " " for one in ids)
    return [len(run) for run in marks.split()]


def test_asr_rows_teach_the_text(examples: Examples) -> None:
    """Two encoder frames, or one at the end, for each placeholder: one for each letter where the clip was
    not stretched in time."""
    tokens, odd = examples.tokens, 0
    for index, clip in enumerate(examples.clips):
        row = examples.asr(index, rng(index))
        ((heard, take),) = row.heard
        frames = len(examples.takes[take][index])
        odd += frames % 2
        assert heard == index and take in (0, 1)
        assert row.prompt == [tokens.asr, *[tokens.audio] * ((frames + 1) // 2), tokens.text]
        assert take or frames == 2 * len(clip.text)
        assert row.completion == [*tokens.text_ids(clip.text), tokens.eos]
    assert odd


def test_tts_rows_teach_audio_and_the_text_that_it_carries(examples: Examples) -> None:
    tokens = examples.tokens
    for index in examples.spoken:
        row = examples.tts(index, rng(index))
        assert row.prompt[0] == tokens.tts and row.prompt[-1] == tokens.speech
        assert tokens.audio not in row.prompt and row.heard == ()
        np.testing.assert_array_equal(tokens.read_codes(row.completion), examples.codes[index])
        text = " ".join(chunks_of_clip(examples.clips[index]))
        assert tokens.read_text(row.completion) == text
        given = row.prompt[row.prompt.index(tokens.text) + 1 : -1]
        assert tokens.read_text(given) == text


def test_tts_rows_name_the_voice_or_hold_a_reference_of_it(examples: Examples) -> None:
    """A reference is 20 frames at most, of a clip of the same voice; a directive stands in the text."""
    tokens, kinds = examples.tokens, set[str]()
    for index in examples.spoken:
        for seed in range(6):
            prompt = examples.tts(index, rng(seed)).prompt
            voice = examples.clips[index].voice
            head = prompt[: prompt.index(tokens.text)]
            if tokens.voice in head:
                codes = tokens.read_codes(head)
                assert 1 <= len(codes) <= 20
                assert any(is_part(codes, examples.codes[i]) for i in examples.by_voice[voice])
                kinds.add("reference")
            elif tokens.instruction in head:
                words = tokens.read_text(head).split()
                assert voice in words or voice == "heart"
                kinds.add("named" if voice in words else "unnamed")
            else:
                kinds.add("bare")
                assert voice == "heart", "every other voice is asked for"
    assert {"reference", "named"} <= kinds
    inline = next(i for i, clip in enumerate(examples.clips) if clip.directive)
    assert "(slow)" in tokens.read_text(examples.tts(inline, rng()).prompt)


def is_part(part: np.ndarray, whole: np.ndarray) -> bool:  # type: ignore[type-arg]
    begins = range(len(whole) - len(part) + 1)
    return any(np.array_equal(whole[b : b + len(part)], part) for b in begins)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_realtime_rows_answer_what_is_heard(
    recipe: NanoRecipe, trained: Path, tokens: TokenMap, share: float
) -> None:
    """A run of placeholders for each clip, in the order of the turns; the reply word by word, after what was heard
    where reasoning is asked for."""
    examples = Examples(recipe.model_copy(update={"lm_reasoning_share": share}), trained, tokens)
    assert len(examples.dialogues) >= 60, "twelve of each reply that is asked for"
    for index, dialogue in enumerate(examples.dialogues[:40]):
        row = examples.realtime(index, rng(index))
        spoken = [said for _, said in dialogue.turns if not isinstance(said, str)]
        assert [clip for clip, _ in row.heard] == spoken
        assert runs_of(row.prompt, tokens.audio) == [examples.embeddings(*one) for one in row.heard]
        assert row.prompt[0] == tokens.realtime and row.prompt[-1] == tokens.assistant
        begin = row.completion.index(tokens.end_think) + 1 if share else 0
        if share:
            assert row.completion[0] == tokens.think
            thought = f"{dialogue.heard} ({examples.clips[dialogue.reply].text})"
            assert tokens.read_text(row.completion[:begin]) == thought
        assert tokens.read_text(row.completion[begin:]) == examples.clips[dialogue.reply].text
        np.testing.assert_array_equal(
            tokens.read_codes(row.completion), examples.codes[dialogue.reply]
        )


@pytest.mark.parametrize("branch", BRANCHES)
def test_batches_are_of_the_branch_and_fit(examples: Examples, branch: str) -> None:
    """A row that is longer than the limit comes alone; a batch is never empty."""
    limit = examples.recipe.lm_batch_tokens
    for seed in range(30):
        rows = examples.batch(branch, rng(seed))
        assert rows and {row.prompt[0] for row in rows} == {getattr(examples.tokens, branch)}
        assert len(rows) == 1 or max(map(len, rows)) * len(rows) <= limit


def test_each_voice_speaks_as_often(examples: Examples) -> None:
    """By turns, so that no voice has two rows more than another."""
    codes = {
        tuple(map(tuple, examples.codes[i])): voice
        for voice, clips in examples.by_voice.items()
        for i in clips
    }
    rows = examples.batch("tts", rng())
    drawn = [codes[tuple(map(tuple, examples.tokens.read_codes(row.completion)))] for row in rows]
    counts = [drawn.count(voice) for voice in examples.by_voice]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_thoughts_alone_are_batches_of_their_own(examples: Examples, share: float) -> None:
    """What was heard and what is to be said, and no audio; all of a batch, or none of it."""
    tokens = examples.tokens
    recipe = examples.recipe.model_copy(update={"lm_thought_share": share})
    batch = with_recipe(examples, recipe).batch("realtime", rng())
    ends = {row.completion[-1] for row in batch}
    assert ends == {tokens.end_think if share else tokens.eos}
    dialogue = examples.dialogues[0]
    row, text = examples.thought(0, rng()), examples.clips[dialogue.reply].text
    assert tokens.read_text(row.completion) == f"{dialogue.heard} ({text})" and row.read is None


def with_recipe(examples: Examples, recipe: NanoRecipe) -> Examples:
    changed = copy.copy(examples)
    changed.recipe = recipe
    return changed


def test_some_of_the_history_is_misread_and_nothing_else(examples: Examples) -> None:
    """Only audio tokens change, each within its codebook, at most the highest share of them on average; the labels
    do not change."""
    tokens = examples.tokens
    noisy = with_recipe(examples, examples.recipe.model_copy(update={"lm_history_noise": 0.4}))
    kept, changed = 0, 0
    for index in examples.spoken:
        row = noisy.tts(index, rng(index))
        assert row.read is not None and len(row.read) == len(row.completion)
        ids, _, labels = padded_rows([row], tokens.pad)
        assert ids[0, len(row.prompt) :].tolist() == row.read
        assert labels[0, len(row.prompt) :].tolist() == row.completion
        for said, read in zip(row.completion, row.read, strict=True):
            if said != read:
                assert any(
                    said in range(*book) and read in range(*book)
                    for book in map(tokens.audio_range, range(len(tokens.audio_offsets)))
                )
            kept, changed = kept + (said == read), changed + (said != read)
    assert 0 < changed < 0.4 * (kept + changed)
    quiet = with_recipe(examples, examples.recipe.model_copy(update={"lm_history_noise": 0.0}))
    row = quiet.tts(examples.spoken[0], rng())
    assert row.read == row.completion


def test_the_learning_rate_by_hand() -> None:
    """Of 1000 steps: 1/150 at first, half the cosine at 500, 2 % at the end."""
    recipe = NanoRecipe(lm_steps=1000)
    assert _rate(recipe, 0) == pytest.approx(1 / 150)
    assert _rate(recipe, 500) == pytest.approx(0.51)
    assert _rate(recipe, 999) == pytest.approx(0.02, abs=1e-4)


def test_the_same_seed_draws_the_same_batch(examples: Examples) -> None:
    assert examples.batch("tts", rng(3)) == examples.batch("tts", rng(3))
    assert examples.batch("tts", rng(3)) != examples.batch("tts", rng(4))


def test_rows_side_by_side() -> None:
    short, long = Example([5], [6, 7]), Example([5, 8], [6, 9, 1])
    ids, mask, labels = padded_rows([short, long], pad=0)
    assert ids.tolist() == [[5, 6, 7, 0, 0], [5, 8, 6, 9, 1]]
    assert mask.tolist() == [[1, 1, 1, 0, 0], [1] * 5]
    i = IGNORE
    assert labels.tolist() == [[i, 6, 7, i, i], [i, i, 6, 9, 1]]


def test_chunks_of_a_clip() -> None:
    plain = Clip("sentence", "turn on it", "heart")
    assert chunks_of_clip(plain) == ["turn", "on", "it"]
    inline = Clip("inline", "turn on it", "heart", cut=5, directive="slow")
    assert chunks_of_clip(inline) == ["turn", "(slow) on", "it"]


def test_every_word_has_frames_and_every_frame_a_word(examples: Examples) -> None:
    for clip, frames, codes in zip(examples.clips, examples.frames, examples.codes, strict=True):
        assert len(frames) == len(clip.text.split()) and sum(frames) == len(codes)


def test_words_that_are_too_fast_are_cut_by_their_letters(trained: Path) -> None:
    """8 frames for "ab cdef": 3 of 8 characters, with their spaces, are the first word's."""
    found = _frames(load_speller(trained), torch.zeros(4, 144).half(), "ab cdef")
    assert found == [2, 2], "3/8 of 4 frames is 1.5, to the even number"


def test_training_hears_what_the_model_hears(trained: Path, examples: Examples) -> None:
    """The first take is the encoder on the clip as it is, up to half precision; others differ."""
    speller, corpus = load_speller(trained), Corpus.load(trained / "train")
    for index in (0, 7, 20):
        mel = torch.from_numpy(log_mel(corpus.waveform(index)))[None]
        with torch.no_grad():
            heard = speller.encoder(mel).last_hidden_state[0]
        take = examples.takes[0][index].float()
        torch.testing.assert_close(take, heard, atol=0.02, rtol=0.02)
    others = [
        a.shape != b.shape or not torch.equal(a, b) for a, b in zip(*examples.takes, strict=True)
    ]
    assert sum(others) > len(others) * 0.8


def test_a_training_step_sees_what_the_forward_sees(trained: Path, examples: Examples) -> None:
    """Embeddings made from what was computed once give the logits of the model that hears the clips itself."""
    model = TrivoxForCausalLM.from_pretrained(trained / "lm").eval()
    corpus = Corpus.load(trained / "train")
    examples.takes = examples.takes[:1]
    rows = [examples.realtime(i, rng()) for i in range(3)]
    rows.append(Example([4, 6, 17, 7], [46, 1]))
    assert any(row.heard for row in rows)
    ids, mask, _ = padded_rows(rows, examples.tokens.pad)
    mels = [torch.from_numpy(log_mel(corpus.waveform(c))) for row in rows for c, _ in row.heard]
    features = torch.nn.utils.rnn.pad_sequence(mels, batch_first=True)
    feature_mask = torch.zeros(features.shape[:2], dtype=torch.long)
    for row, mel in enumerate(mels):
        feature_mask[row, : len(mel)] = 1
    with torch.no_grad():
        embedded = embeddings_of(model, ids, rows, examples)
        trained_on = model(inputs_embeds=embedded, attention_mask=mask).logits
        heard = model(
            input_ids=ids, attention_mask=mask, input_features=features, feature_mask=feature_mask
        ).logits
    assert model.config.adapter_stack == ADAPTER_STACK
    real = mask.bool()
    torch.testing.assert_close(trained_on[real], heard[real], atol=0.02, rtol=0.02)
    assert (trained_on[real] - heard[real]).abs().mean() < 1e-3


def test_a_branch_without_rows_is_refused(
    recipe: NanoRecipe, trained: Path, tokens: TokenMap
) -> None:
    mute = recipe.model_copy(update={"tts_voices": ("michael",)})
    with pytest.raises(ConfigError, match=r"lm_branch_shares asks for 0\.5 of tts"):
        Examples(mute, trained, tokens)


def test_a_voice_without_a_clip_is_no_matter(
    recipe: NanoRecipe, trained: Path, tokens: TokenMap
) -> None:
    more = recipe.model_copy(update={"tts_voices": ("heart", "emma", "michael")})
    assert Examples(more, trained, tokens).by_voice.keys() == {"heart", "emma"}

"""Scorers by name, and that looking them up costs nothing."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from trivox.platform.errors import MissingModel, NotFound
from trivox.platform.scoring import Item, Scorer
from trivox.reward_models import builders, offline
from trivox.reward_models.registry import build, entry, families, names


def test_every_scorer_says_the_family_of_the_registry(scorer: Callable[[str], Scorer]) -> None:
    for name in names():
        info, known = scorer(name).info, entry(name)
        assert (info.name, info.family, info.unit, info.direction) == (
            known.name, known.family, known.unit, known.direction,
        )  # fmt: skip
        assert len(info.weights_hash) == 64


def test_whisper_sizes_are_one_family() -> None:
    found = families(["whisper-base-wer", "whisper-tiny-wer", "pocketsphinx-wer"])
    assert list(found.values()) == ["whisper", "whisper", "pocketsphinx"]
    assert families(["vote-wer"])["vote-wer"] == "pocketsphinx+whisper"


def test_an_item_that_lacks_what_a_scorer_needs_gives_no_number(
    scorer: Callable[[str], Scorer], english: list[Item]
) -> None:
    """Every scorer, given nothing of what it says it needs: a typed failure, or a gate's verdict of 0."""
    for name in names():
        [found] = scorer(name).score([Item("rollout", None, None, None, "en")])
        assert found.value is None or (entry(name).gate and found.value == 0), name


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(NotFound, match=r"'wer'.*whisper-base-wer"):
        build("wer")
    with pytest.raises(NotFound):
        families(["wer"])


def test_lookup_loads_no_model_library() -> None:
    code = (
        "import sys\n"
        "from trivox.reward_models.registry import build, families, names\n"
        "families(names()); [build(name) for name in ('duration', 'silence', 'end')]\n"
        "heavy = {'torch', 'faster_whisper', 'onnxruntime', 'librosa', 'pocketsphinx'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


WEIGHED = [
    "whisper-base-wer", "whisper-tiny-wer", "distillmos", "dnsmos", "speaker-similarity", "reply-likeness",
]  # fmt: skip


@pytest.mark.parametrize("name", WEIGHED)
def test_missing_weights_name_the_way_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offline.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(builders, "_whisper", builders._whisper.__wrapped__)
    monkeypatch.setattr(builders, "_sentences", builders._sentences.__wrapped__)
    with pytest.raises(MissingModel, match=r"==[0-9.]+ is not installed: `make install`"):
        build(name)

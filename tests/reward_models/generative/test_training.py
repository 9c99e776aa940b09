"""Planted pairs by hand, rows that are trained on, and a whole training of a tiny backbone."""

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.policy.conftest import write_backbone
from trivox.platform.errors import ConfigError
from trivox.platform.records import Tie
from trivox.policy.trainers.dpo import DPOSettings
from trivox.policy.trainers.sft import SFTSettings
from trivox.policy.vocabulary import TokenMap
from trivox.reward_models.generative.planted import (
    Fault,
    Panel,
    panel_answer,
    planted_pairs,
    split,
)
from trivox.reward_models.generative.templates import load_template
from trivox.reward_models.generative.training import (
    TEMPLATE,
    GrmSettings,
    labelled,
    rationale_of,
    sft_rows,
    train_judge,
    wrong_pairs,
)
from trivox.reward_models.generative.verdicts import Outcome

NONE: frozenset[Fault] = frozenset()
EXACT = Panel(noise=0.0)


@pytest.mark.parametrize(
    ("first", "second", "criterion", "wanted"),
    [
        (NONE, {Fault.CHARACTER}, None, 1),
        (NONE, {Fault.STATE}, None, 2),
        (NONE, {Fault.STATE, Fault.CHARACTER}, None, 3),
        ({Fault.RUDE}, NONE, None, -2),
        ({Fault.RUDE}, {Fault.THING}, None, Tie.BOTH_BAD),
        (NONE, NONE, None, Tie.BOTH_GOOD),
        (NONE, {Fault.STATE}, "manner", Tie.BOTH_GOOD),
        (NONE, {Fault.STATE}, "answers", 2),
        ({Fault.CHARACTER}, {Fault.THING}, "answers", 2),
    ],
)
def test_a_panel_without_noise_by_hand(
    first: set[Fault], second: set[Fault], criterion: str | None, wanted: int | Tie
) -> None:
    """Costs: state, thing, rude and cut 2, character and repeated 1; margins at 0.5, 1.5, 2.5."""
    found = panel_answer((frozenset(first), frozenset(second)), EXACT, "pair", criterion)
    assert wanted in (found.comparison, found.tie)


def test_pairs_are_the_seeds_and_say_their_faults() -> None:
    pairs = planted_pairs(300, 1)
    assert [p.question.content for p in pairs] == [
        p.question.content for p in planted_pairs(300, 1)
    ]
    assert pairs[0].question.content != planted_pairs(1, 2)[0].question.content
    sides = Counter(pair.side for pair in pairs)
    assert min(sides.values()) > 50
    assert 60 < sum(pair.criterion is not None for pair in pairs) < 180
    for pair in pairs:
        for name, faults, reply in zip(
            ("one", "two"), pair.faults, (pair.question.first, pair.question.second), strict=True
        ):
            assert (Fault.CUT in faults) == (" is " not in (reply.text or ""))
            if pair.criterion is None:
                assert (f"{name} right" in pair.rationale) == (not faults)


def test_a_request_is_in_one_split_alone() -> None:
    pairs = planted_pairs(400, 0)
    training, held = split(pairs, 0.2, 0)
    assert len(training) + len(held) == 400 and 40 < len(held) < 160
    assert not {p.group for p in training} & {p.group for p in held}


def test_both_orders_are_learned_with_their_own_label_and_rationale(judging_backbone: Path) -> None:
    template, tokens = load_template(TEMPLATE), TokenMap.load(judging_backbone)
    pair = next(p for p in planted_pairs(50, 0) if p.answer.comparison == 2)
    views = labelled(template, pair)
    as_is = {view.shown[0] is pair.question.first: label for view, label in views}
    assert template.labels[as_is[True]] is Outcome.FIRST_2
    assert template.labels[as_is[False]] is Outcome.SECOND_2
    turned = next(v for v, _ in views if v.shown[0] is pair.question.second)
    one, _, two = pair.rationale.removeprefix("one ").partition(" two ")
    assert rationale_of(pair, turned) == f"one {two} two {one}"
    rows = sft_rows(tokens, template, [pair], rationales=1.0)
    assert len(rows) == 4 and all(all(row.loss) for row in rows)
    assert [row.prompt[-1] for row in rows] == [tokens.text, tokens.think] * 2
    thought = rows[1].completion
    end = thought.index(tokens.end_think)
    assert tokens.read_text(thought[:end]) == rationale_of(pair, views[0][0])
    assert thought[end + 1 :] == rows[0].completion


@pytest.fixture(scope="module")
def roomy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny backbone with room for a pair."""
    folder = write_backbone(tmp_path_factory.mktemp("roomy"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 512}))
    return folder


def test_what_it_got_wrong_is_chosen_over_what_it_said(roomy: Path, tmp_path: Path) -> None:
    from trivox.policy.trainers.sft import train_sft

    template, tokens = load_template(TEMPLATE), TokenMap.load(roomy)
    pairs = planted_pairs(6, 0)
    settings = SFTSettings(epochs=1, lora_rank=2, train_adapter=False)
    train_sft(roomy, sft_rows(tokens, template, pairs, 0.0), settings, tmp_path / "sft", 0)
    found = wrong_pairs(roomy, tmp_path / "sft", template, pairs)
    letters = {tokens.characters[label] for label in template.labels}
    assert 0 < len(found) <= 12
    assert wrong_pairs(roomy, tmp_path / "sft", template, pairs, most=1) == found[:1]
    for pair in found:
        assert {pair.chosen[0], pair.rejected[0]} <= letters
        assert pair.chosen[0] != pair.rejected[0] and pair.chosen[1] == tokens.eos


def test_a_tiny_backbone_is_trained_and_measured(roomy: Path, tmp_path: Path) -> None:
    """All steps on random weights: that it learns is shown on trivox-nano, below and in the documentation."""
    settings = GrmSettings(
        sft=SFTSettings(epochs=1, lora_rank=2, lora_alpha=4, train_adapter=False),
        dpo=DPOSettings(epochs=1, lora_rank=2, lora_alpha=4),
    )
    steps: list[str] = []
    found = train_judge(
        roomy, planted_pairs(30, 0), settings, tmp_path, 0, lambda stage, *_: steps.append(stage)
    )
    assert found.trained_on + found.held_out == 30 and set(steps) == {"sft", "dpo"}
    assert found.adapter.folder == tmp_path and (tmp_path / "adapter_model.safetensors").is_file()
    assert found.after.flips_after.rate == 0 and found.after.failures == 0
    assert found.gain == pytest.approx(found.after.accuracy - found.before.accuracy)
    assert found.to_json()["labels"] == "simulated"


@pytest.mark.slow
def test_the_trained_judge_beats_its_untrained_self(tmp_path: Path) -> None:
    """trivox-nano on planted pairs, labels of a simulated panel: the gain on requests that it has not seen, by
    forced choice, has its whole interval above zero. The recipe of the documentation: verdicts alone."""
    from trivox.pipelines.reward_judges import NANO, backbone_folder

    settings = GrmSettings(rationales=0.0, mistakes=0)
    nano = Path(backbone_folder(NANO))
    found = train_judge(nano, planted_pairs(3000, 0), settings, tmp_path / "judge", 0)
    assert found.gain_interval.low > 0 and found.after.failures == 0
    assert found.after.flips_after.rate == 0


def test_too_few_pairs_are_refused(roomy: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="give more"):
        train_judge(roomy, planted_pairs(1, 0), GrmSettings(), tmp_path, 0)

"""While the policy speaks its adapter is folded in, and afterwards nothing of that is left."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model

from trivox.policy.backbone import Backbone, without_renaming_notices
from trivox.policy.trainers.common import TOKEN_MODULES, lora_config
from trivox.policy.trainers.rl.folding import folded

IDS = torch.tensor([[3, 17, 6, 20, 21]])


def adapted(backbone: Path, whole: tuple[str, ...] = ()) -> Any:
    """A model of peft whose adapter says something; with whole modules these too."""
    torch.manual_seed(0)
    lm = Backbone.load(backbone).lm
    with without_renaming_notices():
        model: Any = get_peft_model(lm, lora_config(lm, 2, 4, whole)).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
    return model


@torch.no_grad()
@pytest.mark.parametrize("whole", [(), TOKEN_MODULES])
def test_the_same_but_for_rounding_and_nothing_is_left(
    whole: tuple[str, ...], backbone: Path
) -> None:
    """Also where an error ends it: weights, gradients asked for and logits are what they were, bit for bit."""
    model = adapted(backbone, whole)
    spoken = model(IDS).logits
    with model.disable_adapter():
        silent = model(IDS).logits
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    with pytest.raises(KeyboardInterrupt), folded(model):
        told = model(IDS).logits
        raise KeyboardInterrupt
    torch.testing.assert_close(told, spoken, rtol=1e-5, atol=1e-5)
    assert (spoken - silent).abs().max() > 1e-2
    assert torch.equal(model(IDS).logits, spoken)
    with model.disable_adapter():
        assert torch.equal(model(IDS).logits, silent)
    now = dict(model.named_parameters())
    assert all(torch.equal(now[name], weight) for name, weight in before.items())
    assert {name for name, weight in now.items() if weight.requires_grad} == trained


@torch.no_grad()
def test_bfloat16_is_left_alone(backbone: Path) -> None:
    model = adapted(backbone).to(torch.bfloat16)
    spoken = model(IDS).logits
    with folded(model):
        assert torch.equal(model(IDS).logits, spoken)

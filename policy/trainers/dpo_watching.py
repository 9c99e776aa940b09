"""Watchers of a run of DPO: held-out prompts that the policy answers meanwhile, and bounds that stop it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from trivox.policy.backbone import Backbone
from trivox.policy.engine import InProcessEngine
from trivox.policy.trainers.common import OnFigures, numbers
from trivox.policy.trainers.rl.watchers import Bound, Guard, Probe

WATCH_FILE = "watch.json"
SLOTS = 32


@dataclass(frozen=True)
class DPOWatch:
    """probes ask the policy themselves; bounds hold what is logged, and what probes find, and stop the run."""

    probes: Sequence[Probe] = ()
    bounds: Sequence[Bound] = ()


UNWATCHED = DPOWatch()


def watch_callback(
    watch: DPOWatch, backbone: Backbone, on_figures: OnFigures, checkpoint: str | None
) -> TrainerCallback:
    """Reports what is logged of each step with what the probes add; raises WatcherStop. checkpoint: from which the
    run goes on; what watchers remember is kept in it."""
    guard = Guard(watch.bounds)
    if checkpoint is not None:
        known = json.loads((Path(checkpoint) / WATCH_FILE).read_text())
        guard.restore(known["guard"])
        for probe, kept in zip(watch.probes, known["probes"], strict=True):
            probe.restore(kept)

    class Watching(TrainerCallback):
        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any
        ) -> None:
            if not logs or "loss" not in logs:
                return
            step, figures = state.global_step - 1, numbers(logs)
            model.eval()  # the trainer puts it back before its next step
            with torch.no_grad():
                engine = InProcessEngine(model, backbone.tokens.eos, backbone.tokens.pad, SLOTS)
                for probe in watch.probes:
                    figures |= probe.probe(step, engine, figures)
            state.log_history[-1] |= figures
            on_figures(state.global_step, state.max_steps, figures)
            guard.check(step, figures)

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            told = {"guard": guard.state(), "probes": [one.state() for one in watch.probes]}
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            (folder / WATCH_FILE).write_text(json.dumps(told))

    return Watching()

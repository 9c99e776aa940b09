"""`trivox reward judge` and `train-grm`: language models that judge replies, and their training."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from trivox.commands.common import JsonOption, print_figures, print_json

if TYPE_CHECKING:
    from trivox.reward_models.generative.config import JudgeConfig

SMOLLM2 = "smollm2"
NANO = "nano"


def judge(
    pairs: Annotated[
        Path | None,
        typer.Argument(
            help="JSON lines with first, second and request or history, persona, better. None: the packaged pairs."
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file of a judge (docs/generative-reward-models.md), a server's for example."
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            help="Without --config: smollm2 (out of its package), nano, a folder, or a hub id."
        ),
    ] = SMOLLM2,
    adapter: Annotated[
        Path | None, typer.Option(help="With nano: the folder that `train-grm` made.")
    ] = None,
    reasons: Annotated[
        bool, typer.Option("--reasons", help="Reason before the verdict; else answer at once.")
    ] = False,
    votes: Annotated[int, typer.Option(min=1, help="Draws in each order, with --reasons.")] = 1,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Judge the first so many pairs alone.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Judge pairs of replies with a language model, in both orders.

    Prints how often the verdict flips when the replies change places, before and after debiasing, and the accuracy
    where the pairs are labelled. A failure of the judge is counted, never scored.
    """
    from trivox.pipelines.reward_judges import load_judge
    from trivox.reward_models.generative.config import opened
    from trivox.reward_models.generative.files import PACKAGED, judge_questions, read_questions

    asked = read_questions(pairs or PACKAGED)[:limit]
    chosen = load_judge(config) if config else _named(model, adapter, reasons, votes)
    with opened(chosen) as opened_judge:
        found = judge_questions(opened_judge, asked)
        name, version = opened_judge.backend.identity.name, opened_judge.version
    figures = {"judge": name, "version": version} | found.to_json()
    if json:
        print_json(figures)
    else:
        print_figures({key: value for key, value in figures.items() if key != "opinions"})


def train_grm(
    out: Annotated[
        Path, typer.Option(help="Folder for the adapter; it must not hold another run.")
    ],
    pairs: Annotated[
        int, typer.Option(min=20, help="Planted pairs to draw, a fifth of the requests held out.")
    ] = 3000,
    model: Annotated[str, typer.Option(help="nano, or a backbone's folder.")] = NANO,
    recipe: Annotated[
        Path | None, typer.Option(help="TOML file of settings (docs/generative-reward-models.md).")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the pairs, the panel and the training.")] = 0,
    json: JsonOption = False,
) -> None:
    """Train the shared backbone as a judge: SFT on rationales that agree with the labels, DPO on what it got
    wrong.

    The pairs are planted and their labels simulated, so what is shown is that the judge learns, not that it knows
    people's taste. Prints the gain over the untrained judge on held-out requests, with its 95% interval.
    """
    from trivox.pipelines.reward_judges import backbone_folder
    from trivox.platform.config import load_toml
    from trivox.platform.progress import bar
    from trivox.reward_models.generative.planted import planted_pairs
    from trivox.reward_models.generative.training import GrmSettings, train_judge

    settings = GrmSettings() if recipe is None else load_toml(recipe, GrmSettings)
    with bar() as shown:
        tasks = {stage: shown.add_task(f"judge: {stage}") for stage in ("sft", "dpo")}
        trained = train_judge(
            Path(backbone_folder(model)),
            planted_pairs(pairs, seed),
            settings,
            out,
            seed,
            lambda stage, done, total: shown.update(tasks[stage], completed=done, total=total),
        )
    figures = trained.to_json()
    if json:
        print_json(figures)
    else:
        print_figures(figures)


def _named(model: str, adapter: Path | None, reasons: bool, votes: int) -> "JudgeConfig":
    """The judge that the options describe. Small models are not refused for weak labels: their choice is
    forced."""
    from trivox.pipelines.reward_judges import backbone_folder, model_folder
    from trivox.platform.config import validated
    from trivox.reward_models.generative.config import JudgeConfig

    shared = model == NANO or adapter is not None
    raw = {
        "backend": "backbone" if shared else "local",
        "model": backbone_folder(model) if shared else model_folder(model),
        "adapter": adapter,
        "least_mass": 0.0,
        "judging": {
            "template": "backbone@1" if shared else "ab@1",
            "reasons": reasons,
            "votes": votes,
        },
    }
    return validated(raw, JudgeConfig, "judge")

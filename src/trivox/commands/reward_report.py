"""`trivox reward report`: how far to trust a reward."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trivox.commands.common import (
    DEFAULT_WORKSPACE,
    JsonOption,
    WorkspaceOption,
    print_json,
    print_rows,
)

if TYPE_CHECKING:
    from trivox.platform.records import JudgeKind
    from trivox.reward_models.adversarial.battery import BatteryReport
    from trivox.reward_models.adversarial.clips import Spoken
    from trivox.reward_models.report.report import RewardReport

ModelOption = Annotated[
    str, typer.Option(help="Backbone below the reward model: nano, or a folder.")
]
HtmlOption = Annotated[
    Path | None, typer.Option("--html", help="Write the report with plots to this file.")
]


def report(
    with_: Annotated[
        str | None,
        typer.Option(
            "--with",
            help="A scorer, a reward model (folder, name, id), the TOML file of a composition or of a "
            "generative judge, or asr, tts, realtime.",
        ),
    ] = None,
    defaults: Annotated[
        bool,
        typer.Option(
            "--defaults", help="The packaged compositions of the three branches, attacked."
        ),
    ] = False,
    judges: Annotated[
        str, typer.Option(help="Whose comparisons of the workspace count: human, simulated or grm.")
    ] = "human",
    round_: Annotated[str | None, typer.Option("--round", help="Those of one round alone.")] = None,
    evaluator: Annotated[
        list[str] | None,
        typer.Option(
            help="Scorer of another family that judges the best of n candidates; repeat it."
        ),
    ] = None,
    battery: Annotated[
        bool, typer.Option("--battery/--no-battery", help="Whether to attack the reward too.")
    ] = True,
    branch: Annotated[
        str, typer.Option(help="For a single scorer: whose attacks, asr, tts or realtime.")
    ] = "tts",
    model: ModelOption = "nano",
    clips: Annotated[
        Path | None,
        typer.Option(
            help="Folder of recordings of one speaker to attack with; else synthetic ones."
        ),
    ] = None,
    texts: Annotated[
        Path | None, typer.Option(help="List of `name: words` lines for --clips, possibly gzipped.")
    ] = None,
    most: Annotated[int, typer.Option(help="Clips to attack with at most.")] = 6,
    seconds: Annotated[
        tuple[float, float], typer.Option(help="Shortest and longest recording of --clips to use.")
    ] = (2.0, 30.0),
    seed: Annotated[int, typer.Option(help="Of attacks and intervals: another draws others.")] = 0,
    html: HtmlOption = None,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    json: JsonOption = False,
) -> None:
    """How far to trust a reward: agreement with judges beside their ceiling, calibration, biases,
    over-optimisation, and the attacks that get through; exit code 1 when any does.

    Without a workspace, the attacks alone. Simulated judges are never counted as people: name them with --judges.
    """
    from trivox.commands.reward import attack_clips
    from trivox.platform.errors import UsageError

    if (with_ is None) == (not defaults):
        raise UsageError("report on what? give --with, or --defaults for the packaged compositions")
    spoken = attack_clips(clips, texts, most, seconds) if defaults or battery else []
    if with_ is None:
        failures = _defaults(spoken, seed, json)
    else:
        made = _reported(
            with_, judges, round_, evaluator or [], spoken, branch, model, seed, workspace
        )
        _show(made, html, json)
        failures = made.battery.failures if made.battery else 0
    if failures:
        raise typer.Exit(1)


def backbone_of(model: str) -> Path:
    from trivox.pipelines.workspaces import packaged_checkpoint

    return packaged_checkpoint() if model == "nano" else Path(model)


def _reported(
    name: str,
    judges: str,
    round_: str | None,
    evaluators: list[str],
    spoken: "list[Spoken]",
    branch: str,
    model: str,
    seed: int,
    workspace: Path,
) -> "RewardReport":
    from trivox.commands.common import open_workspace
    from trivox.pipelines.reward_report import (
        attack,
        opened_reward,
        report_on_attacks,
        report_on_workspace,
    )
    from trivox.platform.errors import UsageError
    from trivox.platform.records import Branch
    from trivox.platform.store.config import FILE

    if not (workspace / FILE).is_file():
        if round_ or evaluators or not spoken:
            raise UsageError(f"{workspace} is no workspace: name one with --workspace")
        with opened_reward(name, None, backbone_of(model)) as scorer:
            found = attack(name, scorer, spoken, seed, Branch(branch))
        return report_on_attacks(scorer, found, seed)
    with open_workspace(workspace) as ws, opened_reward(name, ws, backbone_of(model)) as scorer:
        attacked = attack(name, scorer, spoken, seed, Branch(branch)) if spoken else None
        return report_on_workspace(
            ws,
            scorer,
            _kind(judges),
            round=round_,
            evaluators=evaluators,
            battery=attacked,
            seed=seed,
        )


def _kind(judges: str) -> "JudgeKind":
    from trivox.platform.errors import UsageError
    from trivox.platform.records import JudgeKind

    if judges not in list(JudgeKind):
        raise UsageError(f"judges {judges!r}: there are {', '.join(JudgeKind)}")
    return JudgeKind(judges)


def _show(made: "RewardReport", html: Path | None, json: bool) -> None:
    from trivox.reward_models.report.report import write_html

    if html is not None:
        write_html(made, html)
    if json:
        print_json(made.to_json())
        return
    say_report(made)
    if html is not None:
        typer.echo(f"report with plots: {html}")


def say_report(made: "RewardReport") -> None:
    """Headline, notes, subsets, biases, best of n, attacks."""
    from trivox.reward_models.report.report import notes

    for line in notes(made):
        typer.echo(f"· {line}")
    if made.figures is not None:
        rows = [
            (one.subset, _percent(one.accuracy), f"{one.interval.low:.1%}-{one.interval.high:.1%}",
             one.pairs, one.failed, _percent(one.ceiling.accuracy))
            for one in (made.figures.overall, *made.figures.subsets)
        ]  # fmt: skip
        columns = ("subset", "accuracy", "95%", "pairs", "failed", "ceiling")
        print_rows("subsets", columns, rows, "no pairs", False)
        biases = [
            (
                one.size,
                _percent(one.by_reward),
                _percent(one.by_raters),
                f"{100 * one.difference:+.1f}",
                one.pairs,
            )
            for one in made.figures.biases
        ]
        print_rows(
            "biases",
            ("larger in", "by reward", "by raters", "points", "pairs"),
            biases,
            "no sizes",
            False,
        )
    if made.searched:
        curve = [(one.judge, one.n, _number(one.mean), one.prompts) for one in made.searched]
        print_rows("best_of", ("judge", "best of", "mean", "prompts"), curve, "", False)
    if made.battery is not None:
        say_battery(made.battery)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _defaults(spoken: "list[Spoken]", seed: int, json: bool) -> int:
    """Attacks on the packaged compositions; how many got through."""
    from trivox.reward_models.adversarial.battery import adversarial_failures, default_batteries
    from trivox.reward_models.report.report import battery_facts

    reports = default_batteries(spoken, seed)
    failures = adversarial_failures(reports)
    if json:
        told: list[dict[str, Any]] = [battery_facts(one) for one in reports]
        print_json({"seed": seed, "adversarial_failures": failures, "batteries": told})
        return failures
    for one in reports:
        say_battery(one)
    typer.echo(f"adversarial failures: {failures}")
    return failures


def say_battery(one: "BatteryReport") -> None:
    """What each probe did, as a table."""
    typer.echo(
        f"{one.subject}: {one.clips} {one.kind} clips, seed {one.seed}, margin {one.margin:g}"
    )
    rows = [
        (probe.probe, "must cost" if probe.damage else "must not pay", f"{probe.passed} of {probe.clips}",
         probe.refused, _number(probe.mean_honest), _number(probe.mean_probe))
        for probe in one.probes
    ]  # fmt: skip
    columns = ("probe", "rule", "got through", "refused", "honest", "attack")
    print_rows("probes", columns, rows, "no probes", False)
    for name in one.unscored:
        typer.echo(f"not scored, so not attacked: {name}")

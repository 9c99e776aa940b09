"""A round's report for people: in the terminal, and as one HTML file without scripts."""

import os
from pathlib import Path
from typing import Any

import jinja2
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from trivox.pipelines.report import RoundReport
from trivox.platform.records import Stage
from trivox.platform.statistics.intervals import told
from trivox.platform.store.files import write_atomically

TEMPLATE = "report.html.j2"
BY_HAND = 8
"""Prompts of a round that a person can label in one sitting."""


def headline(report: RoundReport) -> str:
    """The outcome in one or two sentences of plain language."""
    if report.results is None:
        return f"Round {report.round} is {report.status}; it has not been evaluated yet."
    win, change = report.results["win_rate"], report.results["wer_change"]
    return f"{_win_sentence(report, win)} {_wer_sentence(report, change)} {_outcome(report)}"


def _win_sentence(report: RoundReport, win: dict[str, Any]) -> str:
    name = "proxy win rate" if report.proxy_reason else "win rate"
    if win["rate"] is None:
        return f"No comparison was decisive, so there is no {name}."
    return (
        f"The new policy's {name} over its parent is {win['rate']:.1%} (95% interval {win['low']:.1%} to "
        f"{win['high']:.1%}; {win['wins']} wins, {win['losses']} losses, {win['ties']} ties)."
    )


def _wer_sentence(report: RoundReport, change: dict[str, Any]) -> str:
    if report.results is None or change["mean"] is None:
        return "Its word error rate could not be measured."
    before, after = report.results["wer_before"], report.results["wer_after"]
    low, high = (None if change[one] is None else 100 * change[one] for one in ("low", "high"))
    return (
        f"Word error rate on held-out prompts: {before:.1%} before, {after:.1%} after (change "
        f"{100 * change['mean']:+.1f} points, 95% interval {told(low, high, '+.1f')})."
    )


def _outcome(report: RoundReport) -> str:
    if report.decision is None:
        return ""
    if report.candidate_status == "rejected":
        return f"No gain was shown, so the policy is not promoted: {report.decision}."
    return f"It is {report.candidate_status}: {report.decision}."


def facts(report: RoundReport) -> list[tuple[str, str]]:
    """(stage, what it made) for the table of the report."""
    made = report.stages
    rows: list[tuple[str, str]] = []
    if rollout := made.get(Stage.ROLLOUT.value):
        rows.append(
            (
                "generated",
                f"{len(rollout['rollouts'])} candidates of {rollout['prompts']} prompts, "
                f"{rollout['tokens']} tokens; {rollout['reached_length_limit']} reached the length limit; "
                f"{len(rollout['excluded_prompts'])} prompts excluded",
            )
        )
    if scored := made.get(Stage.SCORE.value):
        rows.append(("scored", _scored(report, scored)))
    if compared := made.get(Stage.COMPARE.value):
        rows.append(("compared", f"{compared['tasks']} comparisons asked for"))
    if labelled := made.get(Stage.LABEL.value):
        kinds = ", ".join(
            f"{count} {kind}" for kind, count in labelled["judgements"].items() if count
        )
        rows.append(("judged", f"{kinds or 'no'} judgements"))
    if preferred := made.get(Stage.AGGREGATE.value):
        dropped = ", ".join(f"{count} {reason}" for reason, count in preferred["dropped"].items())
        rows.append(
            (
                "preferred",
                f"{preferred['preferences']} preferences; without one: {dropped or 'none'}",
            )
        )
    if trained := made.get(Stage.TRAIN.value):
        rows.append(
            (
                "trained",
                f"{report.algorithm} on {trained['pairs']} pairs, {trained['steps']} steps; "
                f"adapter {trained['adapter_hash'][:12]}",
            )
        )
    return rows


def _scored(report: RoundReport, scored: dict[str, Any]) -> str:
    failures = sum(scored["failures"].values())
    gates = ", ".join(f"{count} {gate}" for gate, count in scored["gates_not_passed"].items())
    means = ", ".join(f"{name} {row['mean']:.3f}" for name, row in report.rewards.items())
    return f"{scored['scores']} scores, {failures} failed; gates not passed: {gates or 'none'}; means: {means}"


def notes(report: RoundReport) -> list[str]:
    """What a reader must know to read the figures rightly."""
    lines = []
    if report.judges == "simulated":
        lines.append(
            "The judges were SIMULATED: preferences come from scorers, not from people. Label by hand with "
            f"`{label_command(report)}`."
        )
    if report.evaluators:
        families = ", ".join(f"{name} ({family})" for name, family in report.evaluators.items())
        lines.append(f"Evaluated by {families}; no person judged the held-out clips.")
    if report.proxy_reason:
        lines.append(f"The win rate is a proxy one: {report.proxy_reason}.")
    return lines


def label_command(report: RoundReport) -> str:
    """How to run a small round of the kind with people as judges."""
    return f"trivox round run --branch {report.branch} --judges human --count {BY_HAND} {_where(report)}"


def _where(report: RoundReport) -> str:
    """The workspace option as a person would type it here."""
    root, here = report.workspace, Path.cwd()
    return f"--workspace {root.relative_to(here) if root.is_relative_to(here) else root}"


def next_steps(report: RoundReport) -> list[str]:
    policy, where = report.candidate or report.policy, _where(report)
    return [
        f'trivox tts say "turn off the lamp in the kitchen" --policy {policy} --out lamp.wav {where}',
        f"trivox policy show {policy} {where}",
        f"trivox sample list --round {report.round[-8:]} {where}",
        label_command(report),
        f"trivox round run --branch {report.branch} --policy {policy} --judges simulated {where}",
    ]


def to_terminal(report: RoundReport, html: Path | None = None) -> RenderableType:
    """The report for a rich console."""
    table = Table(
        title=f"Round {report.round} ({report.branch}, {report.algorithm})", title_justify="left"
    )
    table.add_column("stage", style="bold")
    table.add_column("what it made", overflow="fold")
    for row in facts(report):
        table.add_row(*row)
    parts: list[RenderableType] = [table, Text(headline(report), style="bold"), Text()]
    parts += [Text(f"· {line}") for line in notes(report)]
    parts.append(Text(f"· Audio: {report.audio_folder}"))
    if html:
        parts.append(Text(f"· Report to open in a browser: {html}"))
    parts += [Text(), Text("What to run next:")]
    parts += [Text(f"  {line}", style="cyan") for line in next_steps(report)]
    return Group(*parts)


def write_html(report: RoundReport, path: Path) -> None:
    """One HTML file beside the workspace's audio, which it plays by relative links."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE).render(
        report=report,
        headline=headline(report),
        facts=facts(report),
        notes=notes(report),
        next_steps=next_steps(report),
        curves=_curves(report),
        link=lambda target: os.path.relpath(target, path.parent),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())


def _curves(report: RoundReport) -> list[dict[str, Any]]:
    """Training curves as SVG polylines in a 600 x 120 box: title, first, last, lowest, highest and points."""
    metrics = report.stages.get(Stage.TRAIN.value, {}).get("metrics", [])
    names = {
        "loss": "loss",
        "rewards/margins": "reward margin",
        "rewards/accuracies": "reward accuracy",
    }
    curves = []
    for key, title in names.items():
        values = [entry[key] for entry in metrics if key in entry]
        if len(values) > 1:
            curves.append({"title": title, "last": values[-1], **_polyline(values)})
    return curves


def _polyline(values: list[float], width: int = 600, height: int = 120) -> dict[str, Any]:
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    points = " ".join(
        f"{width * index / (len(values) - 1):.1f},{height - height * (value - low) / span:.1f}"
        for index, value in enumerate(values)
    )
    return {"low": low, "high": high, "points": points, "steps": len(values)}


def print_report(report: RoundReport, html: Path | None = None) -> None:
    """On stdout."""
    Console().print(to_terminal(report, html))

"""The report on a reward: all that is known of how far to trust it, as JSON and as one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trivox.platform.records import JudgeKind
from trivox.platform.scoring import ScorerInfo
from trivox.platform.store.files import write_atomically
from trivox.reward_models.adversarial.battery import BatteryReport
from trivox.reward_models.report.best_of import BestOf
from trivox.reward_models.report.figures import Figures
from trivox.reward_models.report.plots import plots

TEMPLATE = "reward_report.html.j2"


@dataclass(frozen=True)
class RewardReport:
    """figures: against judged pairs, None where there were none. searched: over-optimisation. battery: attacks,
    None where none were made. data: what it was made from, in words. evaluators: name -> family, of `searched`."""

    subject: ScorerInfo
    seed: int
    data: Mapping[str, Any]
    figures: Figures | None
    searched: tuple[BestOf, ...] = ()
    battery: BatteryReport | None = None
    evaluators: Mapping[str, str] | None = None

    def to_json(self) -> dict[str, Any]:
        attacked = None if self.battery is None else battery_facts(self.battery)
        return {
            "subject": asdict(self.subject),
            "seed": self.seed,
            "data": dict(self.data),
            "notes": notes(self),
            "figures": None if self.figures is None else self.figures.to_json(),
            "best_of": [one.to_json() for one in self.searched],
            "evaluators": dict(self.evaluators or {}),
            "battery": attacked,
            "adversarial_failures": None if self.battery is None else self.battery.failures,
        }


def battery_facts(one: BatteryReport) -> dict[str, Any]:
    """A battery with the probes that got through by name."""
    return {**asdict(one), "fooled_by": list(one.fooled_by), "adversarial_failures": one.failures}


def notes(report: RewardReport) -> list[str]:
    """What a reader must know to read the figures rightly."""
    lines, figures = [], report.figures
    if figures is None:
        lines.append("No judged pairs: nothing is said of agreement with people.")
    elif figures.judges is not JudgeKind.HUMAN:
        lines.append(
            f"The raters are {figures.judges.value.upper()}, not people: accuracy and ceiling say what was "
            "planted or judged by machines, never what people prefer."
        )
    if figures is not None:
        lines += _of_figures(figures)
    if report.battery is None:
        lines.append("No attacks were made.")
    elif report.battery.failures:
        lines.append(f"Attacks that got through: {', '.join(report.battery.fooled_by) or 'all'}.")
    lines += _unsearched(report.searched)
    return lines


def _of_figures(figures: Figures) -> list[str]:
    lines = []
    if (reason := figures.overall.ceiling.reason) is not None:
        lines.append(f"No ceiling: {reason}.")
    if figures.flips is None:
        lines.append(
            "Each reply is scored alone: the order in which two are shown cannot flip the verdict."
        )
    if figures.calibration_error is None:
        lines.append("The scorer gives no probability: no calibration and no abstention.")
    if figures.failures:
        told = ", ".join(f"{count} {kind}" for kind, count in sorted(figures.failures.items()))
        lines.append(f"Pairs without a value, left out and counted: {told}.")
    return lines


def _unsearched(searched: Sequence[BestOf]) -> list[str]:
    if not searched:
        return ["Over-optimisation was not measured: it needs many candidates for each prompt."]
    missing = sorted({one.n for one in searched if one.mean is None})
    if not missing:
        return []
    return [f"Best of {', '.join(map(str, missing))}: no prompt has as many candidates."]


def write_html(report: RewardReport, path: Path) -> None:
    """One self-contained file."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template(TEMPLATE).render(
        report=report, notes=notes(report), plots=plots(report.figures, report.searched)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, page.encode())

"""`trivox policy evaluate` and `compare` as functions: measurements are kept as evaluations, each made once."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from trivox.pipelines.updates.comparing import Compared, compared, inferior, summarised, won
from trivox.pipelines.updates.suites import RUBRIC, Suites, held_out, measure
from trivox.platform.errors import ConfigError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Branch, Evaluation, PolicyVersion
from trivox.platform.registry import promoted
from trivox.platform.store import Workspace
from trivox.policy.backbone import locate
from trivox.policy.resident import ResidentPolicy
from trivox.reward_models.registry import families

UNDECIDED = {"rate": None, "low": 0.0, "high": 1.0, "wins": 0, "losses": 0, "ties": 0}


def evaluate(ws: Workspace, policy: PolicyVersion, branch: Branch, suites: Suites) -> Evaluation:
    """What a version does on a branch, by the suite; measured once, afterwards taken from the store.

    Raises ConfigError for an adapter of another branch and as `measure` does.
    """
    _check_branch(policy, branch)
    id_ = derived_id("ev", policy.id, *_suite(ws, branch, suites))
    if known := ws.records.find(Evaluation, id=id_):
        return known[0]
    backbone = policy if policy.backbone is None else ws.records.get(PolicyVersion, policy.backbone)
    adapter = None if policy.backbone is None else locate(policy.artefact, ws.root)
    with ResidentPolicy(locate(backbone.artefact, ws.root)).using(adapter) as speaker:
        rows = measure(ws, speaker, branch, suites).rows
    results = {"win_rate": UNDECIDED, "figures": summarised(rows, suites.seed)}
    return _kept(ws, id_, policy, None, branch, suites, results, rows)


def compare(
    ws: Workspace,
    candidate: PolicyVersion,
    baseline: PolicyVersion,
    branch: Branch,
    suites: Suites,
) -> Evaluation:
    """Both versions measured, and the candidate held against the baseline: the evaluation that promotion asks for.

    results: `win_rate`, `changes` by figure, `inferior` and `not_won`, one sentence for each fault.
    """
    before = evaluate(ws, baseline, branch, suites)
    after = evaluate(ws, candidate, branch, suites)
    rules = [one for one in (suites.tie, suites.wanted) if one]
    about = [*_suite(ws, branch, suites), suites.margins, *rules]
    id_ = derived_id("ev", candidate.id, baseline.id, *about)
    if known := ws.records.find(Evaluation, id=id_):
        return known[0]
    found: Compared = compared(before.per_item, after.per_item, branch, suites)
    results = found.results | {"inferior": inferior(found.results), "not_won": won(found.results)}
    return _kept(ws, id_, candidate, baseline, branch, suites, results, found.rows)


def baseline_of(ws: Workspace, candidate: PolicyVersion, branch: Branch) -> PolicyVersion:
    """What the branch runs on: its promoted adapter, or the promoted backbone, or the candidate's own; never the
    candidate. Raises ConfigError where there is nothing to compare with."""
    own = [] if candidate.backbone is None else [candidate.backbone]
    found = [promoted(ws, branch), promoted(ws, None)]
    found += [ws.records.get(PolicyVersion, one) for one in [*own, *candidate.parents]]
    for one in found:
        if one is not None and one.id != candidate.id:
            return one
    raise ConfigError(
        f"policy {candidate.name} has nothing before it to be compared with: name one with --with"
    )


def branches_of(policy: PolicyVersion) -> Sequence[Branch]:
    """An adapter's own, all of a backbone."""
    return [policy.branch] if policy.branch is not None else list(Branch)


def _check_branch(policy: PolicyVersion, branch: Branch) -> None:
    if policy.branch is not None and policy.branch is not branch:
        raise ConfigError(
            f"policy {policy.name} is an adapter of {policy.branch.value}: measure it on "
            f"{policy.branch.value}, not on "
            f"{branch.value}"
        )


def _suite(ws: Workspace, branch: Branch, suites: Suites) -> list[Any]:
    """What a measurement depends on besides the version."""
    suite = suites.of(branch)
    prompts = [] if branch is Branch.REALTIME else [one.id for one in held_out(ws, branch, suite)]
    left_out = {"prompts", "count" if prompts else "prompts"}
    for later in ("temperature", "main"):  # settings that there were not always
        if getattr(suite, later) is None:
            left_out.add(later)
    asked = suite.model_dump(mode="json", exclude=left_out)
    return [branch.value, prompts, asked, list(suites.scorers(branch)), suites.seed]


def _kept(
    ws: Workspace,
    id_: str,
    policy: PolicyVersion,
    baseline: PolicyVersion | None,
    branch: Branch,
    suites: Suites,
    results: dict[str, Any],
    rows: Sequence[dict[str, Any]],
) -> Evaluation:
    rules = {RUBRIC: "rules"} if branch is Branch.REALTIME else {}
    evaluation = Evaluation(
        id=id_,
        project=ws.project,
        policy=policy.id,
        parent=baseline.id if baseline else None,
        suite=f"{branch.value}-update@1",
        evaluators=families(suites.scorers(branch)) | rules,
        # Scorers stand in for people, whatever their families; of a transcript the truth is known.
        proxy=branch is not Branch.ASR,
        results=results,
        per_item=tuple(rows),
        round=None,
        created_at=datetime.now(UTC),
    )
    ws.records.add(evaluation)
    return ws.records.get(Evaluation, id_)

"""`trivox policy promote` and `rollback` as functions: each one transaction, with its decision and its audit
entry.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trivox.annotation.people.audit import THE_SYSTEM, By, note
from trivox.platform.errors import ConfigError, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Branch, Decision, Evaluation, PolicyStatus, PolicyVersion
from trivox.platform.registry import IN_USE, promoted
from trivox.platform.registry import promote as put_in_use
from trivox.platform.scoring import check_families
from trivox.platform.store import Workspace
from trivox.reward_models.composition import CompositionConfig
from trivox.reward_models.registry import families

MERGE = "merge"
"""Kind of the decision that a merge leaves; its evidence says whether it passed and what it covers."""


def promote(
    ws: Workspace, policy: PolicyVersion, *, by: By = THE_SYSTEM, force: str | None = None
) -> Decision:
    """Put a version in use. An adapter needs a comparison, on its branch and with what is in use there, that it
    won and in which nothing got worse. A backbone needs a merge that passed on all branches, or, where all its
    weights were trained, such a comparison on each branch and one of them won; and no promoted adapter of another
    backbone that the merge does not cover: those that it folded in are retired with the old backbone, those that
    it carried over are promoted with it. force: the reason to promote without; it is kept.

    Raises UsageError with everything that speaks against it; nothing is changed then.
    """
    with ws.records.exclusive("audit"):
        current = ws.records.get(PolicyVersion, policy.id)
        faults, evidence, proxy = _case(ws, current)
        if faults and force is None:
            raise UsageError(
                f"policy {current.name} is not promoted: {'; '.join(faults)}: train on, or give the reason "
                "to promote "
                "it nevertheless with --force"
            )
        replaced = _replaced(ws, current, evidence)
        reason = force if faults and force else "won on held-out prompts, nothing got worse"
        told = evidence | {"replaced": {one.id: one.status.value for one in replaced}}
        told |= {"waived": faults} if faults else {}
        decision = put_in_use(
            ws, current, actor=by.actor, reason=reason, evidence=told, proxy=proxy
        )
        for one in replaced:
            ws.records.replace(replace(one, status=PolicyStatus.RETIRED))
        for id_ in evidence.get("carried", {}).values() if current.backbone is None else ():
            carried = ws.records.get(PolicyVersion, id_)
            put_in_use(
                ws, carried, actor=by.actor, reason=reason, evidence={MERGE: current.id}, proxy=True
            )
        note(ws, by, "promote policy", "PolicyVersion", current.id, waived=faults)
    return decision


def rollback(ws: Workspace, branch: Branch | None, reason: str, *, by: By = THE_SYSTEM) -> Decision:
    """Put back what was in use before the last promotion of a branch, or of the backbone (None) with the adapters
    that it replaced.

    Raises UsageError where nothing is in use, or nothing was before it; nothing is changed then.
    """
    with ws.records.exclusive("audit"):
        current = promoted(ws, branch)
        where = branch.value if branch else "the backbone"
        if current is None:
            raise UsageError(f"{where}: nothing is in use there: there is nothing to roll back")
        before = _before(ws, current)
        if not before and branch is None:
            raise UsageError(f"{where}: {current.name} replaced nothing: there is no way back")
        ws.records.replace(replace(current, status=PolicyStatus.RETIRED))
        if branch is None:
            _retire_adapters(ws, current)
        for id_, status in before.items():
            one = ws.records.get(PolicyVersion, id_)
            ws.records.replace(replace(one, status=PolicyStatus(status)))
        number = len(ws.records.find(Decision, subject=current.id))
        decision = Decision(
            derived_id("de", "rollback", current.id, number),
            ws.project,
            "rollback",
            current.id,
            by.actor,
            reason,
            datetime.now(UTC),
            {"restored": before},
        )
        ws.records.add(decision)
        note(ws, by, "roll back policy", "PolicyVersion", current.id, restored=sorted(before))
    return decision


def _case(ws: Workspace, policy: PolicyVersion) -> tuple[list[str], dict[str, Any], bool]:
    """What speaks against a version, the evidence, and whether only proxies judged."""
    if policy.status in IN_USE:
        raise UsageError(f"policy {policy.name} is {policy.status.value} already")
    if policy.backbone is None:
        return _case_of_backbone(ws, policy)
    assert policy.branch is not None or policy.backbone is not None
    if policy.branch is None:
        return [], {}, True  # refused by the registry, with the way out
    found = ws.records.find(Evaluation, project=ws.project, policy=policy.id)
    now = promoted(ws, policy.branch) or ws.records.get(PolicyVersion, policy.backbone)
    held = [one for one in found if one.parent == now.id and "changes" in one.results]
    if not held:
        told = f"it was not compared with {now.name}, which is in use: run `trivox policy compare {policy.name}`"
        return [told], {}, True
    last = held[-1]
    faults = [*last.results["not_won"], *last.results["inferior"], *_rewarded_by(ws, policy, last)]
    return faults, {"evaluation": last.id, "results": last.results}, last.proxy


def _case_of_backbone(
    ws: Workspace, policy: PolicyVersion
) -> tuple[list[str], dict[str, Any], bool]:
    merged = ws.records.find(Decision, project=ws.project, subject=policy.id, kind=MERGE)
    if not merged:
        return _case_of_full(ws, policy)
    evidence = merged[-1].evidence
    faults = [*evidence["faults"], *_uncovered(ws, policy, evidence), *_outdated(ws, evidence)]
    return faults, evidence, True


def _case_of_full(ws: Workspace, policy: PolicyVersion) -> tuple[list[str], dict[str, Any], bool]:
    """All weights trained: compared on every branch with what it runs on, worse on none, won on one at least."""
    faults, found = list[str](), dict[Branch, Evaluation]()
    for branch in Branch:
        now = promoted(ws, branch) or promoted(ws, None) or _parent(ws, policy)
        held = [
            one
            for one in ws.records.find(Evaluation, project=ws.project, policy=policy.id)
            if one.parent == now.id and one.suite.startswith(f"{branch.value}-")
        ]
        if held:
            found[branch] = held[-1]
            faults += [f"{branch.value}: {fault}" for fault in held[-1].results["inferior"]]
        else:
            faults.append(
                f"{branch.value}: no merge and no comparison with {now.name} measured it: run "
                f"`trivox policy compare {policy.name} --branch {branch.value}`"
            )
    if found and all(one.results["not_won"] for one in found.values()):
        faults.append(f"it won on no branch of {', '.join(branch.value for branch in found)}")
    evidence = {"evaluations": {branch.value: one.id for branch, one in found.items()}}
    proxy = any(one.proxy for one in found.values()) or len(found) < len(Branch)
    return [*faults, *_uncovered(ws, policy, {})], evidence, proxy


def _rewarded_by(ws: Workspace, policy: PolicyVersion, held: Evaluation) -> list[str]:
    """Whether a family that rewarded the version also measured it. Of a transcript the truth is known."""
    made = ws.records.find(Decision, project=ws.project, subject=policy.id, kind="training")
    composition = made[-1].evidence.get("composition") if made else None
    if composition is None or policy.branch is Branch.ASR:
        return []
    try:
        scorers = CompositionConfig.model_validate(composition).scorers
        check_families(families(scorers), held.evaluators)
    except ConfigError as error:
        return [str(error)]
    return []


def _outdated(ws: Workspace, evidence: dict[str, Any]) -> list[str]:
    """Branches on which something else is in use than what a merge was measured against."""
    faults = []
    for branch, against in evidence.get("against", {}).items():
        now = promoted(ws, Branch(branch)) or promoted(ws, None)
        if now is not None and now.id != against:
            old = ws.records.get(PolicyVersion, against)
            faults.append(
                f"{branch}: it was measured against {old.name} and {now.name} is in use now: merge again"
            )
    return faults


def _parent(ws: Workspace, policy: PolicyVersion) -> PolicyVersion:
    """The heaviest; a backbone without one is its own."""
    parents = sorted(policy.parents, key=lambda one: -policy.parents[one])
    return ws.records.get(PolicyVersion, parents[0]) if parents else policy


def _uncovered(ws: Workspace, policy: PolicyVersion, evidence: dict[str, Any]) -> list[str]:
    covered = {*evidence.get("folded", {}), *evidence.get("carried", {})}
    return [
        f"{one.name} is in use on {one.branch.value if one.branch else 'all'} and neither folded in nor "
        "carried over: "
        "merge again"
        for one in _adapters_in_use(ws)
        if one.backbone != policy.id and one.id not in covered
    ]


def _replaced(
    ws: Workspace, policy: PolicyVersion, evidence: dict[str, Any]
) -> Sequence[PolicyVersion]:
    """What is in use now and will not be: with a backbone all adapters of others."""
    now = promoted(ws, policy.branch)
    found = [] if now is None else [now]
    if policy.backbone is None:
        found += [one for one in _adapters_in_use(ws) if one.backbone != policy.id]
    return found


def _adapters_in_use(ws: Workspace) -> list[PolicyVersion]:
    found = [promoted(ws, branch) for branch in Branch]
    return [one for one in found if one is not None]


def _retire_adapters(ws: Workspace, backbone: PolicyVersion) -> None:
    for one in _adapters_in_use(ws):
        if one.backbone == backbone.id:
            ws.records.replace(replace(one, status=PolicyStatus.RETIRED))


def _before(ws: Workspace, current: PolicyVersion) -> dict[str, str]:
    """What the last promotion of a version replaced, with the states of then. A round's own promotion says nothing
    of it: then the version of the branch that was retired last; a branch without one runs on its backbone
    again."""
    made = ws.records.find(Decision, project=ws.project, subject=current.id, kind="promotion")
    if made and "replaced" in made[-1].evidence:
        found: dict[str, str] = made[-1].evidence["replaced"]
        return found
    retired = [
        (decision.created_at, one)
        for one in ws.records.find(PolicyVersion, project=ws.project, branch=current.branch)
        if one.status is PolicyStatus.RETIRED
        for decision in ws.records.find(Decision, subject=one.id, kind="promotion")
    ]
    if not retired:
        return {}
    last = max(retired, key=lambda pair: pair[0])[1]
    return {last.id: PolicyStatus.PROXY.value}

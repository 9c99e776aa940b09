"""The registry of policy versions: which there are, where they come from, which one a branch runs on."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from trivox.platform.errors import NotFound, UsageError
from trivox.platform.hashing import derived_id
from trivox.platform.records import Branch, Decision, PolicyStatus, PolicyVersion
from trivox.platform.store import Workspace
from trivox.platform.store.artefacts import send

IN_USE = (PolicyStatus.PROMOTED, PolicyStatus.PROXY)
_PACKAGED = "package:trivox-nano"


def register(ws: Workspace, policy: PolicyVersion) -> PolicyVersion:
    """Add a version and return it as stored; the first write of an id wins.

    Its weights are sent first to where the workspace keeps artefacts. Raises NotFound when a parent or the
    backbone is not registered, UsageError when the name is another's, StoreError when weights could not be sent.
    """
    send(ws, policy.artefact)
    with ws.records.transaction():
        for needed in _ancestors(policy):
            ws.records.get(PolicyVersion, needed)
        for other in _find(ws, name=policy.name):
            if other.id != policy.id:
                raise UsageError(
                    f"policy {policy.id}: the name {policy.name!r} is {other.id}'s: choose another"
                )
        ws.records.add(policy)
        return ws.records.get(PolicyVersion, policy.id)


def resolve(ws: Workspace, name_or_id: str) -> PolicyVersion:
    """By id, by name, by a unique beginning of an id; "nano" is also the newest base of the package.

    Raises NotFound, and UsageError when several ids begin so.
    """
    exact = _find(ws, id=name_or_id) or _find(ws, name=name_or_id)
    if exact:
        return exact[0]
    policies = _find(ws)
    packaged = [p for p in policies if p.branch is None and p.artefact.startswith(_PACKAGED)]
    if name_or_id == "nano" and packaged:
        return packaged[-1]
    begun = [policy for policy in policies if name_or_id and policy.id.startswith(name_or_id)]
    if len(begun) > 1:
        ids = ", ".join(policy.id for policy in begun[:5])
        raise UsageError(
            f"{name_or_id!r} begins the ids of {len(begun)} policies: {ids}: give more"
        )
    if not begun:
        known = ", ".join(policy.name for policy in policies[-8:]) or "none yet"
        raise NotFound(f"no policy {name_or_id!r} in {ws.root}; registered: {known}")
    return begun[0]


def promoted(ws: Workspace, branch: Branch | None) -> PolicyVersion | None:
    """The version that the branch runs on (None: the backbone), or None before the first promotion."""
    in_use = [policy for policy in _find(ws, branch=branch) if policy.status in IN_USE]
    return in_use[-1] if in_use else None


def promote(
    ws: Workspace,
    policy: PolicyVersion,
    *,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
    proxy: bool,
) -> Decision:
    """Put policy in use on its branch and retire the one before it, with the decision, in one transaction.

    proxy: only proxies of people's judgement measured the win. Promoting what is promoted already, in the
    same way, returns the decision that did so. Raises UsageError for an adapter over several branches, which
    is in no branch's place.
    """
    if policy.branch is None and policy.backbone is not None:
        raise UsageError(
            f"policy {policy.name} is an adapter over several branches and a branch runs on one of its own: "
            "train it for one branch, or all weights with --full"
        )
    status = PolicyStatus.PROXY if proxy else PolicyStatus.PROMOTED
    with ws.records.transaction():
        current = ws.records.get(PolicyVersion, policy.id)
        decided = _decisions(ws, policy, "promotion")
        if current.status == status and decided:
            return decided[-1]
        for other in _find(ws, branch=current.branch):
            if other.id != current.id and other.status in IN_USE:
                ws.records.replace(replace(other, status=PolicyStatus.RETIRED))
        ws.records.replace(replace(current, status=status))
        return _decide(ws, current, "promotion", actor, reason, evidence)


def reject(
    ws: Workspace, policy: PolicyVersion, *, actor: str, reason: str, evidence: dict[str, Any]
) -> Decision:
    """Record that policy is not to be used. Raises UsageError for one in use."""
    with ws.records.transaction():
        current = ws.records.get(PolicyVersion, policy.id)
        if current.status in IN_USE:
            raise UsageError(
                f"policy {current.name} is {current.status.value}: promote another first"
            )
        decided = _decisions(ws, policy, "rejection")
        if current.status == PolicyStatus.REJECTED and decided:
            return decided[-1]
        ws.records.replace(replace(current, status=PolicyStatus.REJECTED))
        return _decide(ws, current, "rejection", actor, reason, evidence)


def lineage(ws: Workspace, policy: PolicyVersion) -> list[PolicyVersion]:
    """policy, then its parents, heaviest first, then theirs, up to the root; each version once."""
    found = [policy]
    for version in found:  # grows while it is walked
        seen = {one.id for one in found}
        new = [needed for needed in _ancestors(version) if needed not in seen]
        found += [ws.records.get(PolicyVersion, needed) for needed in new]
    return found


def _ancestors(policy: PolicyVersion) -> list[str]:
    parents = sorted(policy.parents, key=lambda parent: -policy.parents[parent])
    backbone = policy.backbone
    return parents if backbone is None or backbone in parents else [*parents, backbone]


def _find(ws: Workspace, **equal: Any) -> list[PolicyVersion]:
    return ws.records.find(PolicyVersion, project=ws.project, **equal)


def _decisions(ws: Workspace, policy: PolicyVersion, kind: str) -> list[Decision]:
    return ws.records.find(Decision, project=ws.project, subject=policy.id, kind=kind)


def _decide(
    ws: Workspace,
    policy: PolicyVersion,
    kind: str,
    actor: str,
    reason: str,
    evidence: dict[str, Any],
) -> Decision:
    earlier = len(ws.records.find(Decision, project=ws.project, subject=policy.id))
    decision = Decision(
        id=derived_id("de", kind, policy.id, earlier),
        project=ws.project,
        kind=kind,
        subject=policy.id,
        actor=actor,
        reason=reason,
        created_at=datetime.now(UTC),
        evidence=evidence,
    )
    ws.records.add(decision)
    return decision

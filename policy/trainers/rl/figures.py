"""What is logged of each step."""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from trivox.platform.errors import WorkError
from trivox.policy.trainers.rl.episodes import Episode
from trivox.policy.trainers.rl.logprobs import Said
from trivox.policy.trainers.rl.minibatches import Minibatch

Figures = dict[str, float]


def rewards_of(made: Sequence[Episode], kept: Sequence[Episode]) -> Figures:
    """Of all episodes that have a reward, also of those that are not trained on."""
    scored = [one for one in made if one.failure is None]
    totals = np.array([one.total for one in scored])
    names = dict.fromkeys(name for one in scored for name in one.components)
    parts = {
        f"reward/{name}": float(
            np.mean([one.components[name] for one in scored if name in one.components])
        )
        for name in names
    }
    counts = {
        "episodes": float(len(made)),
        "failed": float(len(made) - len(scored)),
        "left_out": float(len(scored) - len(kept)),
    }
    return {"reward": float(totals.mean()), "reward_std": float(totals.std())} | parts | counts


def staleness_of(made: Sequence[Episode], allowed: int) -> Figures:
    """How old the policy was that drew the episodes, in updates, and how many are older than is allowed; nothing
    where all must be fresh and are."""
    ages = [one.staleness for one in made]
    if not allowed and not any(ages):
        return {}
    return {"staleness": float(np.mean(ages)), "stale": float(sum(age > allowed for age in ages))}


def known_before(parts: Sequence[Minibatch]) -> Figures:
    """What is known before the update: the distance to the reference and to the engine."""
    actions = sum(int(part.batch.chosen.sum()) for part in parts)
    if not actions:
        raise WorkError("the constraint left the policy no choice in any token of the step")
    if not any(bool(part.learned.any()) for part in parts):
        raise WorkError("no token of the step is a word, and learns is 'words': set it to 'all'")
    kl = sum(float((part.old - part.reference)[part.batch.chosen].sum()) for part in parts)
    return {
        "kl": kl / actions,
        "actions": float(actions),
        "logprob_gap": max(part.agreement.worst for part in parts),
        "masked_share": float(np.mean([part.agreement.masked for part in parts])),
    }


def entropy_of(now: Said, part: Minibatch) -> float:
    """Mean over the actions, in nats."""
    return now.entropy[part.batch.chosen].mean().item()


def means(seen: Sequence[Figures]) -> Figures:
    """Of the updates of a step, name by name; what is nan is left out."""
    known = defaultdict[str, list[float]](list)
    for one in seen:
        for name, value in one.items():
            if not math.isnan(value):
                known[name].append(value)
    return {name: float(np.mean(values)) for name, values in known.items()}

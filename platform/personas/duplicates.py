"""Near-duplicates among personas and rubrics: Jaccard similarity of what they say, in shingles.

Exact, by prefix filtering (Chaudhuri et al. 2006): two sets as similar as the threshold share one of their
rarest members, so most pairs are never compared.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil

from trivox.platform.errors import UsageError
from trivox.platform.personas import THRESHOLD
from trivox.platform.personas.registry import reference
from trivox.platform.records import Persona, Rubric

WORDS = 3
"""Length of a shingle in words."""

Shingles = frozenset[tuple[str, str]]
Similarity = Callable[[Persona, Persona], float]
"""0 (nothing in common) to 1: pass one made of embeddings where a model is at hand."""


@dataclass(frozen=True, order=True)
class Duplicate:
    """Two of a kind by their references, and how similar they are, 0 to 1."""

    one: str
    other: str
    similarity: float


def shingles(field: str, text: str) -> Shingles:
    """(field, n words in a row), lower case; a text of fewer words is one shingle."""
    words = "".join(c if c.isalnum() or c.isspace() else " " for c in text.casefold()).split()
    rows = range(max(1, len(words) - WORDS + 1)) if words else ()
    return frozenset((field, " ".join(words[i : i + WORDS])) for i in rows)


def jaccard(one: Shingles, other: Shingles) -> float:
    """Shared among all; 0 where neither says anything."""
    return len(one & other) / len(one | other) if one or other else 0.0


def near_duplicates(
    records: Sequence[Persona | Rubric],
    threshold: float = THRESHOLD,
    similarity: Similarity | None = None,
) -> list[Duplicate]:
    """Pairs at least as similar as the threshold, most similar first; versions of one name are no duplicates.

    Personas are compared by their traits and by their descriptions, whichever are more alike; rubrics by their
    criteria. Raises UsageError unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise UsageError(f"threshold {threshold} is outside (0, 1]: give {THRESHOLD}, say")
    found: dict[tuple[str, str], float] = {}
    if similarity:
        for i, one in enumerate(records):
            for other in records[:i]:
                if isinstance(one, Persona) and isinstance(other, Persona):
                    _keep(found, (other, one), similarity(other, one), threshold)
    for said in (_traits, _description):
        for i, j, alike in _alike([said(record) for record in records], threshold):
            _keep(found, (records[i], records[j]), alike, threshold)
    pairs = [Duplicate(one, other, alike) for (one, other), alike in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.one, pair.other))


def similar_to(
    record: Persona, others: Sequence[Persona], threshold: float = THRESHOLD
) -> list[Duplicate]:
    """Those of the others that record nearly repeats, most similar first."""
    mine = (_traits(record), _description(record))
    found: dict[tuple[str, str], float] = {}
    for other in others:
        for own, its in zip(mine, (_traits(other), _description(other)), strict=True):
            _keep(found, (record, other), jaccard(own, its), threshold)
    pairs = [Duplicate(one, other, alike) for (one, other), alike in found.items()]
    return sorted(pairs, key=lambda pair: (-pair.similarity, pair.other))


def _traits(record: Persona | Rubric) -> Shingles:
    if isinstance(record, Rubric):
        said: Mapping[str, str] = {name: text for name, (_, text) in record.criteria.items()}
    else:
        said = record.traits
    return frozenset[tuple[str, str]]().union(*(shingles(name, said[name]) for name in said))


def _description(record: Persona | Rubric) -> Shingles:
    text = record.description if isinstance(record, Persona) else ""
    return shingles("description", text)


def _keep(
    found: dict[tuple[str, str], float],
    pair: tuple[Persona | Rubric, Persona | Rubric],
    alike: float,
    threshold: float,
) -> None:
    one, other = pair
    if alike >= threshold and one.name != other.name:
        key = (reference(one), reference(other))
        found[key] = max(alike, found.get(key, 0.0))


def _alike(sets: Sequence[Shingles], threshold: float) -> Iterator[tuple[int, int, float]]:
    """(i, j, similarity) with i < j of all pairs at or above the threshold."""
    often = Counter(shingle for each in sets for shingle in each)
    holders: dict[tuple[str, str], list[int]] = defaultdict(list)
    for j, each in enumerate(sets):
        rarest = sorted(each, key=lambda shingle: (often[shingle], shingle))
        # Rounding may put the product just above a whole number: a longer prefix loses nothing.
        prefix = rarest[: len(each) - ceil(threshold * len(each) - 1e-9) + 1]
        for i in sorted({i for shingle in prefix for i in holders[shingle]}):
            alike = jaccard(sets[i], each)
            if alike >= threshold:
                yield i, j, alike
        for shingle in prefix:
            holders[shingle].append(j)

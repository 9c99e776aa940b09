"""Texts as the units that are compared (words, or characters by language), and how such sequences lie together."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import jiwer

from trivox.platform.text.normalise import by_character, normaliser_for

_INSERTION = _DELETION = 3000
_SUBSTITUTION = 4000
_OVER_GAP = 1000
_SKIP = 1


@dataclass(frozen=True)
class EditCounts:
    """The least edits that turn one sequence into another."""

    substitutions: int
    deletions: int
    insertions: int

    @property
    def total(self) -> int:
        return self.substitutions + self.deletions + self.insertions


def units(text: str, language: str) -> list[str]:
    """What a text of a language (BCP-47) is compared by, after its normaliser: words, or characters of scripts
    without spaces."""
    normal = normaliser_for(language)(text)
    return list(normal) if by_character(language) else normal.split()


def edit_counts(wanted: Sequence[str], heard: Sequence[str]) -> EditCounts:
    """Counts by jiwer; no unit may hold white space."""
    if not wanted or not heard:  # jiwer takes no empty side
        return EditCounts(0, len(wanted), len(heard))
    found = jiwer.process_words(" ".join(wanted), " ".join(heard))
    return EditCounts(found.substitutions, found.deletions, found.insertions)


def align_to_slots(
    slots: Sequence[Collection[str | None]], words: Sequence[str]
) -> list[tuple[int | None, int | None]]:
    """The cheapest way to lay words along slots, each a set of the words seen there; None in it is a gap.

    Pairs (slot, word) in order; None: the slot gets no word, or the word stands between slots. Costs are those
    of NIST's rover (SCTK, wwd_WORD_rover): a word that is in the slot 0, another word 4, or 1 where the slot
    has a gap; no word 3, or 0.001 where the slot has a gap; a word between slots 3. Of equal ways the one
    that pairs a word with a slot, looking from the end.
    """
    table = _costs(slots, words)
    pairs: list[tuple[int | None, int | None]] = []
    slot, word = len(slots), len(words)
    while slot or word:
        here = table[slot][word]
        if (
            slot
            and word
            and here == table[slot - 1][word - 1] + _meeting(slots[slot - 1], words[word - 1])
        ):
            slot, word = slot - 1, word - 1
            pairs.append((slot, word))
        elif slot and here == table[slot - 1][word] + _skipping(slots[slot - 1]):
            slot -= 1
            pairs.append((slot, None))
        else:
            word -= 1
            pairs.append((None, word))
    return pairs[::-1]


def _costs(slots: Sequence[Collection[str | None]], words: Sequence[str]) -> list[list[int]]:
    """table[i][j]: the least cost of laying the first j words along the first i slots (Wagner, Fischer 1974)."""
    table = [[_INSERTION * count for count in range(len(words) + 1)]]
    for slot in slots:
        above, skip = table[-1], _skipping(slot)
        row = [above[0] + skip]
        for index, word in enumerate(words):
            meeting = above[index] + _meeting(slot, word)
            row.append(min(meeting, above[index + 1] + skip, row[index] + _INSERTION))
        table.append(row)
    return table


def _meeting(slot: Collection[str | None], word: str) -> int:
    if word in slot:
        return 0
    return _OVER_GAP if None in slot else _SUBSTITUTION


def _skipping(slot: Collection[str | None]) -> int:
    return _SKIP if None in slot else _DELETION

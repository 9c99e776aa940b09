"""The domain: how much it holds, and that a seed fixes what is drawn from it."""

import itertools
import string

import pytest

from trivox.pipelines.nano.sentences import SLOTS, TEMPLATES, sentences, word_sequences
from trivox.platform.errors import ConfigError
from trivox.policy.vocabulary import ALPHABET

DOMAIN = 11_832
FIRST = [
    "where did emma leave the phone",
    "remind me to buy cheese and pizza",
    "turn off the light in the garden",
]


def whole_domain() -> set[str]:
    """Every template with every value in every slot, written out."""
    found = set()
    for template in TEMPLATES:
        names = [name for _, name, _, _ in string.Formatter().parse(template) if name]
        for values in itertools.product(*(SLOTS[name.rstrip("2")] for name in names)):
            filled = dict(zip(names, values, strict=True))
            if all(
                filled[name] != filled.get(name.rstrip("2")) for name in names if name[-1] == "2"
            ):
                found.add(template.format(**filled))
    return found


def test_size_of_the_domain() -> None:
    assert len(whole_domain()) == DOMAIN


def test_distinct_seeded_and_of_the_domain() -> None:
    drawn = sentences(2000, seed=3)
    assert len(set(drawn)) == 2000
    assert set(drawn) <= whole_domain()
    assert set("".join(drawn)) <= set(ALPHABET)
    assert sentences(2000, seed=3) == drawn
    assert sentences(10, seed=3) == drawn[:10]
    assert sentences(10, seed=4) != drawn[:10]


def test_the_shipped_corpus_stays() -> None:
    """trivox-nano-v1 was trained on what seed 0 draws: its held-out sentences are known by this order."""
    assert sentences(3, seed=0) == FIRST


def test_more_than_the_domain_holds_is_refused() -> None:
    """Not looked for without end."""
    with pytest.raises(ConfigError, match=rf"{DOMAIN + 1} sentences.*holds {DOMAIN}"):
        sentences(DOMAIN + 1, seed=0)


@pytest.mark.slow
def test_all_of_the_domain_can_be_asked_for() -> None:
    assert set(sentences(DOMAIN, seed=0)) == whole_domain()


def test_word_sequences_are_distinct_seeded_and_of_the_domain() -> None:
    found = word_sequences(200, seed=3)
    assert len(set(found)) == 200
    assert found == word_sequences(200, seed=3) != word_sequences(200, seed=4)
    known = {word for text in sentences(6000, 0) for word in text.split()}
    assert {word for text in found for word in text.split()} <= known
    assert {len(text.split()) for text in found} == {1, 2, 3, 4, 5, 6}

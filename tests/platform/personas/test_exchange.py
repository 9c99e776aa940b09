"""Files of personas and rubrics: they come back as they went, and what is wrong has a place and a field."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trivox.platform.errors import BadImport, UsageError
from trivox.platform.personas import exchange, registry
from trivox.platform.personas.registry import persona_of, rubric_of
from trivox.platform.records import Persona, Rubric
from trivox.platform.store import Workspace

GOOD = """
# who speaks
[[persona]]
name = "anna"
description = "a sailor"
traits = { opening = "aye", address = "captain" }

[[persona]]
name = "john"
description = "a butler"
parents = ["anna@1"]
[persona.traits]
opening = "gladly"

[[rubric]]
name = "talk"
[rubric.criteria."on topic"]
weight = 1
description = "names what was asked"
[rubric.metrics.en]
metric = "wer"
normaliser = "english@1"
"""


@pytest.fixture
def ws(tmp_path: Path) -> Iterator[Workspace]:
    with Workspace.create(tmp_path / "ws") as made:
        yield made


def written(tmp_path: Path, text: str, name: str = "p.toml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_toml(ws: Workspace, tmp_path: Path) -> None:
    taken = exchange.take(ws, exchange.read(written(tmp_path, GOOD)))
    assert [registry.reference(one) for one in taken] == ["anna@1", "john@1", "talk@1"]
    assert registry.resolve(ws, Persona, "john").parents == ("anna@1",)
    rubric = registry.resolve(ws, Rubric, "talk")
    assert rubric.criteria == {"on topic": (1.0, "names what was asked")}
    assert rubric.metrics == {"en": ("wer", "english@1")}
    assert exchange.take(ws, exchange.read(written(tmp_path, GOOD))) == taken


@pytest.mark.parametrize("name", ["out.toml", "out.jsonl"])
def test_what_is_exported_can_be_imported(ws: Workspace, tmp_path: Path, name: str) -> None:
    exchange.take(ws, exchange.read(written(tmp_path, GOOD)))
    registry.revise_persona(ws, "anna", "an old sailor", {})
    exchange.write(tmp_path / name, exchange.export(ws))
    with Workspace.create(tmp_path / "other") as other:
        taken = exchange.take(other, exchange.read(tmp_path / name))
        assert taken == exchange.export(other) == exchange.export(ws)


_TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@given(_TEXT, st.dictionaries(_TEXT, _TEXT, max_size=3), st.sampled_from(["toml", "jsonl"]))
@example("a\x7fb\r\n\u2028\u0085'\"\\", {"\x7f": "\tx"}, "toml")
def test_any_text_comes_back(
    tmp_path_factory: pytest.TempPathFactory, text: str, traits: dict[str, str], form: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{form}"
    rows = [
        persona_of("default", "anna", text, traits, 3, ("john@2",)),
        rubric_of("default", "talk", {text: (0.1, text), "rest": (0.9, "")}),
    ]
    exchange.write(path, rows)
    assert exchange.records(exchange.read(path), "default") == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD.replace('"a butler"', "3"), r"p.toml:8: description: Input should be a valid string"),
        (GOOD.replace("parents", "parent"), r"p.toml:8: parent: Extra inputs are not permitted"),
        (GOOD.replace("weight = 1\n", ""), r"p.toml:15: criteria.on topic.weight: Field required"),
        (
            GOOD.replace("weight = 1", "weight = 0.5"),
            r"p.toml:15: rubric talk: the weights sum to 0.5",
        ),
        (GOOD.replace("anna@1", "eve@1"), r"p.toml:8: no persona 'eve'"),
        (
            GOOD.replace('name = "john"', 'name = "John!"'),
            r"p.toml:8: persona 'John!': name it with",
        ),
        ("[[people]]\nname = 'x'", r"p.toml: people: only \[\[persona\]\] and \[\[rubric\]\]"),
        ("persona = [{name = 'x'}]", r"p.toml: persona 1: description: Field required"),
        ("persona = 3", r"p.toml: persona: only"),
        ("[[persona]\n", r"p.toml: not valid TOML: .*line 1"),
        ("", r"p.toml: no \[\[persona\]\]"),
    ],
)
def test_what_is_wrong_in_toml(ws: Workspace, tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadImport, match=said):
        exchange.take(ws, exchange.read(written(tmp_path, text)))
    assert exchange.export(ws) == []


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"kind": "persona", "name": "x"}', "p.jsonl:2: description: Field required"),
        ('{"name": "x"}', "p.jsonl:2: kind: None is neither 'persona' nor 'rubric'"),
        ('{"kind": ["x"]}', r"p.jsonl:2: kind: \['x'\] is neither"),
        ("[1]", "p.jsonl:2: an object is expected, not list"),
        ("{", "p.jsonl:2: not JSON: .* at column 2"),
        (
            '{"kind": "persona", "name": "x", "description": "y", "version": 0}',
            "p.jsonl:2: version",
        ),
    ],
)
def test_what_is_wrong_in_json_lines(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(BadImport, match=said):
        exchange.read(written(tmp_path, f"\n{line}\n", "p.jsonl"))


def test_a_version_with_another_content(ws: Workspace, tmp_path: Path) -> None:
    exchange.take(ws, exchange.read(written(tmp_path, GOOD)))
    other = GOOD.replace('name = "anna"', 'name = "anna"\nversion = 1').replace("sailor", "cook")
    with pytest.raises(BadImport, match=r"p.toml:3: persona anna@1 is registered with another"):
        exchange.take(ws, exchange.read(written(tmp_path, other)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadImport, match=r"none\.toml: no such file"):
        exchange.read(tmp_path / "none.toml")
    with pytest.raises(BadImport, match=r"x\.csv: personas are read from"):
        exchange.read(tmp_path / "x.csv")
    with pytest.raises(UsageError, match="are written to"):
        exchange.write(tmp_path / "x.csv", [])
    path = tmp_path / "x.toml"
    path.write_bytes(b"a = '\xff'")
    with pytest.raises(BadImport, match="not UTF-8: invalid start byte at byte 5"):
        exchange.read(path)

"""Replies to check: every complaint has file, line and field."""

from pathlib import Path

import pytest

from trivox.platform.errors import BadImport
from trivox.platform.personas.files import read_replies
from trivox.platform.personas.registry import revise_persona
from trivox.platform.store import Workspace


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"persona": "anna"}', "r.jsonl:2: text: None is no text"),
        ('{"persona": 3, "text": "x"}', "r.jsonl:2: persona: 3 is no text"),
        ('{"persona": "eve", "text": "x"}', "r.jsonl:2: persona: no persona 'eve'"),
        ("{", "r.jsonl:2: not JSON"),
    ],
)
def test_what_is_wrong(tmp_path: Path, line: str, said: str) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text(f'{{"persona": "anna@1", "text": "aye"}}\n{line}\n')
    with Workspace.create(tmp_path / "ws") as ws:
        anna = revise_persona(ws, "anna", "a sailor", {"opening": "aye"})
        with pytest.raises(BadImport, match=said):
            read_replies(ws, path)
        path.write_text('\n{"persona": "anna", "text": "aye", "more": 1}\n')
        assert read_replies(ws, path) == [(anna, "aye")]
        path.write_text("\n")
        with pytest.raises(BadImport, match="no reply is in it"):
            read_replies(ws, path)

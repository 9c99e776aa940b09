"""Nothing that people or models write becomes markup, and no link leads elsewhere."""

import json
import re
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivox.annotation.web.render import data, markdown, own_path
from trivox.annotation.web.work_pages import MODULES

WEB = Path(__file__).resolve().parents[3] / "annotation" / "web"


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "[click](javascript:alert(1))",
        "[click](data:text/html,<script>1</script>)",
        "![seen](https://elsewhere.example/pixel.png)",
    ],
)
def test_guidelines_cannot_carry_scripts(hostile: str) -> None:
    made = markdown(f"Listen.\n\n{hostile}")
    assert not re.search(r"<(script|img|iframe)|href=.(javascript|data):", str(made))


def test_guidelines_are_set() -> None:
    assert "<strong>words</strong>" in markdown("Wrong **words** weigh most.")


@given(st.text())
def test_one_goes_back_to_this_server_alone(back: str) -> None:
    path = own_path(back)
    assert urlsplit(urljoin("http://here.example/x", path)).netloc == "here.example"
    assert path.startswith("/") and "\n" not in path


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "https://evil.example", "/\t/evil", ""]
)
def test_hostile_ways_back_lead_home(back: str) -> None:
    assert own_path(back) == "/"


@given(st.dictionaries(st.text(), st.text()))
def test_data_stays_data(value: dict[str, str]) -> None:
    told = str(data(value))
    assert "<" not in told and json.loads(told) == value


def test_pages_have_no_inline_script_or_style_and_load_nothing_from_elsewhere() -> None:
    for path in WEB.glob("templates/**/*.html"):
        text = path.read_text(encoding="utf-8")
        for tag in re.findall(r"<script[^>]*>", text):
            assert "src=" in tag or 'type="application/json"' in tag, path
        assert not re.search(r"""\s(on[a-z]+|style)=["']""", text), path
        assert "http://" not in text and "https://" not in text, path
    for path in [*WEB.glob("static/*.js"), *WEB.glob("static/*.css")]:
        assert not re.search(r"https?://|innerHTML|eval\(|@import", path.read_text("utf-8")), path


def test_colours_are_named_in_one_place() -> None:
    """A colour of its own in app.css would not change with light and dark."""
    css = (WEB / "static" / "app.css").read_text(encoding="utf-8")
    assert re.findall(r"#[0-9a-fA-F]{3,8}\b(?![^{]*\{)", css) == []


def test_the_page_names_every_module_that_its_script_needs() -> None:
    """One that is not named comes later, after those that import it."""
    needed, left = set[str](), ["task"]
    while left:
        text = (WEB / "static" / f"{left.pop()}.js").read_text(encoding="utf-8")
        fresh = set(re.findall(r'from "\./(\w+)\.js"', text)) - needed
        needed |= fresh
        left += fresh
    assert needed == set(MODULES)

"""Forms made from configuration schemas: every field of a pydantic model is a widget, with its default and
what the model says of it. What a form gives is validated by the model itself, so page, TOML and API accept the
same."""

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin

import streamlit as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Choices = Mapping[str, Callable[[], list[str]]]
"""Dotted field -> names to choose from."""
LEFT = object()
"""Of a field that stands as it was shown: it is left out, so that the model's own default holds."""


@cache
def described(model: type[BaseModel]) -> dict[str, str]:
    """Field -> the string that stands below it in the source of the model or of those it is made from."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not (isinstance(base, type) and issubclass(base, BaseModel)) or base is BaseModel:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, text in zip(body.body, body.body[1:], strict=False):
            if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
                continue
            if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                found[field.target.id] = " ".join(str(text.value.value).split())
    return found


def fields(model: type[BaseModel], choices: Choices, prefix: str = "") -> dict[str, Any]:
    """Widgets for the model's fields; returns the raw values of what was changed, not yet validated. Plain fields
    come first, each table below is folded away with its own."""
    raw: dict[str, Any] = {}
    nested: list[tuple[str, FieldInfo]] = []
    columns = st.columns(3)
    place = 0
    for name, info in model.model_fields.items():
        if is_table(without_none(info.annotation)[0]):
            nested.append((name, info))
            continue
        with columns[place % 3]:
            raw[name] = _field(model, name, info, f"{prefix}{name}", choices)
        place += 1
    for name, info in nested:
        raw[name] = _table(described(model).get(name), name, info, f"{prefix}{name}", choices)
    return {name: value for name, value in raw.items() if value is not LEFT}


def is_table(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, BaseModel)


def _table(text: str | None, name: str, info: FieldInfo, path: str, choices: Choices) -> Any:
    """A table folded away; one that may be missing has a switch."""
    inner, optional = without_none(info.annotation)
    there = not optional or info.get_default(call_default_factory=True) is not None
    with st.expander(f"{name} {'(left out unless switched on)' if not there else ''}"):
        if text:
            st.caption(text)
        used = not optional or st.toggle(f"use {name}", there, key=f"form.{path}.used")
        said = fields(inner, choices, f"{path}.") if used else None
    return LEFT if used == there and not said else said


def without_none(hint: Any) -> tuple[Any, bool]:
    """The type without None, and whether None is allowed."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint, False
    inner = [part for part in get_args(hint) if part is not type(None)]
    return (inner[0] if len(inner) == 1 else hint), len(inner) < len(get_args(hint))


def _field(model: type[BaseModel], name: str, info: FieldInfo, path: str, choices: Choices) -> Any:
    default = info.get_default(call_default_factory=True)
    default = None if default is PydanticUndefined else default
    tip = described(model).get(name, "")
    tip = f"{tip} Default: {_told(default)}.".strip()
    hint, optional = without_none(info.annotation)
    key = f"form.{path}"
    if path in choices:
        return _choice(name, hint, default, choices[path](), key, tip)
    if hint is bool:
        return _said(st.toggle(name, bool(default), key=key, help=tip), bool(default))
    if options := _options(hint):
        index = _index(options, default)
        shown = None if index is None else options[index]
        return _said(st.selectbox(name, options, index, key=key, help=tip), shown)
    if hint in (int, float) and not optional:
        return _number(name, hint, default, key, tip)
    if get_origin(hint) is tuple and get_args(hint)[0] is str:
        given = list(default or ())
        found = st.multiselect(name, given, given, key=key, help=tip, accept_new_options=True)
        return _said(list(found), given)
    return _text(name, hint, default, key, tip)


def _said(value: Any, shown: Any) -> Any:
    return LEFT if value == shown else value


def _options(hint: Any) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(one.value) for one in hint]
    return [str(one) for one in get_args(hint)] if get_origin(hint) is Literal else []


def _index(options: list[str], default: Any) -> int | None:
    value = str(default.value if isinstance(default, Enum) else default)
    return options.index(value) if value in options else None


def _choice(name: str, hint: Any, default: Any, options: list[str], key: str, tip: str) -> Any:
    if get_origin(hint) is tuple:
        given = list(default or ())
        every = list(dict.fromkeys([*given, *options]))
        return _said(list(st.multiselect(name, every, given, key=key, help=tip)), given)
    shown = None if default is None else str(default)
    every = list(dict.fromkeys([*options, *([shown] if shown is not None else [])]))
    return _said(st.selectbox(name, every, _index(every, shown), key=key, help=tip), shown)


def _number(name: str, hint: type, default: Any, key: str, tip: str) -> Any:
    """Without limits of its own: what lies outside is said by the model, with the reason."""
    value = hint(default) if default is not None else None
    if hint is int:
        return _said(st.number_input(name, value=value, step=1, key=key, help=tip), value)
    return _said(st.number_input(name, value=value, format="%g", key=key, help=tip), value)


def _text(name: str, hint: Any, default: Any, key: str, tip: str) -> Any:
    """Text as it is, blank for none; of other types as JSON."""
    plain = hint is str
    shown = "" if default is None else (default if plain else json.dumps(_jsonable(default)))
    said = st.text_input(name, shown, key=key, help=tip if plain else f"{tip} As JSON.")
    if said == shown:
        return LEFT
    if plain or not said.strip():
        return said.strip() or None
    try:
        return json.loads(said)
    except ValueError:
        return said


def _jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    return [_jsonable(one) for one in value] if isinstance(value, list | tuple) else value


def _told(default: Any) -> str:
    if default is None:
        return "none"
    if isinstance(default, Enum):
        return str(default.value)
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)

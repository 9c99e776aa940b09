"""The API, fuzzed from its own description: whatever is sent, it answers, and never with what went wrong."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings

from tests.annotation.api.whole import site
from tests.annotation.conftest import waiting_round
from tests.annotation.people.guests import account, browser
from trivox.platform.records import Role
from trivox.platform.store import Workspace

EXAMPLES = 15
INSIDE = ("Traceback", "sqlalchemy", "site-packages", "NoneType", 'File "')


def operations(app: FastAPI) -> Iterator[Any]:
    """Every operation that the API describes."""
    for found in schemathesis.openapi.from_dict(app.openapi()).get_all_operations():
        operation = found.ok()
        if operation.path not in ("/api/v1/sign-out", "/api/v1/me/sessions"):
            yield operation


@pytest.mark.slow
@pytest.mark.parametrize("role", [Role.ANNOTATOR, Role.ADMIN])
def test_whatever_is_sent_is_answered(workspace: Workspace, role: Role) -> None:
    waiting_round(workspace)
    app = site(workspace)
    client = browser(app, account(workspace, "fuzz", role), raise_server_exceptions=False)
    wrong: dict[str, tuple[int, str]] = {}
    for operation in operations(app):
        _fuzz(client, operation, wrong)
    assert wrong == {}


def _fuzz(client: Any, operation: Any, wrong: dict[str, tuple[int, str]]) -> None:
    calm = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=calm, database=None)
    @given(case=operation.as_strategy())
    def send(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
        sent["headers"] = {**sent.get("headers", {}), **client.headers}
        told = client.request(**{key: sent[key] for key in sent if key not in ("cookies", "auth")})
        if told.status_code >= 500 or any(word in told.text for word in INSIDE):
            wrong[f"{case.method} {case.path}"] = (told.status_code, f"{sent} {told.text[:200]}")

    send()

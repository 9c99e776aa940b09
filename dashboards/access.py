"""Who looks at the pages: the session that `trivox serve` or the gate of the dashboard began, asked for anew
at every run of a page."""

from collections.abc import Mapping
from dataclasses import dataclass

import streamlit as st

from trivox.annotation.people import sessions
from trivox.annotation.people.audit import By
from trivox.annotation.people.door import Door
from trivox.annotation.people.principal import roles_of
from trivox.platform.records import Person, Role
from trivox.platform.store import Workspace

READERS = frozenset({Role.LEAD, Role.RESEARCHER, Role.VIEWER, Role.ADMIN})
"""Roles that see the dashboards."""
ACTORS = frozenset({Role.RESEARCHER, Role.ADMIN})
"""Roles that start, pause, cancel and promote."""
NAMERS = frozenset({Role.LEAD, Role.ADMIN})
"""Roles that see which annotator it is; others see pseudonyms."""


@dataclass(frozen=True)
class Viewer:
    """A person at a page. session: its id."""

    person: str
    name: str
    roles: frozenset[Role]
    session: str
    address: str | None = None

    @property
    def may_act(self) -> bool:
        return bool(self.roles & ACTORS)

    @property
    def sees_names(self) -> bool:
        return bool(self.roles & NAMERS)

    @property
    def by(self) -> By:
        """As the audit log names the actor."""
        return By(self.person, self.address)


def viewer_of(
    workspace: Workspace, cookies: Mapping[str, str], address: str | None
) -> Viewer | None:
    """The reader whose session the cookies hold; None for nobody, and for people without a role that reads."""
    for secure in (False, True):
        secret = cookies.get(Door(workspace, secure).cookie)
        session = sessions.find(workspace, secret) if secret else None
        if session is None:
            continue
        person = workspace.records.get(Person, session.person)
        roles = roles_of(workspace, person.id).get(workspace.project, frozenset())
        if person.active and roles & READERS:
            return Viewer(person.id, person.name, roles, session.id, address)
    return None


def cookies() -> Mapping[str, str]:
    """Of the request that opened this page."""
    return dict(st.context.cookies)


def here(workspace: Workspace) -> Viewer | None:
    """Who looks at this page now."""
    address = st.context.ip_address
    return viewer_of(workspace, cookies(), address if isinstance(address, str) else None)

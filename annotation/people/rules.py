"""Who may use which route: the one table that the guard reads and the test of authorisation goes through.

A route that is not in it is open to nobody. Whose lease, audio or judgement it is, is not said here: services
look for it among the person's own, so that another's is not found (404).
"""

from dataclasses import dataclass

from trivox.platform.records import Role

AREAS = ("account", "work", "campaigns", "people", "data", "speech", "rounds")


@dataclass(frozen=True)
class Rule:
    """roles: any one of them in the project; None for whoever is signed in. area: which scope a token needs
    for it; None: no token can do it, only a person in a browser. public: nobody needs to be signed in."""

    roles: frozenset[Role] | None = None
    area: str | None = None
    public: bool = False

    def scope(self, method: str) -> str | None:
        """The scope that a token needs."""
        what = "read" if method in ("GET", "HEAD") else "write"
        return None if self.area is None else f"{self.area}:{what}"


def allow(area: str | None, *roles: Role) -> Rule:
    return Rule(frozenset(roles), area)


_WORKERS = (Role.ANNOTATOR, Role.EXPERT)
_LEADS = (Role.LEAD, Role.ADMIN)
_READERS = (Role.LEAD, Role.RESEARCHER, Role.VIEWER, Role.ADMIN)
_DATA = (Role.LEAD, Role.RESEARCHER, Role.ADMIN)

PUBLIC = Rule(public=True)
PERSON = Rule(area="account")
BROWSER = Rule()
WORK = allow("work", *_WORKERS)
WORK_PAGE = allow(None, *_WORKERS)
LEAD = allow("campaigns", *_LEADS)
READ = allow("campaigns", *_READERS)
PEOPLE = allow("people", *_LEADS)
LEAD_PAGE = allow(None, *_LEADS)
READ_PAGE = allow(None, *_READERS)
DATA_PAGE = allow(None, *_DATA)
ADMIN = allow("people", Role.ADMIN)
DATA = allow("data", *_DATA)
SPEECH = allow("speech", *_DATA)
ROUND = allow("rounds", Role.RESEARCHER, Role.ADMIN)
ROUND_READ = allow("rounds", *_READERS)
"""The live routes, an app of their own."""

_ACCOUNT = {
    "GET /api/v1/openapi.json": PUBLIC,
    "GET /api/v1/health": PUBLIC,
    "POST /api/v1/sign-in": PUBLIC,
    "POST /api/v1/invites/accept": PUBLIC,
    "POST /api/v1/sign-out": BROWSER,
    "GET /api/v1/me": PERSON,
    "PATCH /api/v1/me": BROWSER,
    "POST /api/v1/me/password": BROWSER,
    "GET /api/v1/me/sessions": BROWSER,
    "DELETE /api/v1/me/sessions": BROWSER,
    "GET /api/v1/me/tokens": BROWSER,
    "POST /api/v1/me/tokens": BROWSER,
    "DELETE /api/v1/me/tokens/{token}": BROWSER,
}
_PAGES = {
    "GET /sign-in": PUBLIC,
    "POST /sign-in": PUBLIC,
    "POST /sign-out": BROWSER,
    "GET /invite/{token}": PUBLIC,
    "POST /invite/{token}": PUBLIC,
    "GET /enter/{token}": PUBLIC,
    "POST /enter/{token}": PUBLIC,
    "POST /language": PUBLIC,
    "GET /": BROWSER,
    "GET /campaigns/{campaign}": WORK_PAGE,
    "GET /work/{campaign}": WORK_PAGE,
    "GET /work/{campaign}/task": WORK_PAGE,
    "GET /check": WORK_PAGE,
}
_WORK = {
    "GET /api/v1/work": WORK,
    "POST /api/v1/work/{campaign}/next": WORK,
    "POST /api/v1/work/{campaign}/ahead": WORK,
    "POST /api/v1/work/{campaign}/undo": WORK,
    "GET /api/v1/work/{campaign}/guideline": WORK,
    "POST /api/v1/work/{campaign}/acknowledge": WORK,
    "PUT /api/v1/work/{campaign}/opt-out": WORK,
    "DELETE /api/v1/work/{campaign}/opt-out": WORK,
    "GET /api/v1/leases/{lease}": WORK,
    "GET /api/v1/leases/{lease}/audio/{audio}": WORK,
    "POST /api/v1/leases/{lease}/progress": WORK,
    "POST /api/v1/leases/{lease}/answer": WORK,
    "POST /api/v1/leases/{lease}/skip": WORK,
    "PUT /api/v1/leases/{lease}/draft": WORK,
    "GET /api/v1/me/work": WORK,
    "GET /api/v1/me/inquiries": WORK,
    "POST /api/v1/me/inquiries": WORK,
    "POST /api/v1/me/device-check": WORK,
    "GET /api/v1/me/device-check/volume": WORK,
    "GET /api/v1/me/device-check/{attempt}/{round}": WORK,
    "POST /api/v1/me/device-check/{attempt}": WORK,
}
_LEAD = {
    "GET /api/v1/campaigns": READ,
    "POST /api/v1/campaigns": LEAD,
    "GET /api/v1/campaigns/{campaign}": READ,
    "PATCH /api/v1/campaigns/{campaign}": LEAD,
    "GET /api/v1/campaigns/{campaign}/guidelines": READ,
    "POST /api/v1/campaigns/{campaign}/guidelines": LEAD,
    "POST /api/v1/campaigns/{campaign}/tasks": LEAD,
    "POST /api/v1/campaigns/{campaign}/tasks/of-round": LEAD,
    "GET /api/v1/campaigns/{campaign}/controls": LEAD,
    "POST /api/v1/controls": LEAD,
    "POST /api/v1/controls/{control}/retire": LEAD,
    "GET /api/v1/campaigns/{campaign}/judges": LEAD,
    "POST /api/v1/campaigns/{campaign}/judges/{person}/void": LEAD,
    "POST /api/v1/campaigns/{campaign}/judges/{person}/pause": LEAD,
    "GET /api/v1/campaigns/{campaign}/reviews": LEAD,
    "GET /api/v1/judgements/{judgement}/audio/{position}": LEAD,
    "GET /api/v1/campaigns/{campaign}/status": READ,
    "GET /api/v1/campaigns/{campaign}/statistics": READ,
    "GET /api/v1/campaigns/{campaign}/leaderboard": READ,
    "GET /api/v1/campaigns/{campaign}/reliability": DATA,
    "GET /api/v1/campaigns/{campaign}/yield": DATA,
    "POST /api/v1/campaigns/{campaign}/preferences": DATA,
    "GET /api/v1/campaigns/{campaign}/judgements": DATA,
    "GET /api/v1/preferences": DATA,
    "GET /api/v1/preferences/{preference_set}": DATA,
    "GET /api/v1/campaigns/{campaign}/faults": LEAD,
    "POST /api/v1/faults/{fault}/ask-again": LEAD,
    "GET /api/v1/pauses": LEAD,
    "POST /api/v1/pauses/{pause}/lift": LEAD,
    "GET /api/v1/inquiries": LEAD,
    "POST /api/v1/inquiries/{inquiry}/answer": LEAD,
    "GET /api/v1/hours": PEOPLE,
    "GET /api/v1/hours.csv": PEOPLE,
}
_LEAD_PAGES = {
    "GET /leads": READ_PAGE,
    "POST /leads/campaigns": LEAD_PAGE,
    "GET /leads/campaigns/{campaign}": LEAD_PAGE,
    "POST /leads/campaigns/{campaign}/status": LEAD_PAGE,
    "POST /leads/campaigns/{campaign}/guideline": LEAD_PAGE,
    "POST /leads/campaigns/{campaign}/round": LEAD_PAGE,
    "POST /leads/campaigns/{campaign}/judges/{person}/void": LEAD_PAGE,
    "POST /leads/campaigns/{campaign}/judges/{person}/pause": LEAD_PAGE,
    "GET /leads/campaigns/{campaign}/results": READ_PAGE,
    "POST /leads/campaigns/{campaign}/preferences": DATA_PAGE,
    "POST /leads/faults/{fault}/ask-again": LEAD_PAGE,
    "POST /leads/pauses/{pause}/lift": LEAD_PAGE,
    "POST /leads/controls/{control}/retire": LEAD_PAGE,
    "POST /leads/inquiries/{inquiry}": LEAD_PAGE,
    "GET /leads/people": LEAD_PAGE,
    "POST /leads/people": LEAD_PAGE,
}
_PEOPLE = {
    "GET /api/v1/people": PEOPLE,
    "GET /api/v1/people/{person}": PEOPLE,
    "PATCH /api/v1/people/{person}": PEOPLE,
    "PUT /api/v1/people/{person}/roles/{role}": ADMIN,
    "DELETE /api/v1/people/{person}/roles/{role}": ADMIN,
    "GET /api/v1/invites": PEOPLE,
    "POST /api/v1/invites": PEOPLE,
    "POST /api/v1/invites/csv": PEOPLE,
    "DELETE /api/v1/invites/{invite}": PEOPLE,
    "GET /api/v1/audit": ADMIN,
    "POST /api/v1/imports/judgements": DATA,
}
_ROUNDS = {
    "GET /api/v1/rounds": ROUND_READ,
    "POST /api/v1/rounds": ROUND,
    "POST /api/v1/rounds/plan": ROUND,
    "GET /api/v1/rounds/{round}": ROUND_READ,
    "GET /api/v1/rounds/{round}/lineage": ROUND_READ,
    "GET /api/v1/rounds/{round}/diff/{other}": ROUND_READ,
    "POST /api/v1/rounds/{round}/{verb}": ROUND,
    "GET /api/v1/loops": ROUND_READ,
    "POST /api/v1/loops": ROUND,
    "GET /api/v1/loops/{loop}": ROUND_READ,
    "POST /api/v1/loops/{loop}/cancel": ROUND,
}

# Not of people: the one takes the secret of a webhook, the other an address that nobody can guess.
_LABEL_STUDIO = {
    "POST /api/v1/label-studio/webhook": PUBLIC,
    "GET /api/v1/label-studio/audio/{key}/{sound}": PUBLIC,
}

RULES: dict[str, Rule] = (
    _ACCOUNT | _PAGES | _WORK | _LEAD | _LEAD_PAGES | _PEOPLE | _ROUNDS | _LABEL_STUDIO
)


def managed_by(roles: frozenset[Role]) -> frozenset[Role]:
    """The roles that people of these roles may invite to, and whose holders they may change."""
    if Role.ADMIN in roles:
        return frozenset(Role)
    return frozenset({*_WORKERS, Role.VIEWER}) if Role.LEAD in roles else frozenset()

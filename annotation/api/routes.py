"""All routers of the API."""

from trivox.annotation.api import account, leads, people, work

ROUTERS = (account.router, people.router, work.router, leads.router)

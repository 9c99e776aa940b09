"""All routers of the API."""

from trivox.annotation.api import account, data, leads, people, work

ROUTERS = (account.router, people.router, work.router, leads.router, data.router)

"""All routers of the API."""

from trivox.annotation.api import account, people, work

ROUTERS = (account.router, people.router, work.router)

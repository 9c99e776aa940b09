"""All routers of the API."""

from trivox.annotation.api import account, data, leads, people, results, work
from trivox.annotation.label_studio import receive

ROUTERS = (
    account.router,
    people.router,
    work.router,
    leads.router,
    results.router,
    data.router,
    receive.router,
)

"""All routers of the API."""

from trivox.annotation.api import account, data, leads, people, work
from trivox.annotation.label_studio import receive

ROUTERS = (account.router, people.router, work.router, leads.router, data.router, receive.router)

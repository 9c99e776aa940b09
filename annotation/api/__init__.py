"""The REST API under /api/v1: all that the pages can do, with an OpenAPI description."""

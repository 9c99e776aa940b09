"""The store: records in SQL, rollouts and scores in Parquet, audio as content-addressed FLAC."""

from trivox.platform.store.audio import AudioStore
from trivox.platform.store.records import Records
from trivox.platform.store.tables import Tables
from trivox.platform.store.workspace import Workspace

__all__ = ["AudioStore", "Records", "Tables", "Workspace"]

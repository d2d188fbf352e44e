"""The embedded PostgreSQL: a server of our own in a data folder, for one machine. Knows nothing of tables."""

from broker.postgres.embedded import EmbeddedServer, alive, destroy, start, stop, using
from broker.postgres.place import EmbeddedPostgresError, FolderRefused, ServerDidNotStart, ServerDidNotStop

__all__ = [
    "EmbeddedPostgresError",
    "EmbeddedServer",
    "FolderRefused",
    "ServerDidNotStart",
    "ServerDidNotStop",
    "alive",
    "destroy",
    "start",
    "stop",
    "using",
]

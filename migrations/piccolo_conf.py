"""What Piccolo reads when it runs: the ledger's address and our one application."""

import os

from piccolo.conf.apps import AppRegistry
from piccolo.engine.postgres import PostgresEngine

# Piccolo imports this module by name and passes it nothing, so this is the one place
# beside the settings that reads the environment.
DB = PostgresEngine(
    config={"dsn": os.environ.get("TOCSIN_POSTGRES_DSN", "postgresql:///tocsin")},
    extensions=(),
)
APP_REGISTRY = AppRegistry(apps=["migrations.piccolo_app"])

"""What Piccolo reads when it runs: the ledger's address and our one application."""

import os

from piccolo.conf.apps import AppRegistry

from contracts.tables import LedgerEngine

# Piccolo imports this module by name and passes it nothing, so this is the one place
# beside the settings that reads the environment.
DB = LedgerEngine(os.environ.get("TOCSIN_POSTGRES_DSN", "postgresql:///tocsin"))
APP_REGISTRY = AppRegistry(apps=["migrations.piccolo_app"])

"""The Piccolo application: which tables it owns and where its migrations are."""

from pathlib import Path

from piccolo.conf.apps import AppConfig

from contracts.tables import TABLES

APP_CONFIG = AppConfig(
    app_name="tocsin",
    migrations_folder_path=str(Path(__file__).parent / "piccolo_migrations"),
    table_classes=list(TABLES),
)

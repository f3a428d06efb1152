"""Postgres: one cluster below the data folder, made whole or not at all."""

import os
import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from ops.embedded import wheels
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import FolderUnusable
from ops.embedded.folder import DataFolder
from ops.embedded.ports import HOST

ROLE = DATABASE = "tocsin"
_NOBODY = 65534

# Sized for a development machine; the promises (fsync, synchronous_commit) are kept.
# Nobody replicates this cluster, and `minimal` spares the log what only replicas read.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where the cluster lives, who runs it and the secret that opens it.

    The role is a superuser, which can read files and run programs, so a password keeps
    the other users of this machine out. It lives in the cluster's own private folder.
    """

    folder: DataFolder
    programs: Path
    port: int
    password: str
    fsync: bool

    @property
    def path(self) -> Path:
        return self.folder.path / "postgres"

    def dsn(self, database: str = DATABASE) -> str:
        return f"postgresql://{ROLE}:{self.password}@{HOST}:{self.port}/{database}"

    def spec(self) -> Spec:
        settings = {**_SETTINGS, "fsync": "on" if self.fsync else "off"}
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        program = str(self.programs / "postgres")
        return Spec(
            name="postgres",
            stage=Stage.SERVERS,
            argv=(program, "-D", str(self.path), "-p", str(self.port), *options),
            ready=self.answers,
            # Fast shutdown; SIGTERM would wait for every client to leave by itself.
            stop_signal=signal.SIGINT,
            orphan_signal=signal.SIGINT,
            ports=(self.port,),
            user=self.user(),
            prepare=self.prepare,
            sweep=self.sweep,
        )

    def user(self) -> tuple[int, int] | None:
        """Return who must run it: Postgres refuses root, so the cluster's owner or nobody."""
        if os.getuid() != 0:
            return None
        with suppress(FileNotFoundError):
            owner = self.path.stat()
            return owner.st_uid, owner.st_gid
        return _NOBODY, _NOBODY

    async def prepare(self) -> None:
        """Make the cluster if there is none, and clear what a killed server left."""
        if not self.path.exists():
            await self._initialise()
        self.sweep()

    def sweep(self) -> None:
        """End orphaned backends, then remove a pid file that speaks of nobody.

        A backend outlives a killed postmaster for a moment and keeps a new one from
        starting; a stale pid that some other program now has would do so for ever.
        """
        orphans = [p for p in psutil.process_iter() if _works_in(p, self.path)]
        for process in orphans:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(orphans, timeout=5)
        with suppress(OSError):
            (self.path / "postmaster.pid").unlink(missing_ok=True)

    async def answers(self) -> bool:
        """Ready when the database takes a connection; makes the database if it is missing."""
        try:
            connection = await asyncpg.connect(self.dsn())
        except asyncpg.InvalidCatalogNameError:
            await self._create_database()
            return False
        except asyncpg.PostgresError:  # starting up, or replaying the log
            return False
        await connection.close()
        return True

    async def _initialise(self) -> None:
        draft = self.path.with_name("postgres.new")
        password_file = self.path.with_name("postgres.secret")
        user = self.user()
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            password_file.touch(mode=0o600)
            password_file.write_text(self.password)
            if user:
                os.chown(draft, *user)
                os.chown(password_file, *user)
            await self.folder.child(self._initdb(draft, password_file, user)).run()
            password_file.replace(draft / "tocsin.secret")
            draft.replace(self.path)
        finally:
            password_file.unlink(missing_ok=True)
            shutil.rmtree(draft, ignore_errors=True)

    def _initdb(
        self, draft: Path, password_file: Path, user: tuple[int, int] | None
    ) -> Spec:
        options = {
            "pgdata": draft,
            "username": ROLE,
            "pwfile": password_file,
            "auth": "scram-sha-256",
            "encoding": "UTF8",
            "locale": "C",
            "locale-provider": "builtin",
            "builtin-locale": "C.UTF-8",
            # A random secret of 192 bits needs no stretching, which costs each connection.
            "set": "scram_iterations=1",
        }
        arguments = tuple(f"--{key}={value}" for key, value in options.items())
        program = str(self.programs / "initdb")
        return Spec(
            name="initdb",
            stage=Stage.SERVERS,
            argv=(program, *arguments, "--no-instructions"),
            user=user,
        )

    async def _create_database(self) -> None:
        connection = await asyncpg.connect(self.dsn("postgres"))
        try:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


def cluster(folder: DataFolder, *, port: int, fsync: bool) -> Cluster:
    """Describe the folder's cluster, existing or yet to be made."""
    programs = wheels.POSTGRES.locate().parent
    secret = folder.path / "postgres" / "tocsin.secret"
    try:
        password = secret.read_text()
    except FileNotFoundError:
        password = secrets.token_urlsafe(24)
    except PermissionError:
        raise FolderUnusable(
            f"the database in {folder.path} belongs to user"
            f" {secret.parent.stat().st_uid}; run tocsin as the user who made it,"
            " or choose another folder with --data"
        ) from None
    return Cluster(
        folder=folder, programs=programs, port=port, password=password, fsync=fsync
    )


def _works_in(process: psutil.Process, path: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(path)
    except psutil.Error:
        return False

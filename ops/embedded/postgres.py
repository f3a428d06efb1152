"""Postgres: one cluster below the data folder, made whole or not at all."""

import secrets
import shutil
import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from ops.embedded import files, privileges, processes, wheels
from ops.embedded.child import Spec, Stage
from ops.embedded.errors import FolderUnusable
from ops.embedded.folder import DataFolder, unusable
from ops.embedded.ports import HOST

ROLE = DATABASE = "tocsin"

# Sized for a development machine; the promises (fsync, synchronous_commit) are kept.
# Nobody replicates this cluster, and `minimal` spares the log what only replicas read.
_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "300",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "synchronous_commit": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Details would quote values of rows, which may be personal.
    "log_error_verbosity": "terse",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Where the cluster lives, who runs it and the secret that opens it.

    The role is a superuser, which can read files and run programs, so a password keeps
    the other users of this machine out.
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
            user=privileges.postgres_user(self.path),
            prepare=self.prepare,
            sweep=self.sweep,
        )

    async def prepare(self) -> None:
        """Make the cluster if there is none, and clear what a killed server left."""
        if user := privileges.postgres_user(self.path):
            if not privileges.open_every_door():
                privileges.check_way(user, [self.path])
            if not privileges.run_behind_doors():
                privileges.check_way(user, [self.programs / "postgres"])
        if not self.path.exists():
            await self._initialise(user)
        self.sweep()

    def sweep(self) -> None:
        """End orphaned backends, then remove a pid file that speaks of nobody.

        A backend outlives a killed postmaster for a moment and keeps a new one from
        starting; a stale pid that some other program now has would do so for ever.
        """
        orphans = [p for p in psutil.process_iter() if _works_in(p, self.path)]
        processes.kill(orphans)
        with suppress(OSError):
            (self.path / "postmaster.pid").unlink(missing_ok=True)

    async def answers(self) -> bool:
        """Ready when the database takes a connection; makes the database if it is missing."""
        try:
            connection = await asyncpg.connect(self.dsn(), ssl=False)
        except asyncpg.InvalidCatalogNameError:
            await self._create_database()
            return False
        except asyncpg.PostgresError:  # starting up, or replaying the log
            return False
        await connection.close()
        return True

    async def _initialise(self, user: tuple[int, int] | None) -> None:
        draft = self.path.with_name("postgres.new")
        password_file = self.path.with_name("postgres.secret.new")
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(mode=0o700)
            files.write_atomically(password_file, self.password)
            if user:
                privileges.give(draft, user)
                privileges.give(password_file, user)
            await self.folder.child(self._initdb(draft, password_file, user)).run()
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
        connection = await asyncpg.connect(self.dsn("postgres"), ssl=False)
        try:
            await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


def cluster(folder: DataFolder, *, port: int, fsync: bool) -> Cluster:
    """Describe the folder's cluster, existing or yet to be made."""
    return Cluster(
        folder=folder,
        programs=wheels.POSTGRES.locate().parent,
        port=port,
        password=_password(folder),
        fsync=fsync,
    )


def _password(folder: DataFolder) -> str:
    """Return the password, made once and before the cluster so that the two agree."""
    secret = folder.path / "postgres.secret"
    try:
        if secret.exists():
            return secret.read_text()
        if (folder.path / "postgres").exists():
            raise FolderUnusable(
                f"the database in {folder.path} cannot be opened: {secret.name} is gone;"
                " put it back, or choose another folder with --data"
            )
        password = secrets.token_urlsafe(24)
        files.write_atomically(secret, password, sync=True)
    except OSError as error:
        raise unusable(folder.path, error) from error
    return password


def _works_in(process: psutil.Process, path: Path) -> bool:
    try:
        return process.name() == "postgres" and process.cwd() == str(path)
    except psutil.Error:
        return False

"""Where a local Moltbot keeps everything: one directory, for its owner alone.

lock                 held by the running `moltbot up`
processes.lock       held by every process that it started (kubelet/launcher.py)
running.json         how the running one is reached; no secret in it
kubeconfig           the person's, 0600
objects/             what the API keeps
claims/              the data of claims: the assistants' memory
pods/                directories and logs of the pods that exist
run/                 kubeconfigs, keys and logs of operator and router
"""

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class HomeInUse(Exception):
    """Another `moltbot up` runs on this directory."""


def default_home(environ: Mapping[str, str]) -> Path:
    """`MOLTBOT_HOME`, else where the XDG rules put data (https://specifications.freedesktop.org/basedir-spec/latest/)."""
    if environ.get("MOLTBOT_HOME"):
        return Path(environ["MOLTBOT_HOME"]).expanduser().absolute()
    data = environ.get("XDG_DATA_HOME", "")
    base = Path(data) if data.startswith("/") else Path(environ.get("HOME") or "~").expanduser() / ".local" / "share"
    return base / "moltbot"


@dataclass(frozen=True)
class Home:
    path: Path

    @property
    def kubeconfig(self) -> Path:
        return self.path / "kubeconfig"

    @property
    def objects(self) -> Path:
        return self.path / "objects"

    @property
    def run(self) -> Path:
        return self.path / "run"

    @property
    def processes_lock(self) -> Path:
        return self.path / "processes.lock"

    @property
    def running(self) -> Path:
        return self.path / "running.json"

    def make(self) -> None:
        """Create it, readable by its owner alone, also when somebody created it otherwise."""
        for directory in (self.path, self.run):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory.chmod(0o700)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """While inside, no other `moltbot up` runs here. Raises HomeInUse."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pid = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                raise HomeInUse(
                    f"a Moltbot runs already in {self.path} (process {pid}): `moltbot status` shows it; "
                    "MOLTBOT_HOME or --data-dir names another directory for a second one"
                ) from None
            os.truncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def is_running(self) -> bool:
        """Whether somebody holds it."""
        try:
            with (self.path / "lock").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def write_running(self, facts: Mapping[str, Any]) -> None:
        write_private(self.running, json.dumps(dict(facts), indent=1) + "\n")

    def read_running(self) -> dict[str, Any] | None:
        """How the running one is reached; None when none runs."""
        if not self.is_running():
            return None
        try:
            found = json.loads(self.running.read_text())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def write_private(path: Path, text: str) -> None:
    """Replace a file as a whole; 0600 from its first byte on."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    fresh.replace(path)


def kubeconfig_text(server: str, user: str, token: str, *, authority: str, context: str = "moltbot", namespace: str = "default") -> str:
    """A kubeconfig; JSON is YAML. `authority`: PEM of the API's certificate."""
    trusted = base64.b64encode(authority.encode()).decode()
    return (
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority-data": trusted}}],
                "users": [{"name": user, "user": {"token": token}}],
                "contexts": [{"name": context, "context": {"cluster": context, "user": user, "namespace": namespace}}],
                "current-context": context,
            },
            indent=1,
        )
        + "\n"
    )

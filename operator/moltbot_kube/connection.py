"""How the API is reached: a kubeconfig (token, certificate, exec plugin, token file) or the pod's own service account.

The only module beside `client.py` that knows the official client; nothing of its generated models is loaded.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.config.config_exception import ConfigException
from kubernetes.aio.config.incluster_config import SERVICE_HOST_ENV_NAME, load_incluster_config
from kubernetes.aio.config.kube_config import load_kube_config

from moltbot_kube.errors import ConnectionSettingsError

# A token that a plugin or a file gives is asked for again this often (seconds); the in-cluster loader does the same by itself.
TOKEN_REFRESH_SECONDS = 60.0
# At most so many connections at once, watches included: asyncio keeps 256 KiB for each with TLS.
CONNECTIONS = 24
_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class Connection:
    """Where the API is and whom we are there. `context` is None in a pod; `namespace`: the context's, `default` when it names none."""

    server: str
    context: str | None
    namespace: str
    configuration: Configuration


async def connect(kubeconfig: str | None = None, context: str | None = None) -> Connection:
    """Find the API: `kubeconfig` (a path, or several joined by `:`), else KUBECONFIG, else the pod's account, else ~/.kube/config.

    Raises ConnectionSettingsError, which says what to set. Does not talk to the API.
    """
    chosen = kubeconfig or os.environ.get("KUBECONFIG") or None
    if chosen is None and context is None and os.environ.get(SERVICE_HOST_ENV_NAME):
        return _in_cluster()
    if chosen is None:
        default = Path("~/.kube/config").expanduser()
        if not default.exists():
            raise ConnectionSettingsError("no cluster is configured: set KUBECONFIG, or start a local one with `moltbot up`")
        chosen = str(default)
    return await _from_kubeconfig(chosen, context)


def _new_configuration() -> Configuration:
    configuration = Configuration()
    configuration.connection_pool_maxsize = CONNECTIONS
    return configuration


def _in_cluster() -> Connection:
    configuration = _new_configuration()
    try:
        load_incluster_config(client_configuration=configuration)
    except (ConfigException, OSError) as error:
        raise ConnectionSettingsError(
            f"the pod has no usable service account token ({error}): set automountServiceAccountToken, or KUBECONFIG"
        ) from error
    namespace = "default"
    if _SERVICE_ACCOUNT_NAMESPACE.exists():
        namespace = _SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or namespace
    return Connection(server=configuration.host, context=None, namespace=namespace, configuration=configuration)


async def _from_kubeconfig(path: str, context: str | None) -> Connection:
    configuration = _new_configuration()
    if not any(Path(part).expanduser().exists() for part in path.split(os.pathsep) if part):
        raise ConnectionSettingsError(f"there is no kubeconfig at {path}")
    try:
        # persist_config would write refreshed OIDC tokens back into the person's file
        loader = await load_kube_config(config_file=path, context=context, client_configuration=configuration, persist_config=False)
        current: dict[str, Any] = loader.current_context
    except (ConfigException, KeyError, TypeError, ValueError, OSError) as error:
        raise ConnectionSettingsError(f"the kubeconfig {path} cannot be used: {error}") from error
    _refresh_token_from(loader, configuration)
    host = urlsplit(configuration.host).hostname or ""
    if host in _LOOPBACK or host.startswith("127."):
        # a proxy of the environment is never asked for this machine itself
        configuration.client_session_kwargs = {"trust_env": False}
    details = current.get("context") or {}
    return Connection(
        server=configuration.host,
        context=str(current.get("name", "")),
        namespace=str(details.get("namespace") or "default"),
        configuration=configuration,
    )


def _refresh_token_from(loader: Any, configuration: Configuration) -> None:
    """Have the configuration ask its loader again where a token can expire: exec plugins, OIDC, token files."""
    user = loader._user  # the loader has no public way to it
    if user is None or not ("exec" in user or "tokenFile" in user or loader.provider):
        return
    asked = time.monotonic()

    async def refresh(target: Configuration) -> None:
        nonlocal asked
        now = time.monotonic()
        if now - asked < TOKEN_REFRESH_SECONDS:
            return
        asked = now
        try:
            await loader._load_authentication()
        except (ConfigException, KeyError, TypeError, ValueError, OSError) as error:
            raise ConnectionSettingsError(f"the kubeconfig's credentials cannot be renewed: {error}") from error
        if getattr(loader, "token", None):
            target.api_key["BearerToken"] = loader.token

    configuration.refresh_api_key_hook = refresh

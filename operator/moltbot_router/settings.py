"""Settings of the router, from the environment."""

from __future__ import annotations

from dataclasses import dataclass

from moltbot_trust.logs import LogFormat, LogLevel
from moltbot_trust.settings import setting

_ADDRESS = r"(\[[0-9a-fA-F:.]+\]|[^:\s]*):[0-9]{1,5}"


@dataclass(frozen=True)
class Settings:
    """Every field is the variable MOLTBOT_<FIELD>."""

    listen: str = setting("0.0.0.0:8080", doc="Where people's traffic is served, as address:port.", pattern=_ADDRESS)
    admin_listen: str = setting("127.0.0.1:8081", doc="Where the administration is served: loopback only.", pattern=_ADDRESS)
    admin_url: str = setting("", doc="The administration's address, for a link on the pages; empty: they name the command.")
    on_cluster: bool = setting(
        True, doc="Whether there is a cluster; `moltbot up` says no: pages then name the command `moltbot`, not `kubectl moltbot`."
    )
    keys_dir: str = setting("/keys", doc="Directory with keys.json, the router's branches.")
    admin_key_file: str = setting("/admin/MOLTBOT_ADMIN_KEY", doc="File with the administration key.")
    watch_namespaces: tuple[str, ...] = setting((), doc="Namespaces to serve; empty: all.")
    base_domain: str = setting("localhost", doc="Default hosts are <name>--<namespace>.<base domain>.")
    public_port: int = setting(8080, doc="Port in the addresses that people are shown.", minimum=1, maximum=65535)
    trusted_proxies: tuple[str, ...] = setting((), doc="Networks whose forwarding headers are believed, such as 10.0.0.0/8.")
    hold_seconds: float = setting(50.0, doc="How long a request is held while its Moltbot wakes.", minimum=1, maximum=600)
    hold_limit: int = setting(64, doc="How many requests are held for one Moltbot.", minimum=1, maximum=10000)
    hold_total: int = setting(1024, doc="How many requests are held in all.", minimum=1, maximum=100000)
    metrics_listen: str = setting("", doc="Where metrics are served, as address:port; empty: nowhere.", pattern=r"|" + _ADDRESS)
    static_dir: str = setting("", doc="Directory with the built pages; empty: those that the program brings.")
    kubeconfig: str = setting("", doc="Kubeconfig to use instead of the pod's own ServiceAccount.")
    log_format: LogFormat = setting(LogFormat.AUTO, doc="json, text, or auto: text on a terminal.")
    log_level: LogLevel = setting(LogLevel.INFO, doc="Least level that is logged.")

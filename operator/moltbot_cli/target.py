"""Which Kubernetes API a command speaks to, and how that is said."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from moltbot_local.home import Home, default_home


@dataclass(frozen=True)
class Target:
    """`kubeconfig` None: the client's own default. `local`: what the running `moltbot up` says of itself."""

    kubeconfig: str | None
    context: str | None
    words: str
    local: Mapping[str, object] | None = None


def decide_target(
    *,
    kubeconfig: str | None,
    context: str | None,
    environ: Mapping[str, str],
    local: Mapping[str, object] | None,
    has_default: bool,
    plugin: bool,
) -> Target:
    """`local`: the running local instance, None without one; `has_default`: ~/.kube/config is there. Pure."""
    named = f"context {context}" if context else "its current context"
    if kubeconfig:
        return _with_local(Target(kubeconfig, context, f"{named} of {kubeconfig}"), local)
    if environ.get("KUBECONFIG"):
        return _with_local(Target(environ["KUBECONFIG"], context, f"{named} of KUBECONFIG={environ['KUBECONFIG']}"), local)
    default = Target(None, context, f"{named} of ~/.kube/config")
    if context or (plugin and has_default) or local is None:
        return default
    return Target(str(local["kubeconfig"]), None, f"the Moltbot running on this machine ({local.get('api')})", local)


def _with_local(target: Target, local: Mapping[str, object] | None) -> Target:
    """A person who exported the local kubeconfig means the local one."""
    if local is None or target.kubeconfig != str(local.get("kubeconfig")):
        return target
    return Target(target.kubeconfig, target.context, f"the Moltbot running on this machine ({local.get('api')})", local)


def find_target(kubeconfig: str | None, context: str | None, *, plugin: bool) -> Target:
    environ = os.environ
    return decide_target(
        kubeconfig=kubeconfig,
        context=context,
        environ=environ,
        local=Home(default_home(environ)).read_running(),
        has_default=Path("~/.kube/config").expanduser().exists(),
        plugin=plugin,
    )

"""What a pod asks for, parsed once from its object. Only what the kubelet here acts on; defaults as the API server sets them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Any


@dataclass(frozen=True)
class Probe:
    """One of `http`, `tcp`, `command` is set. Times in seconds."""

    http: "HttpGet | None" = None
    tcp: "int | str | None" = None
    tcp_host: str = ""
    command: tuple[str, ...] | None = None
    initial_delay: float = 0
    period: float = 10
    timeout: float = 1
    success_threshold: int = 1
    failure_threshold: int = 3
    grace: float | None = None


@dataclass(frozen=True)
class HttpGet:
    port: int | str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Mount:
    volume: str
    path: str
    sub_path: str = ""


@dataclass(frozen=True)
class Container:
    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[Mapping[str, Json], ...] = ()
    env_from: tuple[Mapping[str, Json], ...] = ()
    ports: tuple[tuple[str, int, str], ...] = ()  # name, number, protocol
    mounts: tuple[Mount, ...] = ()
    startup: Probe | None = None
    liveness: Probe | None = None
    readiness: Probe | None = None
    # An init container with restartPolicy Always: it goes on beside the others.
    sidecar: bool = False
    pre_stop: Mapping[str, Json] | None = None
    termination_fallback: bool = False


@dataclass(frozen=True)
class PodSpec:
    namespace: str
    name: str
    uid: str
    init: tuple[Container, ...]
    main: tuple[Container, ...]
    restart_policy: str = "Always"
    grace: float = 30
    active_deadline: float | None = None
    volumes: tuple[Mapping[str, Json], ...] = ()

    @property
    def containers(self) -> tuple[Container, ...]:
        return self.init + self.main

    def restarts(self, container: Container, code: int) -> bool:
        """Whether a container that ended with `code` is started again."""
        if container.sidecar:
            return True
        if container in self.init:
            return code != 0 and self.restart_policy != "Never"
        return self.restart_policy == "Always" or (self.restart_policy == "OnFailure" and code != 0)

    def claims(self) -> tuple[str, ...]:
        return tuple(v["persistentVolumeClaim"]["claimName"] for v in self.volumes if "persistentVolumeClaim" in v)


def parse_probe(data: Mapping[str, Json] | None) -> Probe | None:
    if not data:
        return None
    http = tcp = command = None
    tcp_host = ""
    if "httpGet" in data:
        get = data["httpGet"]
        headers = tuple((h["name"], h["value"]) for h in get.get("httpHeaders") or ())
        http = HttpGet(get["port"], get.get("path") or "/", get.get("host") or "", get.get("scheme") or "HTTP", headers)
    elif "tcpSocket" in data:
        tcp, tcp_host = data["tcpSocket"]["port"], data["tcpSocket"].get("host") or ""
    elif "exec" in data:
        command = tuple(data["exec"]["command"])
    else:
        return None
    return Probe(
        http=http,
        tcp=tcp,
        tcp_host=tcp_host,
        command=command,
        initial_delay=data.get("initialDelaySeconds") or 0,
        period=data.get("periodSeconds") or 10,
        timeout=data.get("timeoutSeconds") or 1,
        success_threshold=data.get("successThreshold") or 1,
        failure_threshold=data.get("failureThreshold") or 3,
        grace=data.get("terminationGracePeriodSeconds"),
    )


def parse_container(data: Mapping[str, Json], *, init: bool) -> Container:
    mounts = tuple(Mount(m["name"], m["mountPath"], m.get("subPath") or "") for m in data.get("volumeMounts") or ())
    return Container(
        name=data["name"],
        image=data["image"],
        command=tuple(data.get("command") or ()),
        args=tuple(data.get("args") or ()),
        working_dir=data.get("workingDir") or "",
        env=tuple(data.get("env") or ()),
        env_from=tuple(data.get("envFrom") or ()),
        ports=tuple((p.get("name") or "", p["containerPort"], p.get("protocol") or "TCP") for p in data.get("ports") or ()),
        mounts=mounts,
        startup=parse_probe(data.get("startupProbe")),
        liveness=parse_probe(data.get("livenessProbe")),
        readiness=parse_probe(data.get("readinessProbe")),
        sidecar=init and data.get("restartPolicy") == "Always",
        pre_stop=(data.get("lifecycle") or {}).get("preStop"),
        termination_fallback=data.get("terminationMessagePolicy") == "FallbackToLogsOnError",
    )


def parse_pod(pod: Mapping[str, Json]) -> PodSpec:
    metadata, spec = pod["metadata"], pod["spec"]
    grace = spec.get("terminationGracePeriodSeconds")
    return PodSpec(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        init=tuple(parse_container(c, init=True) for c in spec.get("initContainers") or ()),
        main=tuple(parse_container(c, init=False) for c in spec["containers"]),
        restart_policy=spec.get("restartPolicy") or "Always",
        grace=30 if grace is None else grace,
        active_deadline=spec.get("activeDeadlineSeconds"),
        volumes=tuple(spec.get("volumes") or ()),
    )


def port_number(container: Container, port: int | str) -> int | None:
    """A probe's port, which may be the name of one of the container's."""
    if isinstance(port, int):
        return port
    if port.isdigit():
        return int(port)
    return next((number for name, number, _ in container.ports if name == port), None)


def sockets(containers: Sequence[Container]) -> list[tuple[Container, int]]:
    """The TCP ports that these containers say they listen on."""
    return [(container, number) for container in containers for _, number, protocol in container.ports if protocol == "TCP"]

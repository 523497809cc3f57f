"""`moltbot up` at work: the miniature Kubernetes in this process, operator and router beside it, in the order in which they start and stop.

Start: nothing of an earlier run is alive → API, definitions, namespaces → controllers and kubelet → operator and router → the files.
Stop: controllers (nothing is started any more) → pods, each within its grace, while router and operator still serve → router,
operator → API → whatever is left. A second signal kills what is left: SQLite and the journal are made for that.
"""

import asyncio
import base64
import contextlib
import json
import logging
import secrets
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from moltbot_api.names import ADMIN_KEY, ADMIN_SECRET, ROUTER_KEYS_SECRET

from .clock import Clock, SystemClock
from .controllers import open_controllers
from .crd import install
from .definitions import crd_manifests
from .home import Home, kubeconfig_text, write_private
from .kubelet.processes import Launcher, open_launcher
from .kubelet.service import Kubelet
from .kubelet.volumes import write_files
from .links import ADMIN, find_links
from .local_api import LocalApi, open_api
from .manifests import Settings, apply_manifest, build_person_secret, ensure_namespace, missing_secrets
from .narrate import QUIET, describe_device, describe_moltbot, describe_secrets
from .programs import Program, Supervised
from .resources import Object
from .store import Store

log = logging.getLogger(__name__)

NAMESPACE = "moltbot-system"
GATEWAY_IMAGE = "moltbot-gateway:local"
MOLTBOTS, DEVICES = "moltbots.moltbot.dev", "moltbotdevices.moltbot.dev"
# Beyond this the pages are not coming; where the programs said why is then shown instead of a link.
READY_SECONDS = 60.0
LOOK_SECONDS = 0.05
# Of a link, before it is shown all the same; 50 ms, doubled each time, are six seconds in all.
ATTEMPTS = 7


@dataclass(frozen=True)
class Options:
    port: int = 8080
    admin_port: int = 8081
    api_port: int = 0
    command: str = "moltbot"  # what starts it in the person's terminal


class Supervisor:
    """Use `run`. `say(subject, sentence)` tells the person; the subject is a Moltbot's name, or empty."""

    def __init__(
        self,
        home: Home,
        options: Options,
        manifests: Sequence[Object],
        settings: Settings,
        say: Callable[[str, str], None],
        *,
        programs: "Callable[[Supervisor], Sequence[Program]] | None" = None,
    ) -> None:
        self.home, self.options, self._manifests, self._settings, self._say = home, options, manifests, settings, say
        self._programs = programs or operator_and_router
        self._clock: Clock = SystemClock()
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.ready = asyncio.Event()
        self.api: LocalApi | None = None
        # Set when `ready` is; empty when the pages did not come.
        self.links: dict[str, str] = {}
        self._told: set[str] = set()  # uids of Moltbots of which something was told in this run
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None

    # --- from start to end ----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until `stopping` is set. Raises ManifestError for files that the API refuses, and whatever ended a part of us."""
        launcher = await open_launcher(self.home.processes_lock)
        launcher.on_waiting = lambda who: self._say("", f"waiting for processes of the last run to end: {', '.join(who.splitlines())}")
        try:
            if await self._until_free(launcher):
                async with self._open_store() as store:
                    await self._serve(store, launcher)
        finally:
            await launcher.close()
        if self._failure is not None:
            raise self._failure

    async def _until_free(self, launcher: Launcher) -> bool:
        """Nothing of an earlier run is alive. False: we are to stop before that."""
        stop = asyncio.create_task(self.stopping.wait())
        waits: list[asyncio.Future[Any]] = [stop, launcher.ready]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        stop.cancel()
        return launcher.ready.done()

    @asynccontextmanager
    async def _open_store(self) -> AsyncIterator[Store]:
        tokens = {name: secrets.token_urlsafe(32) for name in ("operator", "router")}
        tokens["person"] = _kept_token(self.home)
        serving = open_api(
            self.home.objects, self._clock, tokens, self.options.api_port, _kept_port(self.home), log_root=self.home.path / "pods"
        )
        async with serving as api:
            self.api = api
            for name in ("default", "kube-system", NAMESPACE):
                ensure_namespace(api.store, name)
            for manifest in crd_manifests():
                install(api.store, manifest)
            for name in ("operator", "router"):
                text = kubeconfig_text(api.url, name, tokens[name], authority=api.authority, namespace=NAMESPACE)
                write_private(self.home.run / f"{name}.kubeconfig", text)
            text = kubeconfig_text(api.url, "person", tokens["person"], authority=api.authority)
            write_private(self.home.kubeconfig, text)
            yield api.store
        self.api = None

    async def _serve(self, store: Store, launcher: Launcher) -> None:
        kubelet = Kubelet(store, self._clock, launcher, {GATEWAY_IMAGE: ()}, self.home.path)
        controllers = open_controllers(store, self._clock, self.home.path)

        def say(text: str) -> None:
            self._say("", text)

        programs = [Supervised(launcher, self._clock, program, self.home.run, say) for program in self._programs(self)]
        loop = self._spawn("controllers", controllers.run())
        self._spawn("kubelet", kubelet.run())
        self._spawn("launcher", _guard(launcher))
        try:
            for program in programs:
                self._spawn(program.log.stem, program.run())
            self._spawn("router keys", self._project(store, ROUTER_KEYS_SECRET, self.home.run / "keys"))
            self._spawn("administration key", self._project(store, ADMIN_SECRET, self.home.run / "admin"))
            for kind in (MOLTBOTS, DEVICES):
                self._spawn(f"narrator of {kind}", self._narrate(store, kind))
            self._apply(store)
            self._spawn("start", self._announce(store))
            await self.stopping.wait()
        finally:
            loop.cancel()
            await self._stop(kubelet, programs)

    def _spawn(self, name: str, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        self._tasks.append(task)
        return task

    def _ended(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a part of moltbot up failed: %s", task.get_name(), exc_info=error)
            self._failure = self._failure or error
            self.stopping.set()

    async def _stop(self, kubelet: Kubelet, programs: Sequence[Supervised]) -> None:
        if awake := kubelet.running():
            self._say("", f"stopping; {', '.join(awake)} may finish first (Ctrl-C again: at once)")
        drain = asyncio.create_task(kubelet.drain())
        hurry = asyncio.create_task(self.hurry.wait())
        await asyncio.wait({drain, hurry}, return_when=asyncio.FIRST_COMPLETED)
        drain.cancel()
        hurry.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(program.stop(at_once=self.hurry.is_set()) for program in programs))

    # --- the files ------------------------------------------------------------------------------------------------------

    def _apply(self, store: Store) -> None:
        """Secrets first, so that a Moltbot never sees one missing that is about to come. Raises ManifestError."""
        missing = missing_secrets(store, self._manifests)
        for namespace, name in missing:
            ensure_namespace(store, namespace)
            secret = build_person_secret(namespace, name, self._settings)
            if store.entry("secrets", name, namespace) is None:
                store.create("secrets", secret)
            else:
                store.patch("secrets", name, namespace, partial(_with_data, data=secret["data"]))
        if missing:
            self._say("", describe_secrets([name for _, name in missing], self._settings.origins))
        for item in sorted(self._manifests, key=lambda item: item["kind"] == "Moltbot"):
            apply_manifest(store, item)

    # --- what operator and router need ----------------------------------------------------------------------------------

    async def _project(self, store: Store, name: str, directory: Path) -> None:
        """A Secret of the operator's namespace as files, as the kubelet projects it into a volume."""
        written: Mapping[str, str] | None = None
        directory.mkdir(exist_ok=True, mode=0o700)
        while True:
            position = store.history.end
            entry = store.entry("secrets", name, NAMESPACE)
            data = (entry.item.get("data") or {}) if entry is not None else None
            if data is not None and data != written:
                files = {key: base64.b64decode(value) for key, value in data.items()}
                await asyncio.to_thread(write_files, directory, files)
                written = dict(data)
            await store.history.changed(position)

    # --- telling the person ---------------------------------------------------------------------------------------------

    async def _narrate(self, store: Store, kind: str) -> None:
        # What was so before this start is no news.
        known: dict[str, Mapping[str, Any]] = {entry.item["metadata"]["uid"]: entry.item for entry in store.entries(kind)}
        admin = f"http://localhost:{self.options.admin_port}/_admin/"
        async for event in store.watch(kind, since=store.version):
            item = event.object
            meta = item["metadata"]
            before = known.pop(meta["uid"], None)
            if event.type == "DELETED":
                if kind == MOLTBOTS:
                    self._say(meta["name"], "is gone")
                continue
            known[meta["uid"]] = item
            if kind == MOLTBOTS:
                for sentence in describe_moltbot(before, item):
                    self._told.add(meta["uid"])
                    self._say(meta["name"], sentence)
            else:
                for sentence in describe_device(before, item, admin, self.options.command):
                    self._say(str((item.get("spec") or {}).get("moltbot") or ""), sentence)

    def present(self) -> list[tuple[str, str]]:
        """(name, sentence) of every Moltbot that is as the last run left it, so that nothing was told of it. What a model answered then
        is not repeated: the key may be another one now."""
        moltbots = [entry.item for entry in self.api.store.entries(MOLTBOTS)] if self.api is not None else []
        untold = [item for item in moltbots if item["metadata"]["uid"] not in self._told]
        quiet = QUIET | {"ModelReady"}
        return [(item["metadata"]["name"], sentence) for item in untold for sentence in describe_moltbot(None, item, quiet)]

    async def _announce(self, store: Store) -> None:
        """Wait until the pages are there, then set `links` and `ready`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_SECONDS):
                await asyncio.gather(listening(self.options.port), listening(self.options.admin_port))
                while not (links := find_links(store, self.options.port, self.options.admin_port, NAMESPACE)):
                    position = store.history.end
                    await store.history.changed(position)
                # One after the other: each that is let in clears the router's count of refusals.
                for link in (link for name, link in links.items() if name != ADMIN):
                    await accepted(link)
                self.links = links
        self.ready.set()


class Broken(Exception):
    """Something that nothing works without has ended."""


async def _guard(launcher: Launcher) -> None:
    """The launcher never ends before us, unless somebody ends it, and every process with it."""
    await asyncio.shield(launcher.ended)
    raise Broken("the process that starts the others was ended by somebody")


def _with_data(present: Object, data: Mapping[str, str]) -> Object:
    return {**present, "data": dict(data)}


async def listening(port: int) -> None:
    """Until somebody listens on this port of this machine."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(LOOK_SECONDS)
        else:
            writer.close()
            return


async def accepted(link: str) -> None:
    """Until the router lets this link in: it learns of a Moltbot a moment after us. `/api/status` wakes nobody.

    The router counts refusals by address (ten, and the person too would wait five minutes), so these few attempts come ever later;
    that it still starts (503) is no refusal.
    """
    place, token = urlsplit(link), link.partition("?token=")[2]
    headers = {"Host": place.netloc, "Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        refusals = 0
        while refusals < ATTEMPTS:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(f"http://127.0.0.1:{place.port}/api/status", headers=headers) as answer:
                    if answer.status == 200:
                        return
                    refusals += answer.status == 401
            await asyncio.sleep(LOOK_SECONDS * 2**refusals)


def operator_and_router(supervisor: Supervisor) -> Sequence[Program]:
    options, run = supervisor.options, supervisor.home.run
    shared = {"MOLTBOT_BASE_DOMAIN": "localhost", "MOLTBOT_PUBLIC_PORT": str(options.port), "MOLTBOT_LOG_FORMAT": "text"}
    operator = {
        "KUBECONFIG": str(run / "operator.kubeconfig"),
        "MOLTBOT_NAMESPACE": NAMESPACE,
        "MOLTBOT_GATEWAY_IMAGE": GATEWAY_IMAGE,
        "MOLTBOT_DEMO_MODEL": "fallback",
        "MOLTBOT_ON_CLUSTER": "false",
        "MOLTBOT_GATEWAY_LOG_FORMAT": "text",
        # The same after every start, so that the Lease of one that was killed is taken over at once.
        "MOLTBOT_IDENTITY": "moltbot-up",
    }
    router = {
        "MOLTBOT_KUBECONFIG": str(run / "router.kubeconfig"),
        # This machine alone: the lock of a shared network is not for a first try.
        "MOLTBOT_LISTEN": f"127.0.0.1:{options.port}",
        "MOLTBOT_ADMIN_LISTEN": f"127.0.0.1:{options.admin_port}",
        "MOLTBOT_ON_CLUSTER": "false",
        "MOLTBOT_ADMIN_URL": f"http://localhost:{options.admin_port}/_admin/",
        "MOLTBOT_KEYS_DIR": str(run / "keys"),
        "MOLTBOT_ADMIN_KEY_FILE": str(run / "admin" / ADMIN_KEY),
    }
    return (
        Program("operator", (sys.executable, "-m", "moltbot_operator"), shared | operator),
        Program("router", (sys.executable, "-m", "moltbot_router"), shared | router),
    )


def _kept_token(home: Home) -> str:
    """The person's token stays the same, so that a terminal with an old KUBECONFIG goes on working."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return str(json.loads(home.kubeconfig.read_text())["users"][0]["user"]["token"])
    return secrets.token_urlsafe(32)


def _kept_port(home: Home) -> int:
    """The API's port of the last run, 0 when there was none: it is taken again where it is free."""
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return urlsplit(json.loads(home.kubeconfig.read_text())["clusters"][0]["cluster"]["server"]).port or 0
    return 0

"""Runs one command: finds the API, says which it is, calls `moltbots`, prints."""

import argparse
import asyncio
import json
import os
import shutil
import sys
import webbrowser
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from moltbot_api.names import Children
from moltbot_cli import moltbots
from moltbot_cli.moltbots import CommandError, Place
from moltbot_cli.output import age, now, printable, size, table
from moltbot_cli.target import Target, find_target
from moltbot_kube import Connection, Kube, KubeError, NotFound, Object, connect

LOCAL_SYSTEM_NAMESPACE = "moltbot-system"
# What each action has reached when it is done, in words.
DONE = {"wake": "is awake", "sleep": "is asleep", "restart": "was restarted", "refresh": "read its Secrets again"}


class Session:
    """One command at work."""

    def __init__(self, options: argparse.Namespace, target: Target, connection: Connection, kube: Kube) -> None:
        self.options, self.target, self.kube = options, target, kube
        self.connection = connection
        self.namespace: str = getattr(options, "namespace", None) or connection.namespace
        self.json = getattr(options, "output", "text") == "json"
        self.place = Place(kube, self.namespace)

    def announce(self) -> None:
        """Before a change: where it will happen. On stderr, so that output can be piped."""
        print(f"in {self.target.words}, namespace {self.namespace}:", file=sys.stderr)

    def show(self, value: Any, text: str) -> None:
        print(json.dumps(value, indent=2) if self.json else text)

    async def moltbot(self) -> Object:
        return await moltbots.find_moltbot(self.place, getattr(self.options, "name", None))


def run_command(options: argparse.Namespace) -> int:
    """The exit code: 0 done, 1 not."""
    try:
        return asyncio.run(_run(options))
    except (CommandError, KubeError) as error:
        print(f"moltbot {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


async def _run(options: argparse.Namespace) -> int:
    target = find_target(getattr(options, "kubeconfig", None), getattr(options, "context", None), plugin=options.plugin)
    connection = await connect(target.kubeconfig, target.context)
    async with Kube(connection, user_agent="moltbot-cli") as kube:
        session = Session(options, target, connection, kube)
        return await COMMANDS[options.command](session)


# --- commands -----------------------------------------------------------------------------------------------------------


async def status(session: Session) -> int:
    name = session.options.name
    if name is not None:
        item = await session.moltbot()
        session.show(item, describe(item))
        return 0
    namespace = None if session.options.all_namespaces else session.namespace
    items = await moltbots.list_moltbots(session.kube, namespace)
    if not items and not session.json:
        print(f"no Moltbot in {session.target.words}, {f'namespace {namespace}' if namespace else 'any namespace'}")
        return 0
    session.show(items, status_table(items, namespaces=namespace is None))
    if len(items) == 1 and not session.json:
        print(problems(items[0]), end="")
    return 0


def _conditions(item: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {c["type"]: c for c in (item.get("status") or {}).get("conditions") or ()}


def status_table(items: Sequence[Mapping[str, Any]], *, namespaces: bool) -> str:
    time = now()
    rows = []
    for item in items:
        found = item.get("status") or {}
        row = [
            item["metadata"]["name"],
            found.get("phase") or "-",
            str(_conditions(item).get("Ready", {}).get("status", "-")),
            found.get("url") or "-",
            found.get("model") or "-",
            age((found.get("lastBackup") or {}).get("time"), time),
            age(found.get("lastActivityTime"), time),
            age(item["metadata"].get("creationTimestamp"), time),
        ]
        rows.append([item["metadata"]["namespace"], *row] if namespaces else row)
    header = ["NAME", "PHASE", "READY", "URL", "MODEL", "LAST BACKUP", "IDLE", "AGE"]
    return table(["NAMESPACE", *header] if namespaces else header, rows)


def problems(item: Mapping[str, Any]) -> str:
    """The conditions that do not hold, one line each."""
    lines = [
        f"  {kind}: {condition.get('message') or condition.get('reason')}\n"
        for kind, condition in _conditions(item).items()
        if condition.get("status") == "False"
        and kind not in ("Sleeping", "Progressing")
        and condition.get("message")
        # A choice, not a fault.
        and condition.get("reason") != "NotConfigured"
    ]
    return "".join(lines)


def describe(item: Mapping[str, Any]) -> str:
    found, time = item.get("status") or {}, now()
    wake = found.get("lastWake") or {}
    backup = found.get("lastBackup") or {}
    pairs = [
        ("phase", found.get("phase") or "-"),
        ("address", found.get("url") or "-"),
        ("model", found.get("model") or "-"),
        ("sleeps after", found.get("sleepAfter") or (item.get("spec") or {}).get("sleepAfter") or "never"),
        ("last used", age(found.get("lastActivityTime"), time) + " ago" if found.get("lastActivityTime") else "-"),
        ("last wake", f"{wake['seconds']:.1f} s, {wake.get('reason') or ''}".rstrip(", ") if wake.get("seconds") is not None else "-"),
        ("last backup", f"{age(backup['time'], time)} ago, {size(backup.get('bytes'))}" if backup.get("time") else "-"),
    ]
    lines = [f"{item['metadata']['namespace']}/{item['metadata']['name']}", *(f"  {name.ljust(12)}  {value}" for name, value in pairs)]
    if words := problems(item):
        lines += ["", "needs attention:", words.rstrip("\n")]
    if history := found.get("history"):
        lines += ["", "history:"]
        lines += [f"  {age(h['time'], time).rjust(4)} ago  {h['phase']}{'  ' + h['reason'] if h.get('reason') else ''}" for h in history]
    return "\n".join(lines)


async def admin(session: Session) -> int:
    options = session.options
    if session.target.local is not None:
        key = await moltbots.find_admin_key(session.kube, LOCAL_SYSTEM_NAMESPACE)
        link = f"http://localhost:{session.target.local.get('adminPort')}/_admin/#key={key}"
        session.show({"url": link}, link)
        if options.open:
            webbrowser.open(link)
        return 0
    router = await moltbots.find_router(session.kube, options.system_namespace)
    namespace = router["metadata"]["namespace"]
    key = await moltbots.find_admin_key(session.kube, namespace)
    link = f"http://localhost:{options.port}/_admin/#key={key}"
    command = [*kubectl(session), "port-forward", "-n", namespace, f"deployment/{router['metadata']['name']}", f"{options.port}:8081"]
    print(f"forwarding to {namespace}/{router['metadata']['name']}; Ctrl-C ends it", file=sys.stderr)
    session.show({"url": link}, link)
    sys.stdout.flush()
    if options.open:
        webbrowser.open(link)
    # In our place, so that what ends us ends the forwarding; its own lines would stand between a script and the link.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return os.execv(command[0], command)  # noqa: S606 - kubectl itself, found on the PATH, no shell


def kubectl(session: Session) -> list[str]:
    """kubectl, speaking to the same API. Raises CommandError."""
    program = shutil.which("kubectl")
    if program is None:
        raise CommandError("this command needs kubectl, which is not on the PATH")
    found = [program]
    if session.target.kubeconfig and session.target.kubeconfig != os.environ.get("KUBECONFIG"):
        found += ["--kubeconfig", session.target.kubeconfig]
    return [*found, "--context", session.target.context] if session.target.context else found


async def devices(session: Session) -> int:
    options = session.options
    if options.verb == "list":
        items = await moltbots.list_devices(session.place, options.name)
        session.show(items, device_table(items) if items else f"no device in namespace {session.namespace}")
        return 0
    items = await moltbots.list_devices(session.place, None)
    if options.verb == "approve":
        chosen = [d for d in items if d["spec"].get("request")] if options.all else [_one(items, wanted) for wanted in options.device]
        if not chosen:
            raise CommandError("no device waits for approval" if options.all else "name a device, or --all (`moltbot devices list`)")
        return await _each(session, chosen, moltbots.approve_device, "approved")
    return await _each(session, [_one(items, wanted) for wanted in options.device], moltbots.remove_device, "removed")


def _one(items: Sequence[Object], wanted: str) -> Object:
    found = moltbots.match_devices(items, wanted)
    if not found:
        raise CommandError(f"no device {wanted} (`moltbot devices list` shows them)")
    if len(found) > 1:
        raise CommandError(f"{wanted} begins several device ids; write more of it: {', '.join(d['metadata']['name'] for d in found)}")
    return found[0]


async def _each(session: Session, chosen: Sequence[Object], act: Callable[[Place, Object], Awaitable[None]], word: str) -> int:
    session.announce()
    failed = 0
    done = []
    for device in chosen:
        try:
            await act(session.place, device)
        except (CommandError, KubeError) as error:
            failed = 1
            print(error, file=sys.stderr)
        else:
            done.append(device["metadata"]["name"])
            if not session.json:
                print(f"{word}: {device_words(device)}")
    if session.json:
        print(json.dumps({word: done}))
    return failed


def device_words(device: Mapping[str, Any]) -> str:
    spec = device["spec"]
    name = printable(" on ".join(str(spec[key]) for key in ("name", "platform") if spec.get(key)))
    return f"{device['metadata']['name']}{f' ({name})' if name else ''}"


def device_table(items: Sequence[Mapping[str, Any]]) -> str:
    time = now()
    rows = []
    for item in items:
        spec = item["spec"]
        request = spec.get("request")
        state = ("approved, asks for more" if request else "approved") if spec.get("approved") else "pending" if request else "gone quiet"
        rows.append(
            [
                str(spec.get("deviceId", ""))[:12],
                str(spec.get("moltbot", "")),
                printable(spec.get("name"), 32) or "-",
                printable(spec.get("platform"), 20) or "-",
                state,
                " ".join((request or spec.get("approved") or {}).get("scopes") or ()) or "-",
                age((item.get("status") or {}).get("lastSeen"), time),
                age(item["metadata"].get("creationTimestamp"), time),
            ]
        )
    return table(["DEVICE", "MOLTBOT", "NAME", "PLATFORM", "STATE", "SCOPES", "SEEN", "AGE"], rows)


async def act(session: Session) -> int:
    action = session.options.command
    moltbot = await session.moltbot()
    name = moltbot["metadata"]["name"]
    session.announce()
    requested = await moltbots.ask(session.place, moltbot, action)
    if not session.options.wait:
        session.show({"name": name, "action": action, "requested": requested}, f"{name}: {action} is asked for")
        return 0
    if not session.json:
        print(f"{name}: {action} is asked for …", flush=True)
    record = await moltbots.wait_for_action(session.place, moltbot, action, requested)
    done = record["result"] == "done"
    words = DONE[action] if done else f"did not {action} ({record['result']})"
    message = str(record.get("message") or "")
    session.show({"name": name, **record}, f"{name} {words}" + (f" ({message})" if message and message not in words else ""))
    return 0 if done else 1


async def backup(session: Session) -> int:
    moltbot = await session.moltbot()
    session.announce()
    snapshot = await moltbots.back_up(session.place, moltbot)
    name = snapshot["metadata"]["name"]
    if not session.options.wait:
        session.show(snapshot, f"{name}: asked for")
        return 0
    if not session.json:
        print(f"{name} …", flush=True)
    found = await moltbots.wait_for_backup(session.place, snapshot)
    result = found.get("status") or {}
    if result.get("phase") != "Complete":
        raise CommandError(result.get("message") or "the snapshot failed")
    session.show(found, f"{name}: verified, {size(result.get('bytes'))} in {result.get('files', '-')} files")
    return 0


async def token(session: Session) -> int:
    words = list(session.options.words)
    rotate = "rotate" in words
    if rotate:
        words.remove("rotate")
    if len(words) > 1:
        raise CommandError("usage: moltbot token [rotate] [NAME]")
    session.options.name = words[0] if words else None
    moltbot = await session.moltbot()
    if rotate:
        session.announce()
        found = await moltbots.rotate_token(session.place, moltbot)
    else:
        found = await moltbots.find_token(session.place, moltbot)
    url = (moltbot.get("status") or {}).get("url")
    link = f"{str(url).rstrip('/')}/?token={found.value}" if url else None
    text = f"{found.value}\n{link}" if link else found.value
    session.show({"token": found.value, "url": link, "secret": found.secret, "key": found.key}, text)
    return 0


async def logs(session: Session) -> int:
    moltbot = await session.moltbot()
    name = moltbot["metadata"]["name"]
    options = session.options
    try:
        opening = session.kube.open_log(
            Children(name).pod, session.namespace, options.container, follow=options.follow, previous=options.previous
        )
        async with opening as chunks:
            async for chunk in chunks:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
    except NotFound as error:
        raise CommandError(f"{name} has no pod now, so no log: it is asleep, or `moltbot status {name}` says why") from error
    return 0


async def version(session: Session) -> int:
    from moltbot_cli.__main__ import own_version

    server = await session.kube.request("GET", "/version")
    found = {"moltbot": own_version(), "kubernetes": server.get("gitVersion"), "server": session.connection.server}
    session.show(found, f"moltbot {found['moltbot']}\nKubernetes {found['kubernetes']}: {session.target.words}")
    return 0


COMMANDS: Mapping[str, Callable[[Session], Awaitable[int]]] = {
    "status": status,
    "admin": admin,
    "devices": devices,
    "wake": act,
    "sleep": act,
    "restart": act,
    "refresh": act,
    "backup": backup,
    "token": token,
    "logs": logs,
    "version": version,
}

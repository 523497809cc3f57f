"""Tools in a restricted pod: what they can do, and everything that they try in vain. Rule: tools hold nothing of ours and reach nothing of
ours, and whatever a program does the gateway answers the next message."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any

from moltbot_kube import Object
from moltbot_kube.resources import SECRETS
from tests.e2e.bucket import Buckets, ephemeral, give_keys
from tests.e2e.cluster import Place
from tests.e2e.devices import KEY, call_marker, claude, open_device, open_model, use

# What programs may do without asking is another test's business.
ALLOW = {"tools": {"programs": "allow"}}
PERSON = "a-value-for-programs"
_GATEWAY = """
import os
from pathlib import Path
def who(module):
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\\0") if entry.name.isdecimal() else []
        except OSError:
            continue
        if words[1:3] == [b"-m", module]:
            found.append(int(entry.name))
    return found
target = who(b"moltbot_gateway")[0]
"""
LOOK = (
    _GATEWAY
    + """
print("gateway is process", target)
for name in ("environ", "mem", "maps", "map_files", "fd", "cwd/", "root/state/current/moltbot.sqlite", "stack", "auxv"):
    place = f"/proc/{target}/{name}"
    try:
        if name in ("map_files", "cwd/"):
            seen = os.listdir(place)
        elif name == "fd":
            seen = [os.readlink(f"{place}/{one}") for one in os.listdir(place)]
        else:
            seen = open(place, "rb").read(64)
        print("READ", name, seen)
    except OSError as error:
        print("refused", name, error.strerror)
"""
)
TRACE = (
    _GATEWAY
    + """
import ctypes, signal
libc = ctypes.CDLL(None, use_errno=True)
def tell(name, answer):
    print(name, "DONE" if answer >= 0 else "refused: " + os.strerror(ctypes.get_errno()))
tell("attach", libc.ptrace(16, target, 0, 0))
tell("seize", libc.ptrace(0x4206, target, 0, 0))
class Iov(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))
buffer = ctypes.create_string_buffer(64)
local, remote = Iov(ctypes.addressof(buffer), 64), Iov(0x400000, 64)
tell("read", libc.process_vm_readv(target, ctypes.byref(local), 1, ctypes.byref(remote), 1, 0))
for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSTOP):
    for victim in (target, 1):
        try:
            os.kill(victim, number)
            print("kill DONE")
        except PermissionError:
            print("kill refused")
"""
)


# The ports of its own pod, where a seal or an assertion is wanted.
DOORS = """
import os, ssl, urllib.error, urllib.request
context = ssl._create_unverified_context()
address = os.popen("hostname -i").read().split()[0]
for port, path in ((18789, "/healthz"), (18789, "/"), (18790, "/report"), (18790, "/stage"), (18791, "/report")):
    try:
        print(port, path, urllib.request.urlopen(f"https://{address}:{port}{path}", timeout=5, context=context).status)
    except urllib.error.HTTPError as error:
        print(port, path, error.code)
    except OSError as error:
        print(port, path, "closed")
"""


def files(**scripts: str) -> dict[str, Any]:
    return {"files": [{"path": f"{name}.py", "content": text, "policy": "Always"} for name, text in scripts.items()]}


async def restarts(place: Place) -> int:
    status = ((await place.pod("ada")) or {}).get("status", {})
    return sum(one["restartCount"] for one in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())))


async def logged(place: Place, phrase: str) -> Mapping[str, Any]:
    """The newest line of the gateway's log with that event."""
    lines = (await place.kubectl("logs", "ada-gateway-0", "-c", "gateway")).splitlines()
    found = [json.loads(line) for line in lines if f'"{phrase}"' in line]
    return next((one for one in reversed(found) if one["event"] == phrase), {})


async def keys_of(place: Place) -> list[str]:
    """Every value that this Moltbot's own Secrets hold: none of them may be seen."""
    found: Object = {"items": (await place.person.list(SECRETS, place.namespace)).items}
    values = [base64.b64decode(value).decode() for one in found["items"] for value in (one.get("data") or {}).values()]
    inner = [key for value in values if value.startswith("{") for key in re.findall(r'"([A-Za-z0-9_-]{43})"', value)]
    return [
        KEY,
        *inner,
        *(line for value in values for line in value.splitlines() if len(line) > 20 and "BEGIN" not in line and "END" not in line),
    ]


async def test_files_and_programs_work_as_an_unprivileged_user(place: Place) -> None:
    """A confinement in which nothing works would pass every other test here."""
    await place.secret("tools", {"token": PERSON})
    variables = [
        {"name": "PLAIN", "value": "a $(HOME) b"},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "tools", "key": "token"}}},
    ]
    async with open_model() as fake:
        await claude(place, fake, {"gateway": {**ALLOW, "env": variables}})
        async with open_device(place) as device, device.connect() as ada:
            said = call_marker("write", path="notes/a.txt", content="red\nblue\n")
            said += (
                call_marker("exec", command="sleep 1") + "[fake:then]" + call_marker("edit", path="notes/a.txt", old="blue", new="green")
            )
            said += "[fake:then]" + call_marker("read", path="notes/a.txt") + call_marker("list") + call_marker("search", pattern="gr..n")
            answer = await ada.say(f"{said}[fake:then] {{results}}")
            assert "Made notes/a.txt (9 bytes)" in answer
            assert "Changed notes/a.txt (line 2)" in answer
            assert "notes/a.txt:2:green" in answer
            assert "notes/" in answer
            shown = await use(
                ada,
                "exec",
                command="id -u; grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; touch /etc/x /opt/x; pwd; date +%Z; env",
            )
            assert shown.startswith("65532\n")
            assert "CapEff:\t0000000000000000" in shown
            assert "CapBnd:\t0000000000000000" in shown
            assert "NoNewPrivs:\t1" in shown
            assert shown.count("cannot touch") == 2
            assert "PLAIN=a $(HOME) b\n" in shown
            assert f"TOKEN={PERSON}" in shown
            names = set(re.findall(r"^([A-Z_]+)=", shown, re.MULTILINE))
            assert names == {"PATH", "HOME", "LANG", "TZ", "TMPDIR", "PLAIN", "TOKEN", "PWD"}, "nothing else of the pod's environment"
            assert (await logged(place, "tool process started"))["confined"] is True


async def test_nothing_of_ours_is_read_or_opened(place: Place, buckets: Buckets) -> None:
    """Keys in the environment, database, another container's files and memory, service account: by name, link, /proc, tracing, signals."""
    await give_keys(place)
    async with open_model() as fake:
        memory = ephemeral(await buckets.make(), workspace=files(look=LOOK, trace=TRACE, doors=DOORS))
        memory.pop("model")
        memory["gateway"] |= ALLOW
        await claude(place, fake, memory)
        async with open_device(place) as device, device.connect() as ada:
            secrets = await keys_of(place)
            assert len(secrets) > 8, "the keys are there to be found"
            seen = [
                await use(ada, "exec", command="env; set; cat /proc/self/environ /proc/$PPID/environ /proc/1/environ | tr '\\0' '\\n'"),
                await use(
                    ada, "exec", command="cat /state/current/moltbot.sqlite /state/*.json; ls /state /state/current; cat /state/lock"
                ),
                await use(
                    ada, "exec", command="ln -s /state/current/moltbot.sqlite a; ln /state/state.json b; ln -s /proc/1/environ c; cat a b c"
                ),
                await use(
                    ada,
                    "exec",
                    command="ls /run /tmp /root /home /sys; cat /etc/shadow; mount -t tmpfs x . ; unshare -Ur cat /state/state.json",
                ),
                *[await use(ada, "read", path=path) for path in ("../moltbot.sqlite", "/state/state.json", "a", "c", "/proc/1/environ")],
                await use(ada, "search", pattern="sk-ant", path="/state"),
            ]
            looked = await use(ada, "exec", command="python3 look.py")
            traced = await use(ada, "exec", command="python3 trace.py")
            everything = "\n".join((*seen, looked, traced))
            assert [secret for secret in secrets if secret in everything] == []
            assert "SQLite format" not in everything
            assert "lineage" not in everything
            assert "ermission denied" in seen[1]
            assert "moltbot.sqlite" not in seen[1].replace("/state/current/moltbot.sqlite", "")
            assert all("outside the workspace" in one for one in seen[4:9]), seen[4:9]
            assert "READ" not in looked
            assert looked.count("refused") == 9
            assert "DONE" not in traced
            assert traced.count("refused") == 9
            doors = dict(line.rsplit(" ", 1) for line in (await use(ada, "exec", command="python3 doors.py")).splitlines())
            assert doors.pop("18789 /healthz") == "200"
            assert doors.pop("18789 /") == "401"
            assert doors == {"18790 /report": "401", "18790 /stage": "401", "18791 /report": "401"}
            assert await ada.say("still there?")
        assert await restarts(place) == 0
        token = "ls /var/run/secrets || echo none"
        assert "none" in await place.kubectl("exec", "ada-gateway-0", "-c", "gateway", "--", "sh", "-c", token), (
            "also outside the confinement"
        )

"""Programs that hang, flood, fork, eat memory and end, in a pod with a limit: each is contained, with an answer in words. Rule: whatever a
program does, the gateway answers the next message."""

from __future__ import annotations

from tests.e2e.cluster import Place, until
from tests.e2e.devices import claude, open_device, open_model, use
from tests.e2e.test_tools import ALLOW, restarts
from tests.fakes.gateway_client import MAIN

# Half of it is what programs may have: on cgroup v2 the kernel ends everything in a container that goes over its limit.
LIMIT = {"limits": {"memory": "512Mi"}}
BOMB = "f() { sh -c 'sleep 300' & f & f & wait; }; f"
HOG = "python3 -c 'import time; a = bytearray(b\"x\") * 100 * 2**20; time.sleep(300)'"


async def test_whatever_a_program_does_the_next_message_is_answered(place: Place) -> None:
    async with open_model() as fake:
        await claude(place, fake, {"gateway": {**ALLOW, "resources": LIMIT}})
        async with open_device(place) as device, device.connect() as ada:
            assert "it took longer than 2 s" in await use(ada, "exec", command="sleep 300", timeout=2)
            assert "it took longer than 2 s" in await use(ada, "exec", command="trap '' TERM HUP; while :; do sleep 1; done", timeout=2)
            assert "it wrote more than 64 MiB" in await use(ada, "exec", command="yes")
            assert "too many processes" in await use(ada, "exec", command=BOMB)
            assert "[exit code 7]" in await use(ada, "exec", command="echo bye; exit 7")
            assert "ended by SIGKILL" in await use(ada, "exec", command="kill -9 $$")
            assert "[binary output, 300000 bytes" in await use(ada, "exec", command="head -c 300000 /dev/urandom")
            assert "MemoryError" in await use(ada, "exec", command="python3 -c 'a = bytearray(300 * 2**20)'")
            assert "it used more than 256 MiB of memory" in await use(ada, "exec", command=f"for n in 1 2 3 4; do {HOG} & done; wait")
            assert "4 processes that it left behind were ended" in await use(
                ada, "exec", command="for n in 1 2 3 4; do setsid -f sleep 300; done; echo ok"
            )
            assert await use(ada, "exec", command="grep -l sleep /proc/[0-9]*/comm | wc -l") == "0", "nothing of all that is left"
            end = await ada.say("and now?")
            assert "You said: and now?" in end
            messages = (await ada.call("chat.history", sessionKey=MAIN, limit=200))["messages"]
            cards = [one for one in messages if one["role"] == "toolResult"]
            assert all(one["person"].strip() for one in cards), "a person reads what became of each"
        assert await restarts(place) == 0
        await until("the pod is ready", lambda: ready(place))


async def ready(place: Place) -> bool:
    pod = await place.pod("ada") or {}
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod.get("status", {}).get("conditions", ()))

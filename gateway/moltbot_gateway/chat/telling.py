"""What whoever listens hears of a turn: `chat`, `agent` and session events."""

from __future__ import annotations

from collections.abc import Mapping

from moltbot_gateway.chat.wire import message_to_wire, partial_to_wire
from moltbot_gateway.hub import Hub
from moltbot_gateway.store.records import Message, Run
from moltbot_protocol.events import AGENT, CHAT
from moltbot_trust.clock import Clock


class Telling:
    """One run's events, numbered. `quiet`: nothing is told before its end (a heartbeat that may have nothing to say)."""

    def __init__(self, hub: Hub, clock: Clock, run: Run, *, quiet: bool = False) -> None:
        self._hub, self._clock, self._run, self.quiet = hub, clock, run, quiet
        self._sequence = 0

    def delta(self, text: str, delta: str) -> None:
        """`text` of the present step, `delta` what was not told yet."""
        payload = self._chat("delta", message=partial_to_wire(text, self._now_ms()), deltaText=delta)
        if not self.quiet:
            self._hub.tell(CHAT, payload, merge=f"chat {self._run.id}")
            self.agent("assistant", {"text": text, "delta": delta}, merge=f"agent {self._run.id}")

    def thinking(self, text: str, delta: str) -> None:
        self.agent("thinking", {"text": text, "delta": delta}, merge=f"thinking {self._run.id}")

    def status(self, phase: str, message: str) -> None:
        """What a person who waits may want to know; `phase` of a closed set (docs/reference/agent.md)."""
        if not self.quiet:
            self._hub.tell(CHAT, self._chat("status", phase=phase, message=message))

    def tool(self, phase: str, call_id: str, name: str, data: Mapping[str, object]) -> None:
        self.agent("tool", {"phase": phase, "toolCallId": call_id, "name": name, **data})

    def partial_result(self, call_id: str, name: str, text: str) -> None:
        data = {"phase": "update", "toolCallId": call_id, "name": name, "partialResult": {"text": text}}
        self.agent("tool", data, merge=f"tool {self._run.id} {call_id}")

    def agent(self, stream: str, data: Mapping[str, object], *, merge: str | None = None) -> None:
        if self.quiet:
            return
        run = self._run
        payload: dict[str, object] = {"runId": run.id, "stream": stream, "data": dict(data), "sessionKey": run.session_key}
        self._hub.tell(AGENT, payload | {"seq": self._sequence, "ts": self._now_ms()}, merge=merge)

    def end(self, state: str, message: Mapping[str, object] | None, told: Mapping[str, object]) -> None:
        """The last `chat` event of the run."""
        payload = self._chat(state, **told)
        if message is not None:
            payload["message"] = dict(message)
        self._hub.tell(CHAT, payload)

    def message(self, message: Message) -> None:
        run = self._run
        payload: dict[str, object] = {"sessionKey": run.session_key, "runId": run.id, "messageId": str(message.id)}
        if not self.quiet:
            self._hub.tell_message(run.session_key, payload | {"message": message_to_wire(message)})

    def changed(self, phase: str) -> None:
        payload = {"sessionKey": self._run.session_key, "reason": "message", "phase": phase, "ts": self._now_ms()}
        if not self.quiet:
            self._hub.tell_session_changed(payload)

    def _chat(self, state: str, **more: object) -> dict[str, object]:
        self._sequence += 1
        return {"runId": self._run.id, "sessionKey": self._run.session_key, "seq": self._sequence, "state": state, **more}

    def _now_ms(self) -> int:
        return int(self._clock.epoch() * 1000)

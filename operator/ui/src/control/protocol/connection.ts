// One lasting connection to the gateway: opens, proves who this browser is, asks and is answered, and comes back by itself.
// What a person sees of it is `link`; what it carries, `onEvent`.
import { signal } from "@preact/signals";

import { backoff } from "../../web/backoff";
import { object, objects, string } from "../../web/json";
import type { JsonObject } from "../../web/json";
import { uuid } from "../../web/random";
import { thisClient } from "./client";
import { PROTOCOL, readFrame, readHello, readRefusal } from "./frames";
import type { WireError } from "./frames";
import { deviceToken, proof, thisDevice } from "./identity";
import { Lost, Refused } from "./link";
import type { Link } from "./link";

const ROLE = "operator";
const SCOPES = ["operator.admin", "operator.read", "operator.write"] as const;
/** As long as the slowest answer to a read may take. */
const READ_MS = 60_000;
/** The router holds a message while the assistant wakes (50 s), and tries for longer before it says no. */
const WAKE_MS = 180_000;
const HANDSHAKE_MS = 15_000;
/** A request to pair lives five minutes: ask again in time, and notice an approval even without pushed events. */
const PAIRING_MS = 20_000;
const TICK_TIMEOUT = 4000;

interface Waiting {
  resolve: (payload: unknown) => void;
  reject: (reason: Error) => void;
  timer: number;
}

export class Connection {
  readonly link = signal<Link>({ state: "connecting" });
  readonly device = thisDevice();
  readonly client = thisClient();
  /** Whoever listens to the gateway's events; ticks are not among them. */
  onEvent: (event: string, payload: JsonObject) => void = () => undefined;

  #socket: WebSocket | undefined;
  #waiting = new Map<string, Waiting>();
  #attempt = 0;
  #retry: number | undefined;
  #silence: number | undefined;
  #silenceMs = HANDSHAKE_MS;
  readonly #url: string;

  constructor(url: string) {
    this.#url = url;
    window.addEventListener("online", () => this.#hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#hurry();
    });
  }

  /** Connect now, whatever was planned. */
  open(): void {
    window.clearTimeout(this.#retry);
    this.#drop("replaced");
    if (this.link.value.state !== "pairing" && this.link.value.state !== "lost") this.link.value = { state: "connecting" };
    const socket = new WebSocket(this.#url);
    this.#socket = socket;
    this.#silenceMs = HANDSHAKE_MS;
    this.#listenForSilence();
    socket.onmessage = (message) => {
      if (socket === this.#socket && typeof message.data === "string") this.#receive(message.data);
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#closed(event.code, event.reason);
    };
  }

  /** Asks, and gives what is answered. Rejects with Refused or Lost. */
  async request(method: string, params: JsonObject, patience: "read" | "wake" = "read"): Promise<JsonObject> {
    if (this.link.value.state !== "open") throw new Lost("not connected");
    return object(await this.#send(method, params, patience === "wake" ? WAKE_MS : READ_MS));
  }

  /** As `request`, for the methods whose answer is a list. */
  async requestList(method: string, params: JsonObject): Promise<JsonObject[]> {
    if (this.link.value.state !== "open") throw new Lost("not connected");
    return objects(await this.#send(method, params, READ_MS));
  }

  serves(method: string): boolean {
    return this.link.value.state === "open" && this.link.value.hello.methods.has(method);
  }

  #send(method: string, params: JsonObject, patienceMs: number): Promise<unknown> {
    const id = uuid();
    return new Promise((resolve, reject) => {
      const timer = window.setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Lost(`no answer to ${method}`));
      }, patienceMs);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket?.send(JSON.stringify({ type: "req", id, method, params }));
    });
  }

  #receive(source: string): void {
    this.#listenForSilence();
    const frame = readFrame(source);
    if (frame === undefined) return;
    if (frame.type === "event") {
      if (frame.event === "connect.challenge") void this.#connect(string(frame.payload["nonce"]) ?? "");
      else if (frame.event !== "tick") this.onEvent(frame.event, frame.payload);
      return;
    }
    const waiting = this.#waiting.get(frame.id);
    if (waiting === undefined) return;
    this.#waiting.delete(frame.id);
    window.clearTimeout(waiting.timer);
    if (frame.ok) waiting.resolve(frame.payload);
    else waiting.reject(new Refused(frame.error));
  }

  async #connect(nonce: string): Promise<void> {
    const socket = this.#socket;
    const token = deviceToken.read();
    const { id, mode, version, displayName, platform, deviceFamily, instanceId, timeZone } = this.client;
    const said = {
      clientId: id,
      clientMode: mode,
      role: ROLE,
      scopes: SCOPES,
      signedAt: Date.now(),
      token: token ?? "",
      nonce,
      platform,
      deviceFamily,
    };
    try {
      const payload = await this.#send(
        "connect",
        {
          minProtocol: PROTOCOL,
          maxProtocol: PROTOCOL,
          client: { id, mode, version, displayName, platform, deviceFamily, instanceId, timeZone },
          caps: ["tool-events"],
          role: ROLE,
          scopes: [...SCOPES],
          device: proof(this.device, said),
          ...(token === undefined ? {} : { auth: { deviceToken: token } }),
          locale: navigator.language,
        },
        HANDSHAKE_MS,
      );
      const hello = readHello(object(payload));
      if (hello === undefined) throw new Lost("the answer to the opening was no hello");
      if (hello.deviceToken !== undefined) deviceToken.keep(hello.deviceToken);
      this.#attempt = 0;
      // Two silent ticks, and a little for the way.
      this.#silenceMs = hello.tickMs * 2 + 2000;
      this.#listenForSilence();
      this.link.value = { state: "open", hello };
    } catch (error) {
      if (socket !== this.#socket) return;
      if (error instanceof Refused) this.#refused(error.error, token !== undefined);
      else this.#closed(0, error instanceof Error ? error.message : "");
    }
  }

  #refused(error: WireError, withToken: boolean): void {
    const refusal = readRefusal(error);
    this.#drop("refused");
    switch (refusal.kind) {
      case "pairing":
        deviceToken.forget();
        // The timer first: whoever sees the new state may connect at once, which takes the timer back.
        this.#again(PAIRING_MS);
        this.link.value = { state: "pairing", requestId: refusal.requestId, reason: refusal.reason };
        break;
      case "token":
        if (withToken && refusal.stale) {
          deviceToken.forget();
          this.open();
        } else {
          this.link.value = { state: "unauthorized", message: refusal.message };
        }
        break;
      case "clock":
        this.link.value = {
          state: "refused",
          message: "This device's clock is off by more than two minutes.",
          remedy: "Set the date and time to automatic, then try again.",
        };
        break;
      case "version":
        this.link.value = {
          state: "refused",
          message: "This page and the gateway speak different versions of the protocol.",
          remedy: "Reload the page; if that does not help, upgrade moltbot-operator.",
        };
        break;
      case "busy":
        this.#lost(refusal.message, refusal.afterMs);
        break;
    }
  }

  #closed(code: number, reason: string): void {
    if (this.#socket === undefined) return;
    this.#drop(reason || `closed (${code})`);
    if (this.link.value.state === "pairing") this.#again(PAIRING_MS);
    else if (this.link.value.state !== "unauthorized" && this.link.value.state !== "refused") this.#lost(reason);
  }

  #lost(message: string, afterMs?: number): void {
    const wait = afterMs ?? backoff(this.#attempt++);
    this.#again(wait);
    this.link.value = { state: "lost", retryAt: Date.now() + wait, message };
  }

  #again(afterMs: number): void {
    window.clearTimeout(this.#retry);
    this.#retry = window.setTimeout(() => this.open(), afterMs);
  }

  /** The network or the person is back: what waits for its turn goes now. */
  #hurry(): void {
    if (this.link.value.state === "lost") this.open();
  }

  #drop(reason: string): void {
    window.clearTimeout(this.#silence);
    const socket = this.#socket;
    this.#socket = undefined;
    socket?.close();
    const waiting = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const { reject, timer } of waiting) {
      window.clearTimeout(timer);
      reject(new Lost(reason));
    }
  }

  #listenForSilence(): void {
    window.clearTimeout(this.#silence);
    this.#silence = window.setTimeout(() => {
      this.#socket?.close(TICK_TIMEOUT, "tick timeout");
      this.#closed(TICK_TIMEOUT, "no sign of life from the gateway");
    }, this.#silenceMs);
  }
}

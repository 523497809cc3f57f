// How the connection is, and how a request on it can fail.
import type { Hello, WireError } from "./frames";

export type Link =
  | { state: "connecting" }
  | { state: "open"; hello: Hello }
  | { state: "pairing"; requestId: string | undefined; reason: string }
  | { state: "unauthorized"; message: string }
  | { state: "refused"; message: string; remedy: string }
  | { state: "lost"; retryAt: number; message: string };

/** The gateway's, or the router's, own no to one request. */
export class Refused extends Error {
  readonly error: WireError;

  constructor(error: WireError) {
    super(error.message);
    this.error = error;
  }
}

/** The connection went before the answer came: it may or may not have been done. */
export class Lost extends Error {}

// Who this browser is: an Ed25519 key that never leaves it, and the proof that it holds it. @noble, since crypto.subtle is missing
// on plain HTTP, where a first try in a home network happens.
import { getPublicKey, hashes, sign, utils } from "@noble/ed25519";
import { sha256, sha512 } from "@noble/hashes/sha2.js";

import { object, string } from "../../web/json";
import { lasting } from "../../web/storage";

hashes.sha512 = sha512;

const KEY = "moltbot.device";
const TOKEN = "moltbot.deviceToken";
const SECRET_BYTES = 32;

export interface Device {
  /** Hex SHA-256 of the public key. */
  id: string;
  publicKey: string;
  secret: Uint8Array;
}

/** What is signed, in the order of payload v3. */
export interface Statement {
  clientId: string;
  clientMode: string;
  role: string;
  scopes: readonly string[];
  signedAt: number;
  /** The string sent in `auth`, else empty. */
  token: string;
  nonce: string;
  platform: string;
  deviceFamily: string;
}

export function toBase64url(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

function fromBase64url(source: string): Uint8Array | undefined {
  try {
    return Uint8Array.from(atob(source.replace(/-/g, "+").replace(/_/g, "/")), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function deviceOf(secret: Uint8Array): Device {
  const publicKey = getPublicKey(secret);
  const id = Array.from(sha256(publicKey), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id, publicKey: toBase64url(publicKey), secret };
}

/** This browser's device; made at the first visit. */
export function thisDevice(): Device {
  const kept = fromBase64url(string(object(lasting.read(KEY))["secret"]) ?? "");
  if (kept?.length === SECRET_BYTES) return deviceOf(kept);
  const secret = utils.randomSecretKey();
  lasting.write(KEY, { secret: toBase64url(secret) });
  return deviceOf(secret);
}

/** The device token of hello-ok, until the router says that it no longer counts. */
export const deviceToken = {
  read: (): string | undefined => string(lasting.read(TOKEN)),
  keep: (token: string): void => lasting.write(TOKEN, token),
  forget: (): void => lasting.remove(TOKEN),
};

export function payloadV3(deviceId: string, said: Statement): string {
  return [
    "v3",
    deviceId,
    said.clientId,
    said.clientMode,
    said.role,
    said.scopes.join(","),
    String(said.signedAt),
    said.token,
    said.nonce,
    said.platform.trim().toLowerCase(),
    said.deviceFamily.trim().toLowerCase(),
  ].join("|");
}

export function proof(device: Device, said: Statement): Record<string, string | number> {
  const signature = sign(new TextEncoder().encode(payloadV3(device.id, said)), device.secret);
  return {
    id: device.id,
    publicKey: device.publicKey,
    signature: toBase64url(signature),
    signedAt: said.signedAt,
    nonce: said.nonce,
  };
}

/** What two people can read to each other: the first eight characters of the id, in fours. */
export const shortId = (id: string): string => `${id.slice(0, 4)}-${id.slice(4, 8)}`;

// Where this page was opened.

const LOOPBACK = /^(localhost|.+\.localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Plain HTTP that leaves this machine: everybody on the way can read it, and cookies cannot be made Secure. */
export function isExposed(at: { protocol: string; hostname: string } = location): boolean {
  return at.protocol === "http:" && !LOOPBACK.test(at.hostname);
}

/** The name of the assistant by the host's pattern `<name>--<namespace>.<base domain>`, until it says its own. */
export function nameOfHost(hostname: string = location.hostname): string | undefined {
  const label = hostname.split(".")[0] ?? "";
  const cut = label.indexOf("--");
  return cut > 0 ? label.slice(0, cut) : undefined;
}

/** Takes `#<name>=…` out of the location, so that a secret stays neither in view nor in the history. */
export function takeFromHash(name: string): string | undefined {
  const source = location.hash.replace(/^#/, "");
  const values = new URLSearchParams(source);
  const value = values.get(name);
  if (value === null) return undefined;
  history.replaceState(null, "", location.pathname + location.search);
  return value;
}

// What this page says of itself when it connects.
import { uuid } from "../../web/random";

export interface ClientSays {
  id: string;
  mode: string;
  version: string;
  displayName: string;
  platform: string;
  deviceFamily: string;
  instanceId: string;
  timeZone: string;
}

const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:e|A|iOS)?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|CriOS|Chromium|HeadlessChrome)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];

const SYSTEMS: readonly (readonly [RegExp, string, string])[] = [
  [/\biPhone\b/, "iOS", "phone"],
  [/\biPad\b/, "iPadOS", "tablet"],
  [/\bAndroid\b.*\bMobile\b/, "Android", "phone"],
  [/\bAndroid\b/, "Android", "tablet"],
  [/\bCrOS\b/, "ChromeOS", "desktop"],
  [/\bMac OS X\b|\bMacintosh\b/, "macOS", "desktop"],
  [/\bWindows\b/, "Windows", "desktop"],
  [/\bLinux\b/, "Linux", "desktop"],
];

export function describeBrowser(userAgent: string): { name: string; platform: string; family: string } {
  const name = BROWSERS.find(([pattern]) => pattern.test(userAgent))?.[1] ?? "Browser";
  const system = SYSTEMS.find(([pattern]) => pattern.test(userAgent));
  return { name, platform: system?.[1] ?? "unknown", family: system?.[2] ?? "desktop" };
}

export function thisClient(): ClientSays {
  const { name, platform, family } = describeBrowser(navigator.userAgent);
  return {
    id: "webchat-ui",
    mode: "webchat",
    version: __VERSION__,
    displayName: name,
    platform,
    deviceFamily: family,
    instanceId: uuid(),
    timeZone: Intl.DateTimeFormat().resolvedOptions().timeZone || "UTC",
  };
}

declare const __VERSION__: string;

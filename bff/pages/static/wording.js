/** Words for what the gateway tells: times, roles, devices. */

import { h } from "./dom.js";
import { strings } from "./strings.js";

const BROWSERS = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|CriOS|HeadlessChrome)\//, "Chrome"],
  [/\bVersion\/[\d.]+ .*Safari\//, "Safari"],
];
const SYSTEMS = [
  [/\bWindows\b/, "Windows"],
  [/\bAndroid\b/, "Android"],
  [/\b(?:iPhone|iPad|iPod)\b/, "iOS"],
  [/\bMac OS X\b/, "macOS"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bLinux\b/, "Linux"],
];
const LONGEST = 80;
const format = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });

/** The name of `key` where there is one, else the key itself. */
export const named = (names, key) => (Object.hasOwn(names, key) ? names[key] : String(key));

/** Roles as a list in words. */
export const roleNames = (roles) => (roles ?? []).map((role) => named(strings.roles, role)).join(", ");

/** A time as people here write it; what is none, as it came. */
export function inWords(time) {
  const at = new Date(time);
  return Number.isNaN(at.valueOf()) ? String(time) : format.format(at);
}

/** The same as a node. */
export const moment = (time) => h("time", { datetime: time }, inWords(time));

/** A device by what its browser says of itself. */
export function deviceName(agent) {
  const of = (list) => list.find(([pattern]) => pattern.test(agent))?.[1];
  const [browser, system] = [of(BROWSERS), of(SYSTEMS)];
  if (browser && system) return strings.account.device(browser, system);
  return browser ?? system ?? (agent.slice(0, LONGEST) || strings.account.unknownDevice);
}

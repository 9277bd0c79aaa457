// Numbers, times and words as people read them.

import { STRINGS } from "./strings.js";

/**
 * Format seconds as `1:04.5` or `1:02:03.0`.
 * @param {number} seconds
 * @param {number} [digits] after the decimal point
 */
export function formatTime(seconds, digits = 1) {
  const scale = 10 ** digits;
  const units = Math.round(Math.max(seconds, 0) * scale);
  const minutes = Math.floor(units / (60 * scale));
  const remainder = ((units % (60 * scale)) / scale).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  const hours = Math.floor(minutes / 60);
  return hours ? `${hours}:${String(minutes % 60).padStart(2, "0")}:${remainder}` : `${minutes}:${remainder}`;
}

/** @param {{ start: number, end: number }} span seconds */
export const formatSpan = ({ start, end }) => `${formatTime(start)} – ${formatTime(end)}`;

/** @param {number} share 0 to 1 */
export const formatPercent = (share) => `${Math.round(share * 100)}%`;

/** @param {number} count */
export function formatBytes(count) {
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), units.length - 1);
  const value = count / 1000 ** power;
  return `${value < 10 && power ? value.toFixed(1) : Math.round(value)} ${units[power]}`;
}

/**
 * Format a time in the past as `just now`, `5 min ago`, `3 h ago` or a date.
 * @param {string} timestamp ISO 8601
 * @param {number} [now] milliseconds since 1970
 */
export function formatAge(timestamp, now = Date.now()) {
  const date = new Date(timestamp);
  const seconds = (now - date.getTime()) / 1000;
  if (seconds < 60) return STRINGS.format.justNow;
  if (seconds < 3600) return STRINGS.format.minutesAgo(Math.floor(seconds / 60));
  if (seconds < 86400) return STRINGS.format.hoursAgo(Math.floor(seconds / 3600));
  return date.toLocaleDateString(undefined, { day: "numeric", month: "short", year: "numeric" });
}

/**
 * Return the English name of a language; a code that is not known is returned as it is.
 * @param {string} code ISO 639
 */
export const languageName = (code) => new Intl.DisplayNames([STRINGS.locale], { type: "language" }).of(code) ?? code;

/** @param {string} text */
export const capitalize = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/**
 * Return a count with its noun: `1 file`, `2 files`.
 * @param {number} count
 * @param {string} singular
 * @param {string} [plural]
 */
export const countOf = (count, singular, plural = `${singular}s`) => `${count} ${count === 1 ? singular : plural}`;

/**
 * Return the display name of an audio channel, counted from 0 as in the files.
 * @param {number} channel
 */
export const channelName = (channel) => STRINGS.format.channel(channel);

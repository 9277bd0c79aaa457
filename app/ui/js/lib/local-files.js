// Files that were opened in this tab. They play at once, without a download.

import { h } from "./dom.js";

/** @type {Map<string, File>} */
const files = new Map();

/**
 * @param {string} jobId
 * @param {File} file
 */
export const rememberFile = (jobId, file) => files.set(jobId, file);

/**
 * Return the file of a job; null if it was not opened in this tab.
 * @param {string} jobId
 */
export const localFile = (jobId) => files.get(jobId) ?? null;

/**
 * Return a URL of a file or of downloaded bytes that is valid until the signal aborts.
 * @param {Blob} blob
 * @param {AbortSignal} signal
 */
export function objectUrl(blob, signal) {
  const url = URL.createObjectURL(blob);
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
  return url;
}

/** Milliseconds for which the browser can read a file that it downloads. */
const URL_LIFETIME = 60_000;

/**
 * Let the browser download an address.
 * @param {string} href
 * @param {string} download name of the file
 */
export function saveUrl(href, download) {
  h("a", { href, download }).click();
}

/**
 * Let the browser save bytes as a file.
 * @param {Blob} blob
 * @param {string} name
 */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  saveUrl(url, name);
  setTimeout(() => URL.revokeObjectURL(url), URL_LIFETIME);
}

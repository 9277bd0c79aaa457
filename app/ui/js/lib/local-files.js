// Files that were opened in this tab. They play at once, without a download.

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

// Tickets: short-lived substitutes for the API key, each for one thing.

const JOB_PATH = /^\/v1\/jobs\/([^/]+)\/(events|media|artifacts)\b/;

/**
 * Return the request for a ticket that opens a path of this service.
 * @param {string} path
 * @returns {{ purpose: string, job?: string }}
 */
export function ticketScope(path) {
  const [, job, purpose] = JOB_PATH.exec(path) ?? [];
  if (!job || !purpose) return { purpose: "stream" };
  return { purpose, job: decodeURIComponent(job) };
}

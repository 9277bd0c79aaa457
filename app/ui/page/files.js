// The files that were sent from this tab, so that they play at once and without another copy.

const files = new Map();

export const keepFile = (jobId, file) => files.set(jobId, file);

/** The file of a job; null where it was not sent from here. */
export const fileOf = (jobId) => files.get(jobId) ?? null;

/** The address of a file within this page, until the signal ends. */
export function addressOf(file, signal) {
  const url = URL.createObjectURL(file);
  signal.addEventListener("abort", () => URL.revokeObjectURL(url));
  return url;
}

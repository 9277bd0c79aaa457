// Follows a job until it has ended: by server-sent events, else by asking again and again.

import { jobPath, read, ticketed } from "./api.js";

export const ENDED = ["succeeded", "failed", "cancelled"];
const LAST = [...ENDED, "deleted"];
const WAIT = 30; // seconds of one long poll
const SILENCE = 60_000; // milliseconds

/** Calls `changed(job)` for every change, and returns the ended job. Throws Problem. */
export async function follow(id, { changed, signal }) {
  let job = await read(jobPath(id), { signal });
  changed(job);
  if (!ENDED.includes(job.status) && job.links.events) await listen(job, { changed, signal });
  while (!ENDED.includes((job = await read(`${jobPath(id)}?wait=${WAIT}`, { signal })).status)) changed(job);
  changed(job);
  return job;
}

// Until the last event, or until nothing comes any more: asking tells how things stand then. A connection that breaks is
// taken up again by the browser, from the last event that it had; one that was never there, or that something on the way
// holds up, is given up.
async function listen(job, { changed, signal }) {
  const source = new EventSource(await ticketed(job.links.events));
  let [opened, silence] = [false, 0];
  await new Promise((resolve) => {
    const heard = () => {
      clearTimeout(silence);
      silence = setTimeout(resolve, SILENCE);
    };
    signal.addEventListener("abort", resolve);
    source.onopen = () => (opened = true);
    source.onerror = () => (!opened || source.readyState === EventSource.CLOSED) && resolve();
    source.onmessage = ({ data }) => {
      heard();
      const change = JSON.parse(data);
      if (LAST.includes(change.status)) return resolve();
      changed(Object.assign(job, change));
    };
    heard();
  });
  clearTimeout(silence);
  source.close();
}

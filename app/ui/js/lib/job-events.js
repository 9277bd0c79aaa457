// Waits for a job to finish: by server-sent events, otherwise by long polling.

import { getJob, getJson, jobPath, ticketPath } from "../api.js";
import { isFinished } from "./jobs.js";

/** Seconds that one long poll waits for a change. */
const POLL_SECONDS = 30;
/** Milliseconds without an event after which the event stream is given up. */
const SILENCE_TIMEOUT = 60_000;

/**
 * Call `onChange` with the job after each change; return the finished job.
 * Throws Problem or AbortError.
 * @param {string} id
 * @param {{ onChange: (job: Api.Job) => void, signal: AbortSignal }} options
 */
export async function followJob(id, { onChange, signal }) {
  let job = await getJob(id, signal);
  onChange(job);
  if (!isFinished(job) && job.links.events) await followEvents(job, { onChange, signal });
  const next = () => getJson(`${jobPath(id)}?wait=${POLL_SECONDS}`, { signal });
  while (!isFinished((job = await next()))) onChange(job);
  onChange(job);
  return job;
}

/**
 * Report the changes of a job until its last event, or until none arrive any more; polling then finds its state. The
 * browser reconnects a broken stream with the id of the last event it received; a stream that never opened, or that
 * something between browser and server holds back, is given up.
 * @param {Api.Job} job
 * @param {{ onChange: (job: Api.Job) => void, signal: AbortSignal }} options
 */
async function followEvents(job, { onChange, signal }) {
  const source = new EventSource(await ticketPath(job.links.events));
  let opened = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;
  await new Promise((resolve) => {
    const restartTimer = () => {
      clearTimeout(timer);
      timer = setTimeout(resolve, SILENCE_TIMEOUT);
    };
    signal.addEventListener("abort", resolve);
    source.onopen = () => {
      opened = true;
    };
    source.onerror = () => {
      if (!opened || source.readyState === EventSource.CLOSED) resolve(undefined);
    };
    source.onmessage = ({ data }) => {
      restartTimer();
      const change = JSON.parse(data);
      if (change.status === "deleted" || isFinished(change)) resolve(undefined);
      else onChange(Object.assign(job, change));
    };
    restartTimer();
  });
  clearTimeout(timer);
  source.close();
}

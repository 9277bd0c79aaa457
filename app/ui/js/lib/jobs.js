// Names and states of jobs.

import { FINAL_STATUSES, JOB_STATUSES } from "./tables.js";

/** @typedef {Api.Job["status"]} JobStatus */

/** @type {Record<JobStatus, string>} */
export const STATUS_LABELS = {
  queued: "Queued",
  running: "Running",
  succeeded: "Done",
  failed: "Failed",
  cancelled: "Cancelled",
};

/** @type {Record<NonNullable<Api.Job["stage"]>, string>} */
export const STAGE_LABELS = {
  fetch: "Downloading",
  probe: "Checking the file",
  decode: "Decoding",
  segment: "Detecting speech",
  faces: "Analysing faces",
  audio: "Analysing voice",
  transcribe: "Transcribing",
  text: "Analysing words",
  fuse: "Combining results",
  write: "Saving results",
};

/** Values and names of all states, for a filter. */
export const STATUS_CHOICES = JOB_STATUSES.map(
  (status) => /** @type {[string, string]} */ ([status, STATUS_LABELS[status]]),
);

/** @param {Pick<Api.Job, "status">} job */
export const isFinished = ({ status }) => /** @type {readonly string[]} */ (FINAL_STATUSES).includes(status);

/**
 * Return the name of a job's file; a link has none before it is downloaded.
 * @param {Pick<Api.Job, "media">} job
 */
export const jobName = ({ media }) => media?.name || "Link";

/**
 * Say what a job is doing that has not finished: how many wait before it, or its stage.
 * @param {Pick<Api.Job, "status" | "stage" | "position">} job
 */
export function activityText({ status, stage, position }) {
  if (status !== "queued") return stage ? `${STAGE_LABELS[stage]}…` : "Starting…";
  if (!position) return "Next in line";
  return position === 1 ? "1 analysis ahead" : `${position} analyses ahead`;
}

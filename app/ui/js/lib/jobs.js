// Names and states of jobs.

import { STRINGS } from "./strings.js";
import { FINAL_STATUSES, JOB_STATUSES } from "./tables.js";

/** @typedef {Api.Job["status"]} JobStatus */

/** @type {Record<JobStatus, string>} */
export const STATUS_LABELS = {
  queued: STRINGS.jobs.queued,
  running: STRINGS.jobs.running,
  succeeded: STRINGS.jobs.done,
  failed: STRINGS.jobs.failed,
  cancelled: STRINGS.jobs.cancelled,
};

/** @type {Record<NonNullable<Api.Job["stage"]>, string>} */
export const STAGE_LABELS = {
  fetch: STRINGS.jobs.downloading,
  probe: STRINGS.jobs.checkingTheFile,
  decode: STRINGS.jobs.decoding,
  segment: STRINGS.jobs.detectingSpeech,
  faces: STRINGS.jobs.analysingFaces,
  audio: STRINGS.jobs.analysingVoice,
  transcribe: STRINGS.jobs.transcribing,
  text: STRINGS.jobs.analysingWords,
  fuse: STRINGS.jobs.combiningResults,
  write: STRINGS.jobs.savingResults,
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
export const jobName = ({ media }) => media?.name || STRINGS.jobs.link;

/**
 * Say what a job is doing that has not finished: how many wait before it, or its stage.
 * @param {Pick<Api.Job, "status" | "stage" | "position">} job
 */
export function activityText({ status, stage, position }) {
  if (status !== "queued") return stage ? `${STAGE_LABELS[stage]}…` : STRINGS.jobs.starting;
  if (!position) return STRINGS.jobs.nextInLine;
  return position === 1 ? STRINGS.jobs.oneAnalysisAhead : STRINGS.jobs.analysesAhead(position);
}

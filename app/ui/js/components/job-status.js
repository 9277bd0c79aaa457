// The state of a job as a mark with its name, and the question before a job is deleted.

import { call, jobPath } from "../api.js";
import { announce, h, icon } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { STATUS_LABELS, isFinished, jobName } from "../lib/jobs.js";
import { STRINGS } from "../lib/strings.js";

/** @type {Record<string, string>} */
const STATUS_ICONS = { succeeded: "check", failed: "warning", cancelled: "close" };

/** @param {Api.Job} job */
export function statusMark(job) {
  const { status, progress } = job;
  const mark = isFinished(job) ? icon(STATUS_ICONS[status]) : h("span", { className: "spinner", ariaHidden: "true" });
  const text = status === "running" ? formatPercent(progress) : STATUS_LABELS[status];
  return h("span", { className: `status ${status}` }, mark, text);
}

/**
 * Delete a job after a confirmation. Return whether it was deleted.
 * @param {Api.Job} job
 */
export async function confirmDelete(job) {
  const name = jobName(job);
  const question = STRINGS.jobStatus.confirmDeletion(name);
  if (!confirm(question)) return false;
  await call(jobPath(job.id), { method: "DELETE" });
  announce(STRINGS.jobStatus.deleted(name));
  return true;
}

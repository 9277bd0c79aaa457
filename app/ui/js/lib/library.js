// What a list of analyses can be searched and sorted by, and the mean of several results.

import { listOrder } from "./emotions.js";
import { jobName } from "./jobs.js";

/** @typedef {Pick<Api.Job, "media" | "tags" | "created_at"> & { summary?: Api.JobSummary | null }} ListedJob */

/**
 * Return whether the name or a tag of a job contains each word of a text, in any case.
 * @param {ListedJob} job
 * @param {string} text
 */
export function matches(job, text) {
  const searched = [jobName(job), ...job.tags].join("\n").toLowerCase();
  return text
    .toLowerCase()
    .split(/\s+/)
    .filter(Boolean)
    .every((word) => searched.includes(word));
}

/** @type {Record<string, (a: ListedJob, b: ListedJob) => number>} */
const ORDERS = {
  newest: (a, b) => b.created_at.localeCompare(a.created_at),
  name: (a, b) => jobName(a).localeCompare(jobName(b)),
  length: (a, b) => (b.summary?.duration ?? -1) - (a.summary?.duration ?? -1),
  emotion: (a, b) =>
    Number(!a.summary?.emotion) - Number(!b.summary?.emotion) ||
    (a.summary?.emotion ?? "").localeCompare(b.summary?.emotion ?? ""),
};

/**
 * Return jobs in an order: `newest`, `name`, `length` (longest first) or `emotion`.
 * @template {ListedJob} Job
 * @param {Job[]} jobs
 * @param {string} order
 */
export const sorted = (jobs, order) => [...jobs].sort(ORDERS[order] ?? ORDERS.newest);

/**
 * Return the mean of the readings of several results, each counted once, in the order of a list; null if none has one,
 * or if they have different sets of emotions.
 * @param {{ summary?: Api.JobSummary | null }[]} jobs
 * @returns {[emotion: string, share: number][] | null}
 */
export function groupMean(jobs) {
  const read = jobs.flatMap(({ summary }) => (summary?.emotion ? [summary.probabilities] : []));
  if (!read.length) return null;
  const labels = Object.keys(read[0]);
  if (read.some((probabilities) => Object.keys(probabilities).join() !== labels.join())) return null;
  return listOrder(labels).map((label) => [
    label,
    read.reduce((sum, probabilities) => sum + probabilities[label], 0) / read.length,
  ]);
}

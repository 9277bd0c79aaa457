// One job in the list: selection, name, what its result says, tags that can be changed, state.

import { call, jobPath } from "../api.js";
import { button, h } from "../lib/dom.js";
import { countOf, formatAge, formatBytes, formatTime } from "../lib/format.js";
import { jobName } from "../lib/jobs.js";
import { notifyProblem } from "../lib/notices.js";
import { parseTags } from "../lib/options.js";
import { STRINGS } from "../lib/strings.js";
import { badge } from "./emotion-badge.js";
import { statusMark } from "./job-status.js";

/**
 * Create a row.
 * @param {Api.Job} job
 * @param {{
 *   selected: boolean,
 *   onSelect: (selected: boolean) => void,
 *   onDelete: () => void,
 *   onChange: () => void,
 * }} handlers `onChange`: its tags have changed
 */
export function jobRow(job, { selected, onSelect, onDelete, onChange }) {
  const name = jobName(job);
  const selection = h("input", {
    type: "checkbox",
    checked: selected,
    ariaLabel: STRINGS.jobList.selectJob(name),
  });
  selection.addEventListener("change", () => onSelect(selection.checked));
  const link = h(
    "a",
    { className: "job-link", href: `#/job/${job.id}` },
    h("b", { textContent: name, dir: "auto" }),
    h("small", { textContent: facts(job).join(" · ") }),
  );
  /**
   * @param {string} label
   * @param {string} icon
   * @param {() => unknown} onClick
   */
  const small = (label, icon, onClick) => button(label, onClick, { icon, iconOnly: true, kind: "quiet" });
  const tag = small(STRINGS.jobList.changeTags(name), "tag", () => changeTags(job, onChange));
  const remove = small(STRINGS.jobList.deleteJob(name), "trash", onDelete);
  const { summary } = job;
  const state = summary ? badge(summary) : statusMark(job);
  return h("li", { className: `job ${job.status}` }, selection, link, state, h("span", {}, tag, remove));
}

/** @param {Api.Job} job */
function facts({ created_at: createdAt, media, summary, tags }) {
  const length = summary?.duration ? formatTime(summary.duration, 0) : null;
  const people = summary?.people ? countOf(summary.people, STRINGS.jobList.person, STRINGS.jobList.people) : null;
  const size = media ? formatBytes(media.size) : null;
  return [formatAge(createdAt), length, people, size, ...tags.map((tag) => `#${tag}`)].filter(Boolean);
}

/**
 * Ask for the tags of a job and store them.
 * @param {Api.Job} job
 * @param {() => void} onChange
 */
async function changeTags(job, onChange) {
  const text = prompt(STRINGS.jobList.tagsOf(jobName(job)), job.tags.join(", "));
  if (text === null) return;
  try {
    await call(jobPath(job.id), {
      method: "PATCH",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ tags: parseTags(text) }),
    });
    onChange();
  } catch (error) {
    notifyProblem(error);
  }
}

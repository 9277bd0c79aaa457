// What can be done with the selected jobs: their mean, comparison, one download of all, deletion.

import { call, jobPath } from "../api.js";
import { button, h, select } from "../lib/dom.js";
import { labelOf } from "../lib/emotions.js";
import { exportChoices, fileNameIn } from "../lib/export-formats.js";
import { countOf, formatPercent } from "../lib/format.js";
import { groupMean } from "../lib/library.js";
import { saveFile } from "../lib/local-files.js";
import { notify, notifyProblem } from "../lib/notices.js";
import { STRINGS } from "../lib/strings.js";
import { swatch } from "./emotion-badge.js";

/** Emotions of the mean that are named. */
const MEAN_COUNT = 3;

export class JobSelection {
  /** @type {Map<string, Api.Job>} By id. */
  #jobs = new Map();

  /** @param {{ onSelectAll: () => void, onChange: () => void, onDeleted: () => void }} handlers */
  constructor({ onSelectAll, onChange, onDeleted }) {
    this.onChange = onChange;
    this.onDeleted = onDeleted;
    this.count = h("span", { className: "muted" });
    this.mean = h("span", { className: "group-mean" });
    this.compare = h("a", { className: "button", textContent: STRINGS.jobList.compare });
    this.format = select(
      exportChoices().map(({ name, query }) => [query, name]),
      { ariaLabel: STRINGS.jobList.format },
    );
    this.selected = h(
      "span",
      { className: "tools" },
      this.compare,
      this.format,
      button(STRINGS.jobList.download, () => this.#download(), { icon: "download" }),
      button(STRINGS.jobList.deleteSelected, () => this.#delete(), { icon: "trash", kind: "quiet" }),
      button(STRINGS.jobList.clear, () => this.clear(), { kind: "quiet" }),
    );
    const all = button(STRINGS.jobList.selectAll, onSelectAll, { kind: "quiet" });
    this.element = h("div", { className: "job-selection" }, all, this.count, this.mean, this.selected);
    this.#update();
  }

  /** @param {string} id */
  has(id) {
    return this.#jobs.has(id);
  }

  /**
   * @param {Api.Job[]} jobs
   * @param {boolean} selected
   */
  set(jobs, selected) {
    for (const job of jobs) {
      if (selected) this.#jobs.set(job.id, job);
      else this.#jobs.delete(job.id);
    }
    this.#update();
  }

  clear() {
    this.#jobs.clear();
    this.#update();
    this.onChange();
  }

  get #withResult() {
    return [...this.#jobs.values()].filter(({ status }) => status === "succeeded");
  }

  #update() {
    const { size } = this.#jobs;
    const done = this.#withResult;
    this.selected.hidden = !size;
    this.count.textContent = size ? STRINGS.jobList.selected(size) : STRINGS.jobList.selectToCompare;
    this.compare.hidden = done.length < 2;
    this.compare.href = `#/compare/${done.map(({ id }) => id).join("/")}`;
    const mean = done.length > 1 ? groupMean(done) : null;
    const top = [...(mean ?? [])].sort(([, a], [, b]) => b - a).slice(0, MEAN_COUNT);
    this.mean.replaceChildren(
      ...(top.length ? [`${STRINGS.jobList.mean}: `] : []),
      ...top.map(([label, share]) => h("span", {}, swatch(label), ` ${labelOf(label)} ${formatPercent(share)}`)),
    );
  }

  async #download() {
    const query = new URLSearchParams(this.format.value);
    for (const { id } of this.#withResult) query.append("job", id);
    try {
      const response = await call(`/v1/exports?${query}`);
      saveFile(await response.blob(), fileNameIn(response.headers.get("Content-Disposition") ?? ""));
    } catch (error) {
      notifyProblem(error);
    }
  }

  async #delete() {
    const jobs = [...this.#jobs.values()];
    const count = countOf(jobs.length, STRINGS.jobList.analysis, STRINGS.jobList.analyses);
    if (!confirm(STRINGS.jobList.confirmDeletion(count))) return;
    try {
      for (const job of jobs) {
        await call(jobPath(job.id), { method: "DELETE" });
        this.#jobs.delete(job.id);
      }
      notify(STRINGS.jobList.deleted(count));
    } catch (error) {
      notifyProblem(error);
    }
    this.#update();
    this.onDeleted();
  }
}

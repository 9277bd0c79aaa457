// The recent jobs of the caller, with filters and the selection of two to compare.

import { getJson } from "../api.js";
import { button, h, select } from "../lib/dom.js";
import { formatAge, formatBytes } from "../lib/format.js";
import { STATUS_CHOICES, jobName } from "../lib/jobs.js";
import { isAbort } from "../lib/problem.js";
import { STRINGS } from "../lib/strings.js";
import { problemAlert } from "./alerts.js";
import { confirmDelete, statusMark } from "./job-status.js";

const PAGE_SIZE = 12;
/** Milliseconds between two updates of the list while a job in it is unfinished. */
const REFRESH_INTERVAL = 3000;

export class JobList {
  /** @type {Set<string>} Ids of the selected jobs. */
  #selected = new Set();
  /** @type {string | null} */
  #cursor = null;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    this.status = select([["", STRINGS.jobList.allStatuses], ...STATUS_CHOICES], { ariaLabel: STRINGS.jobList.status });
    this.tag = h("input", {
      type: "search",
      placeholder: STRINGS.jobList.filterByTag,
      ariaLabel: STRINGS.jobList.filterByTag,
    });
    for (const filter of [this.status, this.tag]) filter.addEventListener("change", () => this.refresh());
    this.list = h("ul", { className: "jobs" });
    this.more = button(STRINGS.jobList.showMore, () => this.#showMore(), { kind: "quiet", hidden: true });
    this.compare = h("a", { className: "button", hidden: true, textContent: STRINGS.jobList.compare });
    const tools = h("div", { className: "tools" }, this.compare, this.status, this.tag);
    this.element = h(
      "section",
      { className: "card" },
      h("header", { className: "card-head" }, h("h2", { textContent: STRINGS.jobList.recentAnalyses }), tools),
      this.list,
      this.more,
    );
    addEventListener("keychange", () => this.refresh(), { signal });
    const timer = setInterval(() => {
      if (this.#hasUnfinished() && !document.hidden) this.refresh();
    }, REFRESH_INTERVAL);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  #hasUnfinished() {
    return this.list.querySelector(".queued, .running") !== null;
  }

  async refresh() {
    try {
      const page = await this.#fetchPage(null);
      this.list.replaceChildren();
      this.#append(page);
      if (!page.jobs.length) this.list.append(this.#emptyRow());
    } catch (error) {
      if (isAbort(error)) return;
      this.list.replaceChildren(
        h(
          "li",
          {},
          problemAlert(error, () => this.refresh()),
        ),
      );
    }
  }

  #emptyRow() {
    const filtered = this.status.value || this.tag.value;
    const textContent = filtered ? STRINGS.jobList.noAnalysesMatch : STRINGS.jobList.nothingHereYetFilesYou;
    return h("li", { className: "muted", textContent });
  }

  async #showMore() {
    this.#append(await this.#fetchPage(this.#cursor));
  }

  /**
   * @param {string | null} cursor
   * @returns {Promise<Api.JobList>}
   */
  #fetchPage(cursor) {
    const query = new URLSearchParams({ limit: String(PAGE_SIZE) });
    const filters = { status: this.status.value, tag: this.tag.value.trim(), cursor };
    for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
    return getJson(`/v1/jobs?${query}`, { signal: this.signal });
  }

  /** @param {Api.JobList} page */
  #append(page) {
    this.list.append(...page.jobs.map((job) => this.#row(job)));
    this.#cursor = page.next_cursor;
    this.more.hidden = this.#cursor === null;
    this.#updateCompare();
  }

  /** @param {Api.Job} job */
  #row(job) {
    const name = jobName(job);
    const selection = h("input", {
      type: "checkbox",
      checked: this.#selected.has(job.id),
      disabled: job.status !== "succeeded",
      ariaLabel: STRINGS.jobList.compareJob(name),
      title: STRINGS.jobList.selectTwoToCompare,
    });
    selection.addEventListener("change", () => {
      if (selection.checked) this.#selected.add(job.id);
      else this.#selected.delete(job.id);
      this.#updateCompare();
    });
    const facts = [
      formatAge(job.created_at),
      job.media ? formatBytes(job.media.size) : null,
      ...job.tags.map((tag) => `#${tag}`),
    ];
    const link = h(
      "a",
      { className: "job-link", href: `#/job/${job.id}` },
      h("b", { textContent: name, dir: "auto" }),
      h("small", { textContent: facts.filter(Boolean).join(" · ") }),
    );
    const remove = button(STRINGS.jobList.deleteJob(name), () => this.#delete(job), {
      icon: "trash",
      iconOnly: true,
      kind: "quiet",
    });
    return h("li", { className: `job ${job.status}` }, selection, link, statusMark(job), remove);
  }

  #updateCompare() {
    const { size } = this.#selected;
    this.compare.hidden = !size;
    this.compare.textContent = size === 2 ? STRINGS.jobList.compare : STRINGS.jobList.selectTwoToCompare;
    if (size !== 2) this.compare.removeAttribute("href");
    else this.compare.href = `#/compare/${[...this.#selected].join("/")}`;
  }

  /** @param {Api.Job} job */
  async #delete(job) {
    if (!(await confirmDelete(job))) return;
    this.#selected.delete(job.id);
    await this.refresh();
  }
}

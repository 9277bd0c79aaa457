// The library: the caller's jobs, newest first, with search, order, filters and a selection.

import { getJson } from "../api.js";
import { button, h, select } from "../lib/dom.js";
import { STATUS_CHOICES, isFinished } from "../lib/jobs.js";
import { matches, sorted } from "../lib/library.js";
import { isAbort } from "../lib/problem.js";
import { STRINGS } from "../lib/strings.js";
import { loadSetting, saveSetting } from "../settings.js";
import { problemAlert } from "./alerts.js";
import { jobRow } from "./job-row.js";
import { JobSelection } from "./job-selection.js";
import { confirmDelete } from "./job-status.js";

const PAGE_SIZE = 12;
/** Jobs of a page, and pages at most, that a search or another order looks through. */
const SEARCH_PAGE_SIZE = 100;
const MAX_SEARCH_PAGES = 10;
/** Milliseconds between two updates of the list while a job in it is unfinished. */
const REFRESH_INTERVAL = 3000;
/** Milliseconds after the last letter until a search begins. */
const SEARCH_DELAY = 250;

export class JobList {
  /** @type {Api.Job[]} */
  #jobs = [];
  /** @type {string | null} */
  #cursor = null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #searchTimer;
  /** Counts refreshes: an answer that another one has overtaken is not shown. */
  #generation = 0;

  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.signal = signal;
    const { search: text, status, order } = loadSetting("library", { search: "", status: "", order: "newest" });
    this.status = select([["", STRINGS.jobList.allStatuses], ...STATUS_CHOICES], {
      value: status,
      ariaLabel: STRINGS.jobList.status,
    });
    this.order = select(STRINGS.jobList.orders, { value: order, ariaLabel: STRINGS.jobList.order });
    this.search = h("input", {
      type: "search",
      value: text,
      placeholder: STRINGS.jobList.search,
      ariaLabel: STRINGS.jobList.search,
    });
    for (const filter of [this.status, this.order]) filter.addEventListener("change", () => this.#onFilter());
    this.search.addEventListener("input", () => {
      clearTimeout(this.#searchTimer);
      this.#searchTimer = setTimeout(() => this.#onFilter(), SEARCH_DELAY);
    });
    this.selection = new JobSelection({
      onSelectAll: () => {
        this.selection.set(this.#jobs.filter(isFinished), true);
        this.#show();
      },
      onChange: () => this.#show(),
      onDeleted: () => this.refresh(),
    });
    this.list = h("ul", { className: "jobs" });
    this.more = button(STRINGS.jobList.showMore, () => this.#showMore(), { kind: "quiet", hidden: true });
    const tools = h("div", { className: "tools" }, this.search, this.status, this.order);
    this.element = h(
      "section",
      { className: "card" },
      h("header", { className: "card-head" }, h("h2", { textContent: STRINGS.jobList.recentAnalyses }), tools),
      this.selection.element,
      this.list,
      this.more,
    );
    addEventListener("keychange", () => this.refresh(), { signal });
    addEventListener("online", () => this.refresh(), { signal });
    const timer = setInterval(() => {
      if (!this.#jobs.every(isFinished) && !document.hidden) this.refresh();
    }, REFRESH_INTERVAL);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  #onFilter() {
    saveSetting("library", { search: this.search.value, status: this.status.value, order: this.order.value });
    this.refresh();
  }

  /** Whether all jobs are looked through, as their order or a search asks for. */
  get #needsAll() {
    return this.search.value.trim() !== "" || this.order.value !== "newest";
  }

  async refresh() {
    const generation = ++this.#generation;
    try {
      const jobs = await this.#fetchAll();
      if (generation !== this.#generation) return;
      this.#jobs = jobs;
      this.#show();
    } catch (error) {
      if (isAbort(error)) return;
      this.#jobs = [];
      this.list.replaceChildren(
        h(
          "li",
          {},
          problemAlert(error, () => this.refresh()),
        ),
      );
    }
  }

  async #fetchAll() {
    const size = this.#needsAll ? SEARCH_PAGE_SIZE : PAGE_SIZE;
    const jobs = [];
    this.#cursor = null;
    for (let page = 0; page < (this.#needsAll ? MAX_SEARCH_PAGES : 1); page++) {
      const found = await this.#fetchPage(this.#cursor, size);
      jobs.push(...found.jobs);
      this.#cursor = found.next_cursor;
      if (this.#cursor === null) break;
    }
    return jobs;
  }

  async #showMore() {
    const page = await this.#fetchPage(this.#cursor, this.#needsAll ? SEARCH_PAGE_SIZE : PAGE_SIZE);
    this.#jobs.push(...page.jobs);
    this.#cursor = page.next_cursor;
    this.#show();
  }

  /**
   * @param {string | null} cursor
   * @param {number} size
   * @returns {Promise<Api.JobList>}
   */
  #fetchPage(cursor, size) {
    const query = new URLSearchParams({ limit: String(size) });
    const filters = { status: this.status.value, cursor };
    for (const [name, value] of Object.entries(filters)) if (value) query.set(name, value);
    return getJson(`/v1/jobs?${query}`, { signal: this.signal });
  }

  #show() {
    const shown = sorted(
      this.#jobs.filter((job) => matches(job, this.search.value)),
      this.order.value,
    );
    this.list.replaceChildren(...shown.map((job) => this.#row(job)));
    if (!shown.length) this.list.append(this.#emptyRow());
    this.more.hidden = this.#cursor === null;
  }

  #emptyRow() {
    const filtered = this.status.value || this.search.value;
    const textContent = filtered ? STRINGS.jobList.noAnalysesMatch : STRINGS.jobList.nothingHereYetFilesYou;
    return h("li", { className: "muted", textContent });
  }

  /** @param {Api.Job} job */
  #row(job) {
    return jobRow(job, {
      selected: this.selection.has(job.id),
      onSelect: (selected) => this.selection.set([job], selected),
      onDelete: () => this.#delete(job),
      onChange: () => this.refresh(),
    });
  }

  /** @param {Api.Job} job */
  async #delete(job) {
    if (!(await confirmDelete(job))) return;
    this.selection.set([job], false);
    await this.refresh();
  }
}

// The caller's recent jobs.

import { call, jobPath, read } from "./api.js";
import { announce, button, icon, make } from "./dom.js";
import { ago, bytes, capital, percent } from "./format.js";
import { problemNotice } from "./notice.js";
import { ENDED } from "./watch.js";

const STATUSES = ["queued", "running", "succeeded", "failed", "cancelled"];
const PAGE = 12;
const REFRESH = 3000; // milliseconds, while something is under way

export class JobList {
  #chosen = new Set();
  #cursor = null;

  constructor({ signal }) {
    this.signal = signal;
    this.status = make("select", { ariaLabel: "Status" }, make("option", { value: "", textContent: "Any status" }), STATUSES.map((value) => make("option", { value, textContent: value })));
    this.tag = make("input", { type: "search", placeholder: "Tag", ariaLabel: "Tag" });
    for (const control of [this.status, this.tag]) control.addEventListener("change", () => this.refresh());
    this.list = make("ul", { className: "jobs" });
    this.more = button("Older", () => this.#older(), { kind: "quiet", hidden: true });
    this.compare = make("a", { className: "button", hidden: true, textContent: "Compare the two" });
    const tools = make("div", { className: "tools" }, this.compare, this.status, this.tag);
    this.element = make("section", { className: "card" }, make("header", { className: "card-head" }, make("h2", { textContent: "Recent" }), tools), this.list, this.more);
    addEventListener("keychange", () => this.refresh(), { signal });
    const timer = setInterval(() => this.#busy && !document.hidden && this.refresh(), REFRESH);
    signal.addEventListener("abort", () => clearInterval(timer));
  }

  get #busy() {
    return this.list.querySelector(".queued, .running") !== null;
  }

  async refresh() {
    try {
      const page = await this.#page(null);
      this.list.replaceChildren(...page.jobs.map((job) => this.#row(job)));
      if (!page.jobs.length) this.list.append(make("li", { className: "soft", textContent: this.status.value || this.tag.value ? "None of that kind." : "Nothing yet: what you send appears here." }));
      this.#after(page);
    } catch (error) {
      if (error.name !== "AbortError") this.list.replaceChildren(make("li", {}, problemNotice(error, () => this.refresh())));
    }
  }

  async #older() {
    const page = await this.#page(this.#cursor);
    this.list.append(...page.jobs.map((job) => this.#row(job)));
    this.#after(page);
  }

  #page(cursor) {
    const query = new URLSearchParams({ limit: PAGE });
    for (const [name, value] of Object.entries({ status: this.status.value, tag: this.tag.value.trim(), cursor })) if (value) query.set(name, value);
    return read(`/v1/jobs?${query}`, { signal: this.signal });
  }

  #after(page) {
    this.#cursor = page.next_cursor;
    this.more.hidden = this.#cursor === null;
    this.#offerCompare();
  }

  #row(job) {
    const name = nameOf(job);
    const choose = make("input", { type: "checkbox", checked: this.#chosen.has(job.id), disabled: job.status !== "succeeded", ariaLabel: `Compare ${name}`, title: "Choose two to compare" });
    choose.addEventListener("change", () => {
      if (choose.checked) this.#chosen.add(job.id);
      else this.#chosen.delete(job.id);
      this.#offerCompare();
    });
    const about = [ago(job.created_at), job.media ? bytes(job.media.size) : null, ...job.tags.map((tag) => `#${tag}`)].filter(Boolean).join(" · ");
    const link = make("a", { className: "job-link", href: `#/job/${job.id}` }, make("b", { textContent: name }), make("small", { textContent: about }));
    const away = button(`Erase ${name}`, () => this.#erase(job, name), { icon: "trash", bare: true, kind: "quiet" });
    return make("li", { className: `job ${job.status}` }, choose, link, chip(job), away);
  }

  #offerCompare() {
    const chosen = [...this.#chosen];
    this.compare.hidden = chosen.length !== 2;
    this.compare.href = `#/compare/${chosen.join("/")}`;
  }

  async #erase(job, name) {
    if (!(await erase(job, name))) return;
    this.#chosen.delete(job.id);
    await this.refresh();
  }
}

/** Erases a job if the person means it. */
export async function erase(job, name) {
  if (!confirm(`Erase ${name}, its result and all that was kept of it?`)) return false;
  await call(jobPath(job.id), { method: "DELETE" });
  announce(`${name} is erased`);
  return true;
}

/** What a job is called: its media, or that they are still fetched. */
export const nameOf = (job) => job.media?.name || "Link";

/** The state of a job, as a mark with words. */
export function chip(job) {
  const ended = ENDED.includes(job.status);
  const words = ended ? capital(job.status) : job.status === "running" ? percent(job.progress) : "Queued";
  const pictures = { succeeded: "check", failed: "warning", cancelled: "close" };
  return make("span", { className: `chip ${job.status}` }, ended ? icon(pictures[job.status]) : make("span", { className: "spinner", ariaHidden: "true" }), words);
}

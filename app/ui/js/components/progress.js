// The progress of an unfinished job, with a button to cancel it.

import { call } from "../api.js";
import { announce, button, h } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { activityText } from "../lib/jobs.js";

export class Progress {
  #announced = "";

  /** @param {Api.Job} job */
  constructor(job) {
    this.job = job;
    this.bar = h("progress", { max: 1, value: 0, ariaLabel: "Analysis progress" });
    this.text = h("p", { className: "progress-text" });
    this.cancel = button("Cancel", () => this.#cancel(), { icon: "close" });
    const hint = h("p", {
      className: "muted",
      textContent: "You can leave this page. The analysis continues, and you’ll find it under Recent analyses.",
    });
    this.element = h("section", { className: "card progress" }, this.text, this.bar, hint, this.cancel);
  }

  /** @param {Api.Job} job */
  show(job) {
    this.bar.value = job.progress;
    const percent = formatPercent(job.progress);
    const activity = activityText(job);
    this.text.replaceChildren(h("strong", { textContent: percent }), ` ${activity}`);
    if (activity === this.#announced) return;
    this.#announced = activity;
    announce(`${percent}: ${activity}`);
  }

  async #cancel() {
    this.cancel.disabled = true;
    this.text.textContent = "Cancelling…";
    await call(this.job.links.cancel, { method: "POST" });
  }
}

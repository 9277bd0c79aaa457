// The progress of an unfinished job, with a button to cancel it.

import { call } from "../api.js";
import { announce, button, h } from "../lib/dom.js";
import { formatPercent } from "../lib/format.js";
import { activityText } from "../lib/jobs.js";
import { STRINGS } from "../lib/strings.js";

export class Progress {
  #announced = "";

  /** @param {Api.Job} job */
  constructor(job) {
    this.job = job;
    this.bar = h("progress", { max: 1, value: 0, ariaLabel: STRINGS.progress.analysisProgress });
    this.text = h("p", { className: "progress-text" });
    this.cancel = button(STRINGS.progress.cancel, () => this.#cancel(), { icon: "close" });
    const hint = h("p", {
      className: "muted",
      textContent: STRINGS.progress.youCanLeaveThisPage,
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
    this.text.textContent = STRINGS.progress.cancelling;
    await call(this.job.links.cancel, { method: "POST" });
  }
}

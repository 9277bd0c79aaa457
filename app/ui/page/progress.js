// A job under way: how far it is, at what, and a way to stop it.

import { call } from "./api.js";
import { announce, button, make } from "./dom.js";
import { percent, plural } from "./format.js";

const STAGES = {
  fetch: "fetching the link",
  probe: "looking at the file",
  decode: "decoding",
  segment: "finding speech",
  faces: "reading faces",
  audio: "reading the voice",
  transcribe: "writing down what is said",
  text: "reading the words",
  fuse: "putting it together",
  write: "writing the result",
};

export class Progress {
  #told = "";

  constructor(job) {
    this.job = job;
    this.bar = make("progress", { max: 1, value: 0, ariaLabel: "Analysis" });
    this.what = make("p", { className: "progress-what" });
    this.cancel = button("Cancel", () => this.#cancel(), { icon: "close" });
    const hint = make("p", { className: "soft", textContent: "The job goes on when you leave this page; it stands in the list." });
    this.element = make("section", { className: "card progress" }, this.what, this.bar, hint, this.cancel);
  }

  show(job) {
    this.bar.value = job.progress;
    const waits = job.position ? `waits: ${plural(job.position, "job")} before it` : "waits: it is next";
    const words = job.status === "queued" ? waits : (STAGES[job.stage] ?? "begins");
    this.what.replaceChildren(make("strong", { textContent: percent(job.progress) }), ` ${words}`);
    if (words === this.#told) return;
    this.#told = words;
    announce(`${percent(job.progress)}: ${words}`);
  }

  async #cancel() {
    this.cancel.disabled = true;
    this.what.textContent = "stops …";
    await call(this.job.links.cancel, { method: "POST" });
  }
}

// Media in: dropped, chosen, pasted, or a link.

import { Problem, newId, post } from "./api.js";
import { announce, button, icon, make } from "./dom.js";
import { keepFile } from "./files.js";
import { bytes, percent, plural } from "./format.js";
import { problemNotice } from "./notice.js";

const ACCEPTED = "image/*,audio/*,video/*,.mkv,.flac,.opus";

export class Intake {
  #queue = Promise.resolve();

  /** `accepted(job, alone)` is called for each job; `alone` when nothing else was sent with it. */
  constructor({ options, accepted, signal }) {
    Object.assign(this, { options, accepted, signal });
    this.chooser = make("input", { type: "file", multiple: true, accept: ACCEPTED, id: "chooser", className: "hidden", on: { change: () => this.#chosen() } });
    this.uploads = make("ul", { className: "uploads", ariaLabel: "Uploads" });
    this.element = make("div", { className: "intake" }, this.#dropZone(), this.#link(), options.panel, this.uploads);
    this.#listen();
  }

  #dropZone() {
    const label = make("label", { className: "drop", htmlFor: "chooser" }, icon("upload"), make("strong", { textContent: "Drop media here, or choose files" }), make("span", { textContent: "Photos, recordings and videos. They stay on this service’s own host." }));
    return make("div", { className: "drop-zone" }, this.chooser, label);
  }

  #link() {
    this.url = make("input", { type: "url", placeholder: "https://…", ariaLabel: "Link to media", required: true });
    const form = make("form", { className: "link" }, icon("link"), this.url, make("button", { type: "submit", className: "button", textContent: "Read the link" }));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send([{ name: this.url.value, field: "url", value: this.url.value }]);
      this.url.value = "";
    });
    return form;
  }

  #listen() {
    const over = (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      document.body.classList.toggle("dragging", event.type === "dragover");
    };
    const { signal } = this;
    for (const name of ["dragover", "dragleave"]) addEventListener(name, over, { signal });
    addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dragging");
      this.#take(event.dataTransfer.files);
    }, { signal });
    addEventListener("paste", (event) => this.#take(event.clipboardData.files), { signal });
  }

  #chosen() {
    this.#take(this.chooser.files);
    this.chooser.value = "";
  }

  #take(files) {
    this.#send([...files].map((file) => ({ name: file.name, size: file.size, file, field: "file", value: file })));
  }

  #send(sources) {
    for (const source of sources) {
      const upload = new Upload(source, this.#form(source, sources.length === 1), (job) => {
        if (source.file) keepFile(job.id, source.file);
        this.accepted(job, sources.length === 1);
      });
      this.uploads.append(upload.element);
      this.#queue = this.#queue.then(() => upload.run());
    }
    if (sources.length > 1) announce(`${plural(sources.length, "file")} are sent`);
  }

  #form(source, alone) {
    const form = this.options.form({ alone });
    form.append(source.field, source.value);
    return form;
  }
}

/** One file on its way: a row with its progress. It may be stopped, and sent again under the same id. */
class Upload {
  #stop = new AbortController();
  #id = newId();

  constructor(source, form, accepted) {
    Object.assign(this, { source, form, accepted });
    this.bar = make("progress", { max: 1, value: 0, ariaLabel: `Upload of ${source.name}` });
    this.state = make("span", { className: "soft", textContent: "waits" });
    this.cancel = button("Stop the upload", () => this.#stop.abort(), { icon: "close", bare: true, kind: "quiet" });
    this.trouble = make("div");
    const name = make("span", { className: "upload-name", textContent: source.size === undefined ? source.name : `${source.name} · ${bytes(source.size)}` });
    this.element = make("li", { className: "upload" }, name, this.state, this.bar, this.cancel, this.trouble);
  }

  async run() {
    if (this.#stop.signal.aborted) return this.element.remove();
    this.trouble.replaceChildren();
    try {
      const job = await post(this.form, { requestId: this.#id, signal: this.#stop.signal, onProgress: (share) => this.#show(share) });
      this.element.remove();
      this.accepted(job);
    } catch (error) {
      if (error.name === "AbortError") return this.element.remove();
      this.#failed(error);
    }
  }

  #show(share) {
    this.bar.value = share;
    this.state.textContent = share < 1 ? percent(share) : "arrived, is checked";
  }

  #failed(error) {
    this.state.textContent = "was not accepted";
    this.bar.hidden = true;
    const again = Problem.of(error).code === "unreachable" ? () => this.run() : null;
    this.trouble.replaceChildren(problemNotice(error, again));
    this.cancel.replaceWith(button("Take away", () => this.element.remove(), { icon: "close", bare: true, kind: "quiet" }));
  }
}

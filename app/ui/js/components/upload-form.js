// Upload of media: files that are dropped, browsed for or pasted, or a link.

import { announce, h, icon } from "../lib/dom.js";
import { countOf } from "../lib/format.js";
import { takeDropped, whileUploading } from "../lib/dropped-files.js";
import { rememberFile } from "../lib/local-files.js";
import { notify } from "../lib/notices.js";
import { STRINGS } from "../lib/strings.js";
import { Upload } from "./upload.js";

const ACCEPTED_TYPES =
  "image/*,audio/*,video/*,.heic,.heif,.avif,.tif,.tiff,.mkv,.flac,.opus,.caf,.amr,.aif,.ts,.mts,.m2ts,.mpg,.vob,.wma,.wmv,.flv";

/** @typedef {import("./upload.js").Source} Source */
/** @typedef {(job: Api.Job, single: boolean) => void} OnAccepted `single`: nothing else was sent with it */

export class UploadForm {
  /** Uploads run one after the other. @type {Promise<void>} */
  #queue = Promise.resolve();

  /**
   * @param {{
   *   options: import("./options-panel.js").OptionsPanel,
   *   onAccepted: OnAccepted,
   *   signal: AbortSignal,
   * }} settings
   */
  constructor({ options, onAccepted, signal }) {
    this.signal = signal;
    this.options = options;
    this.onAccepted = onAccepted;
    this.uploads = h("ul", { className: "uploads", ariaLabel: STRINGS.uploadForm.uploads });
    this.element = h(
      "div",
      { className: "upload-form" },
      this.#dropArea(),
      this.#linkForm(),
      options.panel,
      this.uploads,
    );
    this.#listen(signal);
    this.#sendFiles(takeDropped());
  }

  #dropArea() {
    const input = h("input", {
      type: "file",
      multiple: true,
      accept: ACCEPTED_TYPES,
      id: "file-input",
      className: "visually-hidden",
    });
    input.addEventListener("change", () => {
      this.#sendFiles(input.files);
      input.value = "";
    });
    const label = h(
      "label",
      { className: "drop-area", htmlFor: input.id },
      icon("upload"),
      h("strong", { textContent: STRINGS.uploadForm.dropFilesHereOrBrowse }),
      h("span", { textContent: STRINGS.uploadForm.photosAudioAndVideoYour }),
    );
    return h("div", { className: "drop-box" }, input, label);
  }

  #linkForm() {
    const url = h("input", {
      type: "url",
      placeholder: "https://…",
      ariaLabel: STRINGS.uploadForm.linkToAPhotoAudio,
      required: true,
    });
    const submit = h("button", {
      type: "submit",
      className: "button",
      textContent: STRINGS.uploadForm.analyseLink,
    });
    const form = h("form", { className: "link-form" }, icon("link"), url, submit);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send([{ name: url.value, field: "url", value: url.value }]);
      url.value = "";
    });
    return form;
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    /** @param {DragEvent} event */
    const onDrag = (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      document.body.classList.toggle("dragging", event.type === "dragover");
    };
    addEventListener("dragover", onDrag, { signal });
    addEventListener("dragleave", onDrag, { signal });
    addEventListener(
      "drop",
      (event) => {
        event.preventDefault();
        document.body.classList.remove("dragging");
        this.#sendFiles(event.dataTransfer?.files);
      },
      { signal },
    );
    addEventListener("paste", (event) => this.#sendFiles(event.clipboardData?.files), { signal });
  }

  /** @param {Iterable<File> | null | undefined} files */
  #sendFiles(files) {
    this.#send([...(files ?? [])].map((file) => ({ name: file.name, field: "file", value: file })));
  }

  /** @param {Source[]} sources */
  #send(sources) {
    const single = sources.length === 1;
    for (const source of sources) {
      const form = this.options.form({ single });
      form.append(source.field, source.value);
      const upload = new Upload(source, form, (job) => {
        if (source.value instanceof File) rememberFile(job.id, source.value);
        if (this.signal.aborted) notify(STRINGS.uploadForm.uploaded(source.name));
        else this.onAccepted(job, single);
      });
      this.uploads.append(upload.element);
      this.#queue = this.#queue.then(() => whileUploading(() => upload.run()));
    }
    if (sources.length > 1) announce(STRINGS.uploadForm.uploading(countOf(sources.length, STRINGS.uploadForm.file)));
  }
}

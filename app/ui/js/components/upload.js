// One file that is being uploaded: a row with its progress.

import { newRequestId, submitJob } from "../api.js";
import { button, h } from "../lib/dom.js";
import { formatBytes, formatPercent } from "../lib/format.js";
import { Problem, isAbort } from "../lib/problem.js";
import { STRINGS } from "../lib/strings.js";
import { problemAlert } from "./alerts.js";

/** @typedef {{ name: string, field: "file" | "url", value: File | string }} Source `field`: of the form */

/** An upload can be cancelled; after a network failure it can be sent again with the same request id. */
export class Upload {
  #abort = new AbortController();
  #requestId = newRequestId();

  /**
   * @param {Source} source
   * @param {FormData} form
   * @param {(job: Api.Job) => void} onAccepted
   */
  constructor(source, form, onAccepted) {
    this.form = form;
    this.onAccepted = onAccepted;
    const { name, value } = source;
    this.bar = h("progress", { max: 1, value: 0, ariaLabel: STRINGS.upload.uploading(name) });
    this.state = h("span", { className: "muted", textContent: STRINGS.upload.waiting });
    this.cancel = iconButton(STRINGS.upload.cancelUpload, () => this.#abort.abort());
    this.alerts = h("div");
    const title = value instanceof File ? `${name} · ${formatBytes(value.size)}` : name;
    this.element = h(
      "li",
      { className: "upload" },
      h("span", { className: "upload-name", textContent: title, dir: "auto" }),
      this.state,
      this.bar,
      this.cancel,
      this.alerts,
    );
  }

  async run() {
    if (this.#abort.signal.aborted) return this.element.remove();
    this.alerts.replaceChildren();
    try {
      const job = await submitJob(this.form, {
        requestId: this.#requestId,
        signal: this.#abort.signal,
        onProgress: (share) => this.#showProgress(share),
      });
      this.element.remove();
      this.onAccepted(job);
    } catch (error) {
      if (isAbort(error)) this.element.remove();
      else this.#showError(error);
    }
  }

  /** @param {number} share */
  #showProgress(share) {
    this.bar.value = share;
    this.state.textContent = share < 1 ? formatPercent(share) : STRINGS.upload.checking;
  }

  /** @param {unknown} error */
  #showError(error) {
    this.state.textContent = STRINGS.upload.notAccepted;
    this.bar.hidden = true;
    const canRetry = Problem.fromError(error).code === "unreachable";
    this.alerts.replaceChildren(problemAlert(error, canRetry ? () => this.run() : null));
    this.cancel.replaceWith(iconButton(STRINGS.upload.dismiss, () => this.element.remove()));
  }
}

/**
 * @param {string} label
 * @param {() => void} onClick
 */
const iconButton = (label, onClick) => button(label, onClick, { icon: "close", iconOnly: true, kind: "quiet" });

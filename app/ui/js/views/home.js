// The start: upload of media and the recent analyses.

import { JobList } from "../components/job-list.js";
import { OptionsPanel } from "../components/options-panel.js";
import { UploadForm } from "../components/upload-form.js";
import { h } from "../lib/dom.js";
import { STRINGS } from "../lib/strings.js";

/** @typedef {(
 *   root: HTMLElement, parameters: string[], signal: AbortSignal, query: URLSearchParams,
 * ) => void | Promise<void>} View
 * Fill `root`, until the signal aborts; `parameters` are the parts of the URL after the name of the view. */

/** @type {View} */
export function homeView(root, _parameters, signal) {
  document.title = "Affect";
  const jobs = new JobList(signal);
  /** @type {import("../components/upload-form.js").OnAccepted} */
  const onAccepted = (job, single) => {
    if (single) location.hash = `#/job/${job.id}`;
    else jobs.refresh();
  };
  const upload = new UploadForm({ options: new OptionsPanel(), onAccepted, signal });
  const hero = h(
    "section",
    { className: "hero" },
    h("h1", { tabIndex: -1, textContent: STRINGS.home.seeEmotionInFacesVoices }),
    h("p", {
      className: "lead",
      textContent: STRINGS.home.introduction,
    }),
    upload.element,
    h("a", { className: "sample-link", href: "#/sample", textContent: STRINGS.sample.seeAnExample }),
  );
  root.append(h("div", { className: "home" }, hero, jobs.element));
  jobs.refresh();
}

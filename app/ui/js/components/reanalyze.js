// A stored file, analysed again with different settings, without another upload.

import { newRequestId, submitJob } from "../api.js";
import { button, h } from "../lib/dom.js";
import { localFile, rememberFile } from "../lib/local-files.js";
import { STRINGS } from "../lib/strings.js";
import { problemAlert } from "./alerts.js";
import { OptionsPanel } from "./options-panel.js";

/**
 * Create a card with the options of a job, to change; null if its file is not stored.
 * @param {Api.Job} job
 * @param {AbortSignal} signal
 */
export function reanalyzeCard(job, signal) {
  if (!job.links.media) return null;
  const panel = new OptionsPanel(job.options, job.tags);
  const alerts = h("div");
  const submit = async () => {
    try {
      await reanalyze(job, panel, signal);
    } catch (error) {
      alerts.replaceChildren(problemAlert(error));
    }
  };
  return h(
    "details",
    { className: "card reanalyze" },
    h("summary", {}, h("h2", { textContent: STRINGS.reanalyze.analyseAgainWithDifferentSettings })),
    panel.fields,
    alerts,
    button(STRINGS.reanalyze.analyseAgain, submit, { kind: "primary" }),
  );
}

/**
 * @param {Api.Job} job
 * @param {OptionsPanel} panel
 * @param {AbortSignal} signal
 */
async function reanalyze(job, panel, signal) {
  const form = panel.form();
  form.append("source_job", job.id);
  const { id } = await submitJob(form, { requestId: newRequestId(), signal });
  const file = localFile(job.id);
  if (file) rememberFile(id, file);
  location.hash = `#/job/${id}`;
}

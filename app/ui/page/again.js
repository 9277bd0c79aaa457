// A kept job, read again in another way, without another upload.

import { newId, post } from "./api.js";
import { button, make } from "./dom.js";
import { fileOf, keepFile } from "./files.js";
import { problemNotice } from "./notice.js";
import { OptionsPanel } from "./options.js";

/** A card with the options of the job, to be changed; null where its media was not kept. */
export function againCard(job, signal) {
  if (!job.links.media) return null;
  const panel = new OptionsPanel(job.options, job.tags);
  const trouble = make("div");
  const send = button("Read it again", () => readAgain(job, panel, signal).catch((error) => trouble.replaceChildren(problemNotice(error))), { kind: "primary" });
  return make("details", { className: "card" }, make("summary", {}, make("h2", { textContent: "Read it again in another way" })), panel.fields, trouble, send);
}

async function readAgain(job, panel, signal) {
  const form = panel.form();
  form.append("source_job", job.id);
  const again = await post(form, { requestId: newId(), signal });
  const file = fileOf(job.id);
  if (file) keepFile(again.id, file);
  location.hash = `#/job/${again.id}`;
}

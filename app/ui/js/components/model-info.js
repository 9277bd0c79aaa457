// The models behind a result: versions, licence, accuracy; the settings used and the processing time.

import { getJson } from "../api.js";
import { disclosure, h, tableHead } from "../lib/dom.js";
import { capitalize, formatPercent, languageName } from "../lib/format.js";
import { STAGE_LABELS } from "../lib/jobs.js";
import { describeOptions } from "../lib/options.js";
import { STRINGS } from "../lib/strings.js";
import { COMBINED_LABEL, MODALITY_LABELS } from "../lib/tables.js";

/** @type {Record<string, string>} */
const ROLE_LABELS = { ...MODALITY_LABELS, fusion: COMBINED_LABEL, whisper: STRINGS.modelInfo.speechRecognition };
const FIGURE_HEADINGS = [
  STRINGS.modelInfo.dataset,
  STRINGS.modelInfo.examples,
  STRINGS.modelInfo.accuracy,
  STRINGS.modelInfo.macroF1,
];

/** @typedef {{ n: number, accuracy: number, macro_f1: number }} Figures */

/**
 * @param {Api.Result} result
 * @param {Api.Job} job
 */
export function modelInfo(result, job) {
  const { bundle, licence, text_by_language: textByLanguage, ...models } = result.models;
  const versions = Object.entries(models).map(([role, name]) =>
    name ? definition(ROLE_LABELS[role] ?? capitalize(role), name) : null,
  );
  const ofLanguages = Object.entries(textByLanguage ?? {}).map(([language, name]) =>
    definition(`${MODALITY_LABELS.text} (${languageName(language)})`, name),
  );
  const settings = describeOptions(job.options).map(({ name, value }) => definition(name, value));
  const times = Object.entries(result.timings).map(([stage, seconds]) =>
    definition(/** @type {Record<string, string>} */ (STAGE_LABELS)[stage] ?? stage, `${seconds.toFixed(2)} s`),
  );
  return h(
    "section",
    { className: "card model-info" },
    h("h2", { textContent: STRINGS.modelInfo.models }),
    h(
      "dl",
      {},
      definition(STRINGS.modelInfo.modelLicence, licence),
      definition(STRINGS.modelInfo.bundle, bundle),
      versions,
      ofLanguages,
    ),
    disclosure(STRINGS.modelInfo.settingsUsed, h("dl", {}, settings)),
    disclosure(STRINGS.modelInfo.processingTime, h("dl", {}, times)),
    accuracyDisclosure(),
  );
}

/**
 * @param {string} term
 * @param {string} description
 */
const definition = (term, description) =>
  h("div", {}, h("dt", { textContent: term }), h("dd", { textContent: description }));

/** Create a disclosure of the accuracy of the models that are loaded now, fetched when it is opened. */
function accuracyDisclosure() {
  const content = h("div", { textContent: STRINGS.modelInfo.loading });
  const element = disclosure(STRINGS.modelInfo.howAccurateIsThis, content);
  const load = async () => {
    /** @type {Api.ModelList} */
    const { models } = await getJson("/v1/models");
    content.replaceChildren(...models.map(modelFigures));
  };
  element.addEventListener("toggle", load, { once: true });
  return element;
}

/** @param {Api.Model} model */
function modelFigures({ name, version, metrics, licence }) {
  const rows = Object.entries(metrics)
    .filter(([, figures]) => typeof figures?.accuracy === "number")
    .map(([dataset, figures]) => figuresRow(dataset, figures));
  const about = [licence?.name, licence?.note].filter(Boolean).join(": ");
  return h(
    "article",
    {},
    h("h3", { textContent: version ? `${name}@${version}` : name }),
    h("p", { className: "muted", textContent: about }),
    rows.length ? h("table", { className: "figures" }, tableHead(FIGURE_HEADINGS), h("tbody", {}, ...rows)) : null,
  );
}

/**
 * @param {string} dataset
 * @param {Figures} figures
 */
function figuresRow(dataset, { n, accuracy, macro_f1: macroF1 }) {
  const cells = [String(n), formatPercent(accuracy), macroF1.toFixed(2)];
  return h(
    "tr",
    {},
    h("th", { scope: "row", textContent: dataset.replaceAll("_", " ") }),
    cells.map((textContent) => h("td", { textContent })),
  );
}

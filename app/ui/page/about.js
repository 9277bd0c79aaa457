// Which models spoke, how good they are, and what may be done with them. What no result is stands below every view.

import { read } from "./api.js";
import { make } from "./dom.js";
import { MODALITIES } from "./emotions.js";
import { capital, percent } from "./format.js";

export function about(result, job) {
  const { bundle, licence, ...models } = result.models;
  const named = Object.entries(models).filter(([, name]) => name).map(([role, name]) => pair(MODALITIES[role] ?? capital(role), name));
  const options = Object.entries(job.options).filter(([, value]) => value !== null && value !== false).map(([name, value]) => pair(name.replaceAll("_", " "), String(value === true ? "yes" : value)));
  const seconds = Object.entries(result.timings).map(([stage, value]) => pair(stage, `${value.toFixed(2)} s`));
  return make("section", { className: "card about" }, make("h2", { textContent: "Models" }),
    make("dl", {}, pair("Licence of the weights", licence), pair("Bundle", bundle), named),
    details("Options of this job", make("dl", {}, options)),
    details("Time taken", make("dl", {}, seconds)),
    measured());
}

const pair = (name, value) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: value }));

const details = (name, ...content) => make("details", {}, make("summary", { textContent: name }), ...content);

/** The figures of the models that answer now, read when they are asked for. */
function measured() {
  const place = make("div", { textContent: "…" });
  const box = details("How good are they? Measured figures", place);
  box.addEventListener("toggle", async () => {
    const { models } = await read("/v1/models");
    place.replaceChildren(...models.map(figures));
  }, { once: true });
  return box;
}

function figures(model) {
  const sets = Object.entries(model.metrics).filter(([, figure]) => typeof figure?.accuracy === "number");
  const rows = sets.map(([name, { n, accuracy, macro_f1: f1 }]) => make("tr", {}, make("th", { scope: "row", textContent: name.replaceAll("_", " ") }), make("td", { textContent: n }), make("td", { textContent: percent(accuracy) }), make("td", { textContent: f1.toFixed(2) })));
  const heads = ["Data set", "Examples", "Accuracy", "Macro F1"].map((name) => make("th", { scope: "col", textContent: name }));
  const name = make("h3", { textContent: model.version ? `${model.name}@${model.version}` : model.name });
  const licence = make("p", { className: "soft", textContent: [model.licence?.name, model.licence?.note].filter(Boolean).join(": ") });
  return make("article", {}, name, licence, rows.length ? make("table", { className: "figures" }, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows)) : null);
}

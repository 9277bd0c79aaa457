// An example of a result, to look at before anything is uploaded.

import { infoBox } from "../components/alerts.js";
import { h } from "../lib/dom.js";
import { SAMPLE_JOB, sampleResult } from "../lib/sample.js";
import { STRINGS } from "../lib/strings.js";
import { resultView } from "./result.js";

/** @type {import("./home.js").View} */
export function sampleView(root, _parameters, signal) {
  document.title = STRINGS.sample.title;
  const back = h("a", { className: "back", href: "#/", textContent: STRINGS.sample.back });
  const title = h("h1", { tabIndex: -1, textContent: STRINGS.sample.title });
  const result = resultView(SAMPLE_JOB, sampleResult(), { signal, time: null, onChange: async () => {} });
  result.classList.add("sample");
  root.append(
    h("header", { className: "page-head" }, back, h("div", {}, title)),
    infoBox(STRINGS.sample.explanation),
    result,
  );
}

// Boxes that report a problem or a remark.

import { button, h, icon } from "../lib/dom.js";
import { Problem } from "../lib/problem.js";
import { STRINGS } from "../lib/strings.js";

/**
 * Create an alert with the text and the code of an error; `onRetry` adds a button.
 * @param {unknown} error
 * @param {(() => unknown) | null} [onRetry]
 */
export function problemAlert(error, onRetry = null) {
  const { title, sentences, code } = Problem.fromError(error);
  const text = h(
    "div",
    {},
    h("strong", { textContent: title }),
    ...sentences.map((sentence) => h("span", { textContent: sentence })),
    h("code", { textContent: code }),
  );
  const retry = onRetry ? button(STRINGS.alerts.tryAgain, onRetry) : null;
  return h("div", { className: "alert problem", role: "alert" }, icon("warning"), text, retry);
}

/**
 * Create a box with a remark.
 * @param {string} text
 */
export const infoBox = (text) => h("div", { className: "alert" }, icon("info"), h("div", { textContent: text }));

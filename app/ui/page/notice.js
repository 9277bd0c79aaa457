// Trouble and remarks, in plain words.

import { Problem } from "./api.js";
import { button, icon, make } from "./dom.js";

/** What went wrong; `retry` offers to do it again. An abort says nothing. */
export function problemNotice(error, retry = null) {
  const { title, sentences, code } = Problem.of(error);
  const rest = sentences.slice(1).map((text) => make("span", { textContent: text }));
  const text = make("div", {}, make("strong", { textContent: title }), ...rest, make("code", { textContent: code }));
  return make("div", { className: "notice problem", role: "alert" }, icon("warning"), text, retry ? button("Try again", retry) : null);
}

/** Something worth knowing; the result stands. */
export const remark = (text) => make("div", { className: "notice" }, icon("info"), make("div", { textContent: text }));

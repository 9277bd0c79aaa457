// Short notices at the lower edge of the page; screen readers say them too.

import { announce, h } from "./dom.js";
import { Problem } from "./problem.js";

/** Milliseconds for which a notice is shown. */
const SHOWN_FOR = 6000;

/** @type {ReturnType<typeof setTimeout> | undefined} */
let timer;
/** @type {HTMLElement | null} */
let box = null;

/**
 * Show a notice in place of the one before.
 * @param {string} text
 */
export function notify(text) {
  box ??= document.body.appendChild(h("p", { className: "notice", ariaHidden: "true" }));
  box.textContent = text;
  box.hidden = false;
  announce(text);
  clearTimeout(timer);
  timer = setTimeout(() => box?.toggleAttribute("hidden", true), SHOWN_FOR);
}

/**
 * Show what went wrong.
 * @param {unknown} error
 */
export function notifyProblem(error) {
  const { title, sentences } = Problem.fromError(error);
  notify([`${title}.`, ...sentences].join(" "));
}

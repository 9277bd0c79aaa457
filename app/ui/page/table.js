// The chart as a table: every window in numbers.

import { button, make } from "./dom.js";
import { MODALITIES, badge, readingOf, told } from "./emotions.js";
import { clock, percent } from "./format.js";

const PAGE = 100;

export function windowTable(result, playback) {
  const body = make("tbody");
  const heads = ["Time", "Emotion", ...Object.values(MODALITIES), "Face seen", "Speech", "Said"];
  const table = make("table", { className: "windows" }, make("caption", { className: "hidden", textContent: "Emotion by window" }), make("thead", {}, make("tr", {}, heads.map((name) => make("th", { scope: "col", textContent: name })))), body);
  const more = button("More rows", () => grow(), { kind: "quiet" });
  const grow = () => {
    const from = body.children.length;
    body.append(...result.windows.slice(from, from + PAGE).map((window) => row(window, playback)));
    more.hidden = body.children.length >= result.windows.length;
  };
  grow();
  return make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Table of windows" }, table, more);
}

function row(window, playback) {
  const { face, audio, text } = window.modalities;
  const span = `${clock(window.start)} – ${clock(window.end)}`;
  const go = make("button", { type: "button", className: "sentence-time", textContent: span, on: { click: () => playback.seek(window.start) } });
  const each = [face, audio, text].map((reading) => make("td", { className: reading ? "" : "soft", textContent: reading ? told(readingOf(reading.probabilities)) : "–" }));
  const shares = [face?.coverage, audio?.speech].map((share) => make("td", { className: "number", textContent: share === undefined ? "–" : percent(share) }));
  return make("tr", {}, make("th", { scope: "row" }, go), make("td", {}, badge(window)), each, shares, make("td", { className: "said", textContent: text?.transcript ?? "" }));
}

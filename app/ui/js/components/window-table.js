// The timeline as a table: a row for each window.

import { button, h, tableHead } from "../lib/dom.js";
import { readingText, topReading } from "../lib/emotions.js";
import { formatPercent, formatSpan } from "../lib/format.js";
import { STRINGS } from "../lib/strings.js";
import { COMBINED_LABEL, MODALITIES, MODALITY_LABELS } from "../lib/tables.js";
import { badge } from "./emotion-badge.js";
import { timeButton } from "./time-button.js";

/** Rows that are added at once. */
const PAGE_SIZE = 100;
const NO_VALUE = "–";
const HEADINGS = [
  STRINGS.windowTable.time,
  COMBINED_LABEL,
  ...Object.values(MODALITY_LABELS),
  STRINGS.windowTable.faceVisible,
  STRINGS.windowTable.speech,
  STRINGS.windowTable.transcript,
];

/**
 * @param {Api.Result} result
 * @param {import("../lib/playback.js").Playback} playback
 */
export function windowTable(result, playback) {
  const body = h("tbody");
  const caption = h("caption", { className: "visually-hidden", textContent: STRINGS.windowTable.emotionByWindow });
  const table = h("table", { className: "windows" }, caption, tableHead(HEADINGS), body);
  const addRows = () => {
    const count = body.children.length;
    const windows = result.windows.slice(count, count + PAGE_SIZE);
    body.append(...windows.map((window) => tableRow(window, playback)));
    more.hidden = body.children.length >= result.windows.length;
  };
  const more = button(STRINGS.windowTable.showMoreRows, addRows, { kind: "quiet" });
  addRows();
  return h(
    "div",
    { className: "scroll", tabIndex: 0, role: "region", ariaLabel: STRINGS.windowTable.tableOfWindows },
    table,
    more,
  );
}

/**
 * Return the texts of a row: a reading of each modality, two shares, and what was said.
 * @param {Pick<Api.Window, "modalities">} window
 */
export function rowTexts({ modalities }) {
  const { face, audio, text } = modalities;
  return {
    readings: MODALITIES.map((modality) => {
      const reading = modalities[modality];
      const top = topReading(reading?.probabilities);
      return top ? readingText({ ...top, labels_90: reading?.labels_90 }) : NO_VALUE;
    }),
    shares: [face?.coverage, audio?.speech].map((share) => (share === undefined ? NO_VALUE : formatPercent(share))),
    transcript: text?.transcript ?? "",
  };
}

/**
 * @param {Api.Window} window
 * @param {import("../lib/playback.js").Playback} playback
 */
function tableRow(window, playback) {
  const { readings, shares, transcript } = rowTexts(window);
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, timeButton(playback, window.start, formatSpan(window))),
    h("td", {}, badge(window)),
    readings.map((textContent) => h("td", { className: textContent === NO_VALUE ? "muted" : "", textContent })),
    shares.map((textContent) => h("td", { className: "number", textContent })),
    h("td", { className: "transcript-cell", textContent: transcript, dir: "auto" }),
  );
}

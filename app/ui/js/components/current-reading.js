// The reading at the current time: combined and of each modality, or of a photo and each of its faces.

import { h, tableHead } from "../lib/dom.js";
import { colourOf, combinedProbabilities, labelOf, listOrder, topReading } from "../lib/emotions.js";
import { formatPercent, formatSpan } from "../lib/format.js";
import { windowFinder } from "../lib/intervals.js";
import { STRINGS } from "../lib/strings.js";
import { COMBINED_LABEL, MODALITY_LABELS } from "../lib/tables.js";
import { namedReading, swatch } from "./emotion-badge.js";

/** Faces of a photo that there is room for. */
const MAX_FACES = 4;
const WHOLE_PHOTO_LABEL = STRINGS.currentReading.wholePhoto;

/** @typedef {Record<string, number> | null} Distribution */

/**
 * A column of the table: its heading, and the distribution of emotions that it shows of a reading.
 * @typedef {{ name: string, read: (reading: Api.Reading | Api.Window) => Distribution }} Column
 */

export class CurrentReading {
  /** @type {Api.Window | null | undefined} The window that is shown; null: the whole photo; undefined: nothing yet. */
  #shown;

  /** @param {{ result: Api.Result, playback: import("../lib/playback.js").Playback }} settings */
  constructor({ result, playback }) {
    this.result = result;
    this.playback = playback;
    this.windowAt = windowFinder(result.windows);
    this.labels = listOrder(result.labels);
    this.columns = columnsOf(result);
    this.cells = this.labels.map((label) =>
      this.columns.map(() => h("td", { css: { "--emotion-colour": colourOf(label) } })),
    );
    this.emotion = h("strong", { className: "current-emotion" });
    this.span = h("span", { className: "current-span" });
    this.element = h(
      "section",
      {
        className: "card current-reading",
        ariaLabel: result.windows.length ? STRINGS.currentReading.atTheCurrentTime : WHOLE_PHOTO_LABEL,
      },
      h("header", {}, this.emotion, this.span),
      this.#table(),
    );
    playback.addEventListener("time", () => this.#update());
    this.#update();
  }

  #table() {
    const corner = h("span", { className: "visually-hidden", textContent: STRINGS.currentReading.emotion });
    const rows = this.labels.map((label, row) =>
      h("tr", {}, h("th", { scope: "row" }, swatch(label), labelOf(label)), this.cells[row]),
    );
    return h(
      "table",
      { className: "bars" },
      tableHead([corner, ...this.columns.map(({ name }) => name)]),
      h("tbody", {}, ...rows),
    );
  }

  #update() {
    const window = this.windowAt(this.playback.time);
    if (window === this.#shown) return;
    this.#shown = window;
    const reading = window ?? this.result.overall;
    this.emotion.replaceChildren(...namedReading(reading));
    this.emotion.classList.toggle("uncertain", Boolean(reading.uncertain));
    this.span.textContent = window ? formatSpan(window) : WHOLE_PHOTO_LABEL;
    this.columns.forEach((column, index) => this.#showColumn(index, column.read(reading)));
  }

  /**
   * @param {number} column
   * @param {Distribution} probabilities
   */
  #showColumn(column, probabilities) {
    const top = topReading(probabilities)?.emotion;
    this.labels.forEach((label, row) => {
      const cell = this.cells[row][column];
      const value = probabilities?.[label];
      cell.textContent = value === undefined ? "–" : formatPercent(value);
      cell.className = label === top ? "top" : "";
      cell.style.setProperty("--share", `${(value ?? 0) * 100}%`);
    });
  }
}

/**
 * @param {Api.Result} result
 * @returns {Column[]}
 */
function columnsOf({ windows, faces }) {
  const combined = { name: COMBINED_LABEL, read: combinedProbabilities };
  return [combined, ...(windows.length ? modalityColumns() : faceColumns(faces))];
}

/** @returns {Column[]} */
const modalityColumns = () =>
  Object.entries(MODALITY_LABELS).map(([modality, name]) => ({
    name,
    read: (reading) =>
      ("modalities" in reading && reading.modalities[/** @type {keyof Api.Modalities} */ (modality)]?.probabilities) ||
      null,
  }));

/**
 * Return a column for each face of a photo, if there are several.
 * @param {Api.FaceTrack[]} faces
 * @returns {Column[]}
 */
const faceColumns = (faces) =>
  faces.length < 2
    ? []
    : faces.slice(0, MAX_FACES).map(({ track, frames }) => ({
        name: STRINGS.currentReading.face(track),
        read: () => frames[0].probabilities,
      }));

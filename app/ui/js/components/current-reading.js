// The reading at the current time: combined and of each modality, or of a photo and each of its faces.

import { h } from "../lib/dom.js";
import { combinedProbabilities, labelOf, listOrder, mixedSignals } from "../lib/emotions.js";
import { formatSpan } from "../lib/format.js";
import { windowFinder } from "../lib/intervals.js";
import { peopleNames } from "../lib/people.js";
import { STRINGS } from "../lib/strings.js";
import { COMBINED_LABEL, MODALITY_LABELS } from "../lib/tables.js";
import { namedReading } from "./emotion-badge.js";
import { ReadingTable } from "./reading-table.js";

/** Faces of a photo that there is room for. */
const MAX_FACES = 4;
const WHOLE_PHOTO_LABEL = STRINGS.currentReading.wholePhoto;

/**
 * A column of the table: its heading, and the distribution of emotions that it shows of a reading.
 * @typedef {{ name: string, read: (reading: Api.Reading | Api.Window) => import("./reading-table.js").Distribution }} Column
 */

export class CurrentReading {
  /** @type {Api.Window | null | undefined} The window that is shown; null: the whole photo; undefined: nothing yet. */
  #shown;

  /** @param {{ result: Api.Result, playback: import("../lib/playback.js").Playback }} settings */
  constructor({ result, playback }) {
    this.result = result;
    this.playback = playback;
    this.windowAt = windowFinder(result.windows);
    this.names = peopleNames(result.people ?? []);
    this.columns = columnsOf(result);
    const names = this.columns.map(({ name }) => name);
    this.table = new ReadingTable(listOrder(result.labels), names);
    this.emotion = h("strong", { className: "current-emotion" });
    this.span = h("span", { className: "current-span" });
    this.signals = h("p", { className: "mixed-signals", hidden: true });
    this.element = h(
      "section",
      {
        className: "card current-reading",
        ariaLabel: result.windows.length ? STRINGS.currentReading.atTheCurrentTime : WHOLE_PHOTO_LABEL,
      },
      h("header", {}, this.emotion, this.span),
      this.signals,
      this.table.element,
      h("p", { className: "muted explanation", textContent: explanationOf(result) }),
    );
    playback.addEventListener("time", () => this.#update());
    this.#update();
  }

  /**
   * Show the windows of one person; null: of the whole media.
   * @param {Api.Window[] | null} windows
   */
  setWindows(windows) {
    this.windowAt = windowFinder(windows ?? this.result.windows);
    this.#update();
  }

  #update() {
    const window = this.windowAt(this.playback.time);
    if (window === this.#shown) return;
    this.#shown = window;
    const reading = window ?? this.result.overall;
    this.emotion.replaceChildren(...namedReading(reading));
    this.emotion.classList.toggle("uncertain", Boolean(reading.uncertain));
    this.span.textContent = window ? this.#spanText(window) : WHOLE_PHOTO_LABEL;
    const signals = window && mixedSignals(window.modalities);
    this.signals.hidden = !signals;
    this.signals.textContent = signals ? mixedText(signals) : "";
    this.table.show(this.columns.map((column) => column.read(reading)));
  }

  /** @param {Api.Window} window */
  #spanText(window) {
    const name = typeof window.person === "number" ? this.names.get(window.person) : null;
    const average = STRINGS.currentReading.average(formatSpan(window));
    return name ? `${name} · ${average}` : average;
  }
}

/** @param {[modality: keyof Api.Modalities, emotion: string][]} signals */
function mixedText(signals) {
  const parts = signals.map(([modality, emotion]) => `${MODALITY_LABELS[modality].toLowerCase()} ${labelOf(emotion)}`);
  return STRINGS.currentReading.mixedSignals(parts.join(", "));
}

/** @param {Api.Result} result */
function explanationOf({ windows, faces }) {
  if (windows.length) return STRINGS.currentReading.whatCombinedIs;
  const more = faces.length - MAX_FACES;
  return more > 0 ? STRINGS.currentReading.moreFaces(more) : STRINGS.currentReading.whatWholePhotoIs;
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

// What is read at the playhead: all together, and each modality beside it.

import { windowFinder } from "./axis.js";
import { make } from "./dom.js";
import { MODALITIES, called, colour, readingOf, stacked, swatch } from "./emotions.js";
import { clock, percent } from "./format.js";

const MOST_PEOPLE = 4; // that there is room for

export class Now {
  /** A table of emotions by modality, at the time of the playback; for an image `overall` stands for all. */
  constructor({ result, playback }) {
    Object.assign(this, { result, playback, at: windowFinder(result.windows) });
    this.labels = stacked(result.labels).reverse();
    this.columns = [["fusion", "Together"], ...(result.windows.length ? Object.entries(MODALITIES) : people(result))];
    this.word = make("strong", { className: "now-word" });
    this.when = make("span", { className: "now-when" });
    this.element = make("section", { className: "card now", ariaLabel: "At the playhead" }, make("header", {}, this.word, this.when), this.#table());
    playback.addEventListener("time", () => this.#show());
    this.#show();
  }

  #table() {
    const head = make("tr", {}, make("th", {}, make("span", { className: "hidden", textContent: "Emotion" })), this.columns.map(([, name]) => make("th", { scope: "col", textContent: name })));
    this.cells = new Map();
    const rows = this.labels.map((label) => {
      const cells = this.columns.map(([column]) => {
        const cell = make("td", { css: { "--tone": colour(label) } });
        this.cells.set(`${label} ${column}`, cell);
        return cell;
      });
      return make("tr", {}, make("th", { scope: "row" }, swatch(label), called(label)), cells);
    });
    return make("table", { className: "bars" }, make("thead", {}, head), make("tbody", {}, rows));
  }

  #show() {
    const window = this.at(this.playback.time);
    if (window === this.shown && this.shown !== undefined) return;
    this.shown = window;
    const reading = window ?? this.result.overall;
    this.word.replaceChildren(reading.emotion ? swatch(reading.emotion) : "", called(reading.emotion));
    this.when.textContent = window ? `${clock(window.start)} – ${clock(window.end)}` : "the photo";
    for (const [column] of this.columns) {
      const probabilities = this.#read(column, reading);
      const best = readingOf(probabilities)?.emotion;
      for (const label of this.labels) {
        const cell = this.cells.get(`${label} ${column}`);
        const value = probabilities?.[label];
        cell.textContent = value === undefined ? "–" : percent(value);
        cell.className = label === best ? "best" : "";
        cell.style.setProperty("--share", `${(value ?? 0) * 100}%`);
      }
    }
  }

  /** What a column tells: the fusion's, a modality's, or, of a photo, a face's. Null where there was nothing to read. */
  #read(column, reading) {
    if (column === "fusion") return reading.emotion ? reading.probabilities : null;
    if (reading.modalities) return reading.modalities[column]?.probabilities ?? null;
    return this.result.faces.find(({ track }) => track === column).frames[0].probabilities;
  }
}

/** The columns of a photo in which there are several. */
const people = ({ faces }) => (faces.length < 2 ? [] : faces.slice(0, MOST_PEOPLE).map(({ track }) => [track, `Face ${track}`]));

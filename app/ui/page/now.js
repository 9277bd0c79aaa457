// What is read at the playhead: all together, and each modality beside it.

import { windowFinder } from "./axis.js";
import { make } from "./dom.js";
import { MODALITIES, called, colour, readingOf, stacked, swatch } from "./emotions.js";
import { clock, percent } from "./format.js";

export class Now {
  /** A table of emotions by modality, at the time of the playback; for an image `overall` stands for all. */
  constructor({ result, playback }) {
    Object.assign(this, { result, playback, at: windowFinder(result.windows) });
    this.labels = stacked(result.labels).reverse();
    this.columns = result.windows.length ? [["fusion", "Together"], ...Object.entries(MODALITIES)] : [["fusion", "Together"]];
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
    this.when.textContent = window ? `${clock(window.start)} – ${clock(window.end)}` : "the whole";
    for (const [column] of this.columns) {
      const probabilities = column === "fusion" ? (reading.emotion ? reading.probabilities : null) : (window?.modalities[column]?.probabilities ?? null);
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
}

// A table of readings: a row for each emotion, a column for each source, a bar under each number.

import { h, tableHead } from "../lib/dom.js";
import { colourOf, labelOf, topReading } from "../lib/emotions.js";
import { formatPercent } from "../lib/format.js";
import { STRINGS } from "../lib/strings.js";
import { swatch } from "./emotion-badge.js";

/** @typedef {Record<string, number> | null | undefined} Distribution */

export class ReadingTable {
  /**
   * @param {string[]} labels in the order of the rows
   * @param {string[]} names of the columns
   */
  constructor(labels, names) {
    this.labels = labels;
    this.cells = labels.map((label) => names.map(() => h("td", { css: { "--emotion-colour": colourOf(label) } })));
    const corner = h("span", { className: "visually-hidden", textContent: STRINGS.currentReading.emotion });
    const rows = labels.map((label, row) =>
      h("tr", {}, h("th", { scope: "row" }, swatch(label), labelOf(label)), this.cells[row]),
    );
    this.element = h("table", { className: "bars" }, tableHead([corner, ...names]), h("tbody", {}, ...rows));
  }

  /**
   * Show the distributions of the columns.
   * @param {Distribution[]} distributions
   */
  show(distributions) {
    distributions.forEach((probabilities, column) => {
      const top = topReading(probabilities)?.emotion;
      this.labels.forEach((label, row) => {
        const cell = this.cells[row][column];
        const value = probabilities?.[label];
        cell.textContent = value === undefined ? "–" : formatPercent(value);
        cell.className = label === top ? "top" : "";
        cell.style.setProperty("--share", `${(value ?? 0) * 100}%`);
      });
    });
  }
}

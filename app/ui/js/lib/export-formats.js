// The files that a result can be downloaded as.

import { STRINGS } from "./strings.js";
import { EXPORT_FORMATS } from "./tables.js";

/** @type {Record<string, string>} */
const ROW_TEXTS = {
  windows: STRINGS.exportFormats.oneRowPerWindow,
  faces: STRINGS.exportFormats.oneRowPerFaceAnd,
  moments: STRINGS.exportFormats.peaksAndShifts,
  words: STRINGS.exportFormats.wordCounts,
  people: STRINGS.exportFormats.talkTimes,
};

/** @typedef {{ name: string, description: string, query: string }} Export */

/**
 * Return the exports on offer: each format once, but tables once for each kind of row; then the complete result.
 * @param {number | null} [person] the only one to report
 * @returns {Export[]}
 */
export function exportChoices(person = null) {
  const only = person === null ? "" : `&person=${person}`;
  const files = EXPORT_FORMATS.flatMap(({ name, label, description, rows }) => {
    if (name !== "csv") return [{ name: label, description, query: `format=${name}${only}` }];
    return rows.map((row) => ({
      name: row === "windows" ? label : `${label}, ${row}`,
      description: ROW_TEXTS[row] ?? STRINGS.exportFormats.oneRowPer(row),
      query: `format=${name}&rows=${row}&bom=true${only}`, // Excel needs it
    }));
  });
  return [...files, { name: "JSON", description: STRINGS.exportFormats.completeResult, query: `format=json${only}` }];
}

/**
 * Return the file name in a `Content-Disposition` header (RFC 6266); `result` without one.
 * @param {string} disposition
 */
export function fileNameIn(disposition) {
  const extended = /filename\*=UTF-8''([^;]+)/.exec(disposition)?.[1];
  const plain = /filename="([^"]*)"/.exec(disposition)?.[1];
  return extended ? decodeURIComponent(extended) : (plain ?? "result");
}

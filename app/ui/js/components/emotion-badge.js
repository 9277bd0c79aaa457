// The colour of an emotion next to its name.

import { h } from "../lib/dom.js";
import { colourOf, labelsText, patternOf, readingText } from "../lib/emotions.js";

/**
 * Create a small square in the colour of an emotion.
 * @param {string} emotion
 */
export const swatch = (emotion) =>
  h("span", {
    className: "swatch",
    ariaHidden: "true",
    data: { pattern: patternOf(emotion) },
    css: { "--emotion-colour": colourOf(emotion) },
  });

/**
 * Create the labels of a reading after the colour of its emotion: `neutral or sad`.
 * @param {import("../lib/emotions.js").SomeReading} reading
 * @returns {(Node | string)[]}
 */
export const namedReading = (reading) =>
  reading.emotion ? [swatch(reading.emotion), labelsText(reading)] : [labelsText(reading)];

/**
 * Create a badge with colour and labels of a reading; with the probability, if it has one label.
 * @param {import("../lib/emotions.js").SomeReading | null} reading
 */
export function badge(reading) {
  const emotion = reading?.emotion;
  return h(
    "span",
    { className: emotion ? "badge" : "badge no-signal" },
    emotion ? swatch(emotion) : null,
    readingText(reading),
  );
}

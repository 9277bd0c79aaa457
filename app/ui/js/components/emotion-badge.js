// The colour of an emotion next to its name.

import { h } from "../lib/dom.js";
import { colourOf, labelOf, readingText } from "../lib/emotions.js";

/**
 * Create a small square in the colour of an emotion.
 * @param {string} emotion
 */
export const swatch = (emotion) =>
  h("span", {
    className: "swatch",
    ariaHidden: "true",
    css: { "--emotion-colour": colourOf(emotion) },
  });

/**
 * Create the name of an emotion after its colour.
 * @param {string | null} emotion
 * @returns {(Node | string)[]}
 */
export const namedSwatch = (emotion) => (emotion ? [swatch(emotion), labelOf(emotion)] : [labelOf(emotion)]);

/**
 * Create a badge with colour, name and probability of a reading.
 * @param {Pick<Api.Reading, "emotion" | "confidence"> | null} reading
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

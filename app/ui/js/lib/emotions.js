// Names, colours, patterns and order of emotions. A pattern and the name always accompany a colour.

import { formatPercent } from "./format.js";
import { COLOURS, NO_SIGNAL_COLOUR, NO_SIGNAL_LABEL } from "./tables.js";

/** @typedef {Record<string, number>} Probabilities */
/** @typedef {{ emotion: string, confidence: number, probabilities: Probabilities }} TopReading */

/** @type {Record<string, string>} */
const EMOTION_LABELS = { sad_fear: "sad or fear", surprise_disgust: "surprise or disgust" };
/** @type {Record<string, string>} */
const PATTERNS = {
  angry: "cross",
  disgust: "dots",
  fear: "rising",
  sad: "lines",
  surprise: "falling",
  sad_fear: "lines",
  surprise_disgust: "falling",
};
const STACK_ORDER = ["neutral", "sad_fear", "sad", "fear", "disgust", "angry", "surprise_disgust", "surprise", "happy"];

/** @param {string | null | undefined} emotion */
export const colourOf = (emotion) =>
  (emotion && /** @type {Record<string, string>} */ (COLOURS)[emotion]) || NO_SIGNAL_COLOUR;

/** @param {string} emotion */
export const patternOf = (emotion) => PATTERNS[emotion] ?? "none";

/** @param {string | null | undefined} emotion */
export const labelOf = (emotion) => (emotion ? (EMOTION_LABELS[emotion] ?? emotion) : NO_SIGNAL_LABEL);

/**
 * Return labels in the order in which a chart stacks them, from the bottom up.
 * @param {string[]} labels
 */
export const stackOrder = (labels) => STACK_ORDER.filter((label) => labels.includes(label));

/**
 * Return labels in the order in which a list or a table shows them, as a chart does from the top down.
 * @param {string[]} labels
 */
export const listOrder = (labels) => stackOrder(labels).reverse();

/**
 * Return a reading as text: `happy 77%`, or `no signal`.
 * @param {Pick<Api.Reading, "emotion" | "confidence"> | null} reading
 */
export const readingText = (reading) =>
  reading?.emotion ? `${labelOf(reading.emotion)} ${formatPercent(reading.confidence)}` : labelOf(null);

/**
 * Return the most probable emotion of a distribution; null for null.
 * @param {Probabilities | null | undefined} probabilities
 * @returns {TopReading | null}
 */
export function topReading(probabilities) {
  if (!probabilities) return null;
  const [emotion, confidence] = Object.entries(probabilities).reduce((best, entry) =>
    entry[1] > best[1] ? entry : best,
  );
  return { emotion, confidence, probabilities };
}

/**
 * Return the combined probabilities of a window or a photo; null if there was no signal.
 * @param {Pick<Api.Reading, "emotion" | "probabilities">} reading
 */
export const combinedProbabilities = ({ emotion, probabilities }) => (emotion === null ? null : probabilities);

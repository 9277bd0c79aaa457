// Names, colours, patterns and order of emotions. A pattern and the name always accompany a colour.

import { formatPercent } from "./format.js";
import { STRINGS } from "./strings.js";
import { COLOURS, MODALITIES, NO_SIGNAL_COLOUR, NO_SIGNAL_LABEL } from "./tables.js";

/** @typedef {Record<string, number>} Probabilities */
/** @typedef {{ emotion: string, confidence: number, probabilities: Probabilities }} TopReading */

/** @type {Record<string, string>} */
const EMOTION_LABELS = { sad_fear: STRINGS.emotions.sadOrFear, surprise_disgust: STRINGS.emotions.surpriseOrDisgust };
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

/** @typedef {{ emotion: string | null, confidence: number, labels_90?: string[] | null }} SomeReading */

/** Labels that are named in a short text, at most. */
const MAX_NAMED_LABELS = 3;

/**
 * Return a reading as text: `happy 77%`, `neutral or sad` of several labels, or `no signal`.
 * @param {SomeReading | null} reading
 */
export const readingText = (reading) =>
  reading?.emotion && (reading.labels_90?.length ?? 1) < 2
    ? `${labelOf(reading.emotion)} ${formatPercent(reading.confidence)}`
    : labelsText(reading);

/**
 * Return the labels of a reading: `happy`, `neutral or sad`, of many `unclear, perhaps neutral`, or `no signal`.
 * @param {SomeReading | null} reading
 */
export function labelsText(reading) {
  if (!reading?.emotion) return labelOf(null);
  const labels = reading.labels_90 ?? [reading.emotion];
  return labels.length > MAX_NAMED_LABELS ? STRINGS.emotions.unclear(labelOf(labels[0])) : alternatives(labels);
}

/** @param {string[]} labels */
function alternatives(labels) {
  const names = labels.map(labelOf);
  const last = names.pop();
  return names.length ? STRINGS.emotions.alternatives(names.join(", "), `${last}`) : `${last}`;
}

/**
 * Return the emotion that each modality reads, if they do not agree; null if they do, or if there is one.
 * @param {Api.Modalities} modalities
 * @returns {[modality: keyof Api.Modalities, emotion: string][] | null}
 */
export function mixedSignals(modalities) {
  const read = MODALITIES.flatMap((modality) => {
    const top = topReading(modalities[modality]?.probabilities);
    return top ? [/** @type {[keyof Api.Modalities, string]} */ ([modality, top.emotion])] : [];
  });
  return new Set(read.map(([, emotion]) => emotion)).size > 1 ? read : null;
}

/**
 * Return how often readings like this are right; empty if the models do not know.
 * @param {SomeReading & { uncertain?: boolean | null }} reading
 */
export function certaintyText({ emotion, confidence, labels_90: labels, uncertain }) {
  if (!emotion || !labels) return "";
  const tenths = Math.min(Math.max(Math.round(confidence * 10), 1), 9);
  const figures = STRINGS.emotions.figures(tenths, alternatives(labels));
  return uncertain ? `${STRINGS.emotions.uncertain} ${figures}` : figures;
}

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

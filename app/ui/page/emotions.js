// What emotions and modalities are called and how they look. Colours: Okabe and Ito, "Color Universal Design" (2008),
// told apart with any colour vision, as in ml/reports/palette.py; a pattern and the name stand beside them.

import { make } from "./dom.js";
import { percent } from "./format.js";

const EMOTIONS = {
  angry: ["#D55E00", "cross"],
  disgust: ["#009E73", "dots"],
  fear: ["#CC79A7", "rising"],
  happy: ["#F0E442", "none"],
  sad: ["#0072B2", "lines"],
  surprise: ["#56B4E9", "falling"],
  neutral: ["#999999", "none"],
  sad_fear: ["#0072B2", "lines"],
  surprise_disgust: ["#56B4E9", "falling"],
};
const WORDS = { sad_fear: "sad or fear", surprise_disgust: "surprise or disgust" };
const FROM_BELOW = ["neutral", "sad_fear", "sad", "fear", "disgust", "angry", "surprise_disgust", "surprise", "happy"];

export const MODALITIES = { face: "Face", audio: "Voice", text: "Words" };

export const colour = (emotion) => EMOTIONS[emotion]?.[0] ?? "#4A4A4A";
export const pattern = (emotion) => EMOTIONS[emotion]?.[1] ?? "none";
export const called = (emotion) => (emotion ? (WORDS[emotion] ?? emotion) : "nothing to read");

/** Labels in the order in which a chart stacks them, from below. */
export const stacked = (labels) => FROM_BELOW.filter((label) => labels.includes(label));

/** `happy 77%`. */
export const told = (reading) => (reading?.emotion ? `${called(reading.emotion)} ${percent(reading.confidence)}` : called(null));

/** The reading of a distribution: its mode. Null gives null. */
export function readingOf(probabilities) {
  if (!probabilities) return null;
  const [emotion, confidence] = Object.entries(probabilities).reduce((best, each) => (each[1] > best[1] ? each : best));
  return { emotion, confidence, probabilities };
}

/** A small field of an emotion's colour. */
export const swatch = (emotion) => make("span", { className: "swatch", ariaHidden: "true", css: { "--tone": colour(emotion) } });

/** Swatch and words. */
export function badge(reading, { sure = true } = {}) {
  const text = sure ? told(reading) : called(reading?.emotion);
  return make("span", { className: reading?.emotion ? "badge" : "badge unread" }, reading?.emotion ? swatch(reading.emotion) : null, text);
}

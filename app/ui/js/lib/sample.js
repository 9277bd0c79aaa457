// An example of a result, made up for the page: a telephone call of two people who do not exist. No model has read it.

import { defaultOptions } from "./options.js";
import { STRINGS } from "./strings.js";
import { EMOTIONS } from "./tables.js";

const DURATION = 40;
const WINDOW = { seconds: 4, hop: 2 };
/** Share of the strongest emotion in a made reading, and how far voice and words differ from each other. */
const STRONG = 0.78;
const VOICE_SHARE = 0.85;
/** Share from which on a made reading has one label. */
const SURE = 0.6;

/** @type {[start: number, end: number, person: number, emotion: string][]} */
const TURNS = [
  [0.5, 3.5, 1, "neutral"],
  [4, 8.5, 2, "angry"],
  [9, 13, 1, "sad"],
  [13.5, 17, 2, "surprise"],
  [18, 23, 1, "neutral"],
  [23.5, 27, 2, "neutral"],
  [27.5, 31.5, 1, "neutral"],
  [32, 35.5, 2, "happy"],
  [36, 39, 1, "happy"],
];
const LINES = TURNS.map(
  ([start, end, person, emotion], index) =>
    /** @type {const} */ ([start, end, person, emotion, STRINGS.sample.sentences[index]]),
);

/** @type {Api.Job} */
export const SAMPLE_JOB = {
  id: "sample",
  status: "succeeded",
  stage: null,
  progress: 1,
  position: null,
  created_at: "2026-01-01T00:00:00Z",
  started_at: null,
  finished_at: null,
  expires_at: null,
  media: null,
  options: /** @type {Api.Options} */ (defaultOptions()),
  tags: [],
  error: null,
  links: { self: "", result: "", artifacts: "", media: null, events: "", cancel: "" },
};

/**
 * @param {string} emotion
 * @param {number} share
 */
function probabilitiesOf(emotion, share) {
  const rest = (1 - share) / (EMOTIONS.length - 1);
  return Object.fromEntries(EMOTIONS.map((label) => [label, label === emotion ? share : rest]));
}

/**
 * @param {string} emotion
 * @param {number} confidence
 * @returns {Api.Reading}
 */
const readingOf = (emotion, confidence) => ({
  emotion,
  confidence,
  probabilities: probabilitiesOf(emotion, confidence),
  labels_90: confidence > SURE || emotion === "neutral" ? [emotion] : [emotion, "neutral"],
  uncertain: false,
});

/**
 * Return the window that begins at a time: what the line says that fills most of it.
 * @param {number} start
 * @returns {Api.Window}
 */
function windowAt(start) {
  const end = Math.min(start + WINDOW.seconds, DURATION);
  const overlapOf = (/** @type {number} */ from, /** @type {number} */ to) => Math.min(to, end) - Math.max(from, start);
  const [from, to, person, emotion, transcript] = LINES.reduce((best, line) =>
    overlapOf(line[0], line[1]) > overlapOf(best[0], best[1]) ? line : best,
  );
  const speech = overlapOf(from, to) / (end - start);
  const confidence = STRONG * (0.6 + 0.4 * speech);
  const words = probabilitiesOf(emotion, confidence * VOICE_SHARE);
  return {
    ...readingOf(emotion, confidence),
    start,
    end,
    person,
    modalities: {
      face: null,
      audio: { probabilities: probabilitiesOf(emotion, confidence * VOICE_SHARE ** 2), speech },
      text: { probabilities: words, sentiment: {}, transcript },
    },
    missing: ["face"],
  };
}

/**
 * Return the made result.
 * @returns {Api.Result}
 */
export function sampleResult() {
  const count = (DURATION - WINDOW.seconds) / WINDOW.hop + 1;
  const windows = Array.from({ length: count }, (_, index) => windowAt(index * WINDOW.hop));
  const segments = LINES.map(([start, end, person, , text]) => ({
    start,
    end,
    text,
    person,
    language: "en",
    words: [],
  }));
  return {
    schema_version: "1",
    media: {
      kind: "audio",
      duration: DURATION,
      width: null,
      height: null,
      frame_rate: null,
      has_audio: true,
      has_video: false,
      sha256: "",
    },
    labels: [...EMOTIONS],
    overall: readingOf("neutral", 0.45),
    windows,
    faces: [],
    transcript: { source: "whisper", language: "en", text: segments.map(({ text }) => text).join(" "), segments },
    models: {
      bundle: "",
      face: null,
      audio: null,
      text: null,
      fusion: null,
      whisper: null,
      licence: "",
      text_by_language: {},
    },
    moments: [
      { time: 6, kind: "peak", from: null, to: "angry", score: 0.78, why: ["audio", "text"], person: 2 },
      { time: 15, kind: "peak", from: null, to: "surprise", score: 0.74, why: ["text"], person: 2 },
      { time: 32, kind: "shift", from: "neutral", to: "happy", score: 0.76, why: ["audio", "text"], person: 2 },
    ],
    bursts: [],
    channels: null,
    people: [1, 2].map((person) => personOf(person, windows)),
    warnings: [],
    timings: {},
  };
}

/**
 * @param {number} person
 * @param {Api.Window[]} windows
 * @returns {Api.Person}
 */
function personOf(person, windows) {
  const speech = LINES.filter((line) => line[2] === person).map(([start, end]) => ({ start, end }));
  return {
    person,
    name: STRINGS.sample.names[person - 1],
    tracks: [],
    match: "none",
    speech,
    seen_seconds: 0,
    talk_seconds: speech.reduce((sum, { start, end }) => sum + end - start, 0),
    overall: readingOf(person === 1 ? "neutral" : "surprise", 0.5),
    windows: windows.filter((window) => window.person === person),
  };
}

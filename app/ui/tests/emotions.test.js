import assert from "node:assert/strict";
import { test } from "node:test";

import {
  certaintyText,
  colourOf,
  combinedProbabilities,
  labelOf,
  listOrder,
  patternOf,
  readingText,
  stackOrder,
  topReading,
} from "../js/lib/emotions.js";
import { COLOURS, EMOTIONS, SIMPLIFIED_EMOTIONS } from "../js/lib/tables.js";

const ALL_LABELS = [...EMOTIONS, ...Object.keys(SIMPLIFIED_EMOTIONS)];

test("colourOf returns the colour that pictures and videos use", () => {
  for (const [emotion, colour] of Object.entries(COLOURS)) assert.equal(colourOf(emotion), colour);
  assert.equal(colourOf(null), colourOf("unknown"));
});

test("every emotion has a colour of its own set and a place in the stack", () => {
  for (const labels of [EMOTIONS, Object.keys(SIMPLIFIED_EMOTIONS)]) {
    const colours = labels.map(colourOf);
    assert.equal(new Set(colours).size, labels.length);
    assert.deepEqual([...stackOrder([...labels])].sort(), [...labels].sort());
  }
});

test("emotions with equal luminance differ by pattern", () => {
  assert.equal(new Set(EMOTIONS.map(patternOf)).size, EMOTIONS.length - 1); // happy and neutral are plain
});

test("listOrder is the stack from the top down", () => {
  assert.deepEqual(listOrder(["neutral", "happy", "sad"]), ["happy", "sad", "neutral"]);
});

test("labelOf returns words for every label, and for no signal", () => {
  for (const label of ALL_LABELS) assert.doesNotMatch(labelOf(label), /_/);
  assert.equal(labelOf("sad_fear"), "sad or fear");
  assert.equal(labelOf(null), "no signal");
});

test("readingText has name and probability", () => {
  assert.equal(readingText({ emotion: "happy", confidence: 0.77 }), "happy 77%");
  assert.equal(readingText({ emotion: null, confidence: 0 }), "no signal");
  assert.equal(readingText(null), "no signal");
});

test("topReading is the mode of a distribution", () => {
  const probabilities = { angry: 0.2, happy: 0.5, sad: 0.3 };
  assert.deepEqual(topReading(probabilities), { emotion: "happy", confidence: 0.5, probabilities });
  assert.equal(topReading(null), null);
});

test("combinedProbabilities is null without a signal", () => {
  const probabilities = { happy: 1 };
  assert.equal(combinedProbabilities({ emotion: "happy", probabilities }), probabilities);
  assert.equal(combinedProbabilities({ emotion: null, probabilities }), null);
});

test("readingText names all labels that a reading may have", () => {
  const reading = { emotion: "neutral", confidence: 0.46 };
  assert.equal(readingText({ ...reading, labels_90: ["neutral"] }), "neutral 46%");
  assert.equal(readingText({ ...reading, labels_90: ["neutral", "sad"] }), "neutral or sad");
  assert.equal(readingText({ ...reading, labels_90: ["neutral", "sad", "fear"] }), "neutral, sad or fear");
  assert.equal(readingText({ ...reading, labels_90: ["neutral", "sad", "fear", "angry"] }), "unclear, perhaps neutral");
});

test("certaintyText says how often such readings are right", () => {
  const reading = { emotion: "neutral", confidence: 0.46, labels_90: ["neutral", "sad", "fear"], uncertain: true };
  assert.match(certaintyText(reading), /^Uncertain\. .*about 5 in 10 .*Likely: neutral, sad or fear; such labels/);
  assert.equal(certaintyText({ emotion: null, confidence: 0 }), "");
  assert.equal(certaintyText({ emotion: "sad", confidence: 0.5, labels_90: null }), "");
});

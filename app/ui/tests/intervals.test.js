import assert from "node:assert/strict";
import { test } from "node:test";

import { lastIndexUntil, meanReading, windowFinder, windowSpans } from "../js/lib/intervals.js";

const WINDOWS = [
  { start: 0, end: 4, emotion: "happy", probabilities: { happy: 0.8, sad: 0.2 } },
  { start: 2, end: 6, emotion: "sad", probabilities: { happy: 0.4, sad: 0.6 } },
  { start: 4, end: 8, emotion: null, probabilities: { happy: 0.5, sad: 0.5 } },
];

test("lastIndexUntil finds the last item that is not after a time", () => {
  const items = [0, 1, 1, 3].map((time) => ({ time }));
  const cases = [
    [-1, -1],
    [0, 0],
    [1, 2],
    [2, 2],
    [9, 3],
  ];
  for (const [time, index] of cases) {
    assert.equal(
      lastIndexUntil(items, time, (item) => item.time),
      index,
    );
  }
  assert.equal(
    lastIndexUntil([], 1, () => 0),
    -1,
  );
});

test("windowSpans meet halfway and cover the axis", () => {
  const spans = windowSpans(WINDOWS).map(({ from, to }) => [from, to]);
  assert.deepEqual(spans, [
    [0, 3],
    [3, 5],
    [5, 8],
  ]);
  assert.deepEqual(windowSpans([]), []);
});

test("windowFinder finds the window of a time, also beyond both ends", () => {
  const windowAt = windowFinder(WINDOWS);
  assert.equal(windowAt(2.9), WINDOWS[0]);
  assert.equal(windowAt(3), WINDOWS[1]);
  assert.equal(windowAt(99), WINDOWS[2]);
  assert.equal(windowAt(-1), WINDOWS[0]);
  assert.equal(windowFinder([])(1), null);
});

test("meanReading weights windows by overlap", () => {
  const reading = meanReading(WINDOWS, 1, 3); // 2 s of the first, 1 s of the second
  assert.equal(reading.emotion, "happy");
  assert.ok(Math.abs(reading.probabilities.happy - (2 * 0.8 + 0.4) / 3) < 1e-12);
});

test("meanReading ignores windows without a signal", () => {
  assert.deepEqual(meanReading(WINDOWS, 5, 8).probabilities, { happy: 0.4, sad: 0.6 });
  assert.equal(meanReading(WINDOWS, 6.5, 8), null);
  assert.equal(meanReading([], 0, 1), null);
});

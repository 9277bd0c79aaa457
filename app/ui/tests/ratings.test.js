import assert from "node:assert/strict";
import { test } from "node:test";

import { figureText, placeAt, raterLanes } from "../js/lib/ratings.js";

const box = (size) => ({ x: 0, y: 0, width: size, height: size });
const RESULT = {
  windows: [
    { start: 0, end: 4 },
    { start: 2, end: 6 },
  ],
  moments: [{ time: 3 }],
  transcript: { segments: [{ start: 1, end: 2, text: "hello" }] },
  faces: [
    { track: 1, frames: [{ time: 1, box: box(10) }] },
    { track: 2, frames: [{ time: 1.25, box: box(20) }] },
  ],
};

test("placeAt is the window, sentence, moment or largest face at a time", () => {
  assert.deepEqual(placeAt(RESULT, "window", 5), { target: "window", start: 2, end: 6 });
  assert.deepEqual(placeAt(RESULT, "sentence", 1.5), { target: "sentence", start: 1, end: 2 });
  assert.deepEqual(placeAt(RESULT, "moment", 3.2), { target: "moment", start: 3, end: null });
  assert.deepEqual(placeAt(RESULT, "face", 1), { target: "face", start: 1.25, end: null, track: 2 });
});

test("placeAt is null where there is nothing of the kind", () => {
  for (const target of ["sentence", "moment", "face"]) assert.equal(placeAt(RESULT, target, 5), null, target);
});

const rating = (rater, start, end, emotion) => ({ rater, start, end, emotion });

test("raterLanes has a lane for each rater, with gaps and without overlaps", () => {
  const ratings = [rating("Ann", 4, 6, "sad"), rating("Ann", 1, 5, "happy"), rating("Ben", 0, 8, "sad")];
  ratings.push(rating("Ann", 2, null, "sad"), rating("Cy", 0, 4, null));
  const [ann, ben, ...others] = raterLanes(ratings, ["happy", "sad"], 8);
  assert.equal(others.length, 0);
  assert.deepEqual(
    ann.points.map(({ from, to, probabilities }) => [from, to, probabilities?.happy]),
    [
      [0, 1, undefined],
      [1, 5, 1],
      [5, 6, 0],
      [6, 8, undefined],
    ],
  );
  assert.equal(ben.points.length, 1);
});

test("figureText has the interval where there is one", () => {
  assert.equal(figureText({ value: 0.618, interval: [0.4, 0.801] }), "0.62 (0.40 to 0.80)");
  assert.equal(figureText({ value: 1, interval: null }), "1.00");
  assert.equal(figureText({ value: null, interval: null }), "–");
});

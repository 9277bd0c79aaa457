import assert from "node:assert/strict";
import { test } from "node:test";

import { faceAt, facePoints, facesAt, frameInterval } from "../js/lib/face-tracks.js";

const INTERVAL = 0.5;
const frames = [
  [0, 10],
  [1, 20],
  [4, 40],
].map(([time, x]) => ({ time, box: { x, y: 0, width: 9, height: 9 }, emotion: "happy", probabilities: { happy: 1 } }));
const face = { track: 1, frames };

test("frameInterval is the median gap, or a quarter of a second", () => {
  const tracks = [{ frames: [0, 0.5, 1, 4].map((time) => ({ time })) }];
  assert.equal(frameInterval(tracks), 0.5);
  assert.equal(frameInterval([]), 0.25);
});

const cases = {
  "on a frame": [0, 10],
  "between two": [0.5, 15],
  "on the next": [1, 20],
  away: [2, undefined],
  back: [4, 40],
  "after the end": [9, undefined],
};
for (const [name, [time, x]] of Object.entries(cases)) {
  test(`faceAt moves the box between frames and hides it while the face is away: ${name}`, () => {
    assert.equal(faceAt(face, time, INTERVAL)?.box.x, x);
  });
}

test("facesAt returns the faces that are visible, with their numbers", () => {
  const other = { track: 2, frames: [frames[2]] };
  assert.deepEqual(
    facesAt([face, other], 0, INTERVAL).map(({ track }) => track),
    [1],
  );
  assert.equal(facesAt([face, other], 4, INTERVAL).length, 2);
});

test("facePoints leaves a gap while the face is away", () => {
  const points = facePoints(face, INTERVAL);
  assert.deepEqual(
    points.map(({ from, to, probabilities }) => [from, to, probabilities !== null]),
    [
      [-0.25, 0.25, true],
      [0.75, 1.25, true],
      [1.25, 3.75, false],
      [3.75, 4.25, true],
    ],
  );
});

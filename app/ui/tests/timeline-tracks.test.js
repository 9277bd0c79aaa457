import assert from "node:assert/strict";
import { test } from "node:test";

import { runsOf, visiblePoints } from "../js/lib/area-chart.js";
import { timelineTracks } from "../js/lib/timeline-tracks.js";

const WINDOWS = [
  {
    start: 0,
    end: 4,
    emotion: "happy",
    probabilities: { happy: 1 },
    modalities: { face: { probabilities: { happy: 0.6 } }, audio: null },
  },
  { start: 2, end: 6, emotion: null, probabilities: { happy: 0.5 }, modalities: {} },
];
const face = (track) => ({ track, frames: [{ time: 0, probabilities: { happy: 1 } }] });

test("timelineTracks has combined, modalities, channels and persons", () => {
  const result = { windows: WINDOWS, channels: [{ channel: 0, windows: WINDOWS }], faces: [face(1), face(2)] };
  const tracks = timelineTracks(result);
  assert.deepEqual(
    tracks.map(({ name }) => name),
    ["Combined", "Face", "Voice", "Words", "Channel 0", "Person 1", "Person 2"],
  );
  assert.equal(new Set(tracks.map(({ id }) => id)).size, tracks.length);
  const [combined, faces, voice] = tracks.map(({ points }) => points.map((point) => point.probabilities?.happy));
  assert.deepEqual(combined, [1, undefined]);
  assert.deepEqual(faces, [0.6, undefined]);
  assert.deepEqual(voice, [undefined, undefined]);
});

test("timelineTracks has the fine curve of a single face too", () => {
  const tracks = timelineTracks({ windows: WINDOWS, channels: null, faces: [face(1)] });
  assert.deepEqual(
    tracks.filter(({ group }) => group === "person").map(({ points }) => points.length),
    [1],
  );
});

const point = (time, probabilities = { happy: 1 }) => ({ time, from: time - 0.5, to: time + 0.5, probabilities });

test("runsOf separates readings from gaps", () => {
  const points = [point(0), point(1), point(2, null), point(3)];
  assert.deepEqual(
    runsOf(points).map((run) => run.length),
    [2, 1, 1],
  );
});

test("visiblePoints keeps one neighbour on either side", () => {
  const points = [0, 1, 2, 3, 4, 5].map((time) => point(time));
  const times = visiblePoints(points, { start: 2, end: 3 }, 100).map(({ time }) => time);
  assert.deepEqual(times, [1, 2, 3, 4]);
  assert.deepEqual(visiblePoints(points, { start: 50, end: 60 }, 100), []);
});

test("visiblePoints thins out to two points per pixel and keeps the borders of gaps", () => {
  const points = Array.from({ length: 1000 }, (_, time) => point(time, time === 501 ? null : { happy: 1 }));
  const shown = visiblePoints(points, { start: 0, end: 1000 }, 10);
  assert.ok(shown.length < 30);
  assert.deepEqual(
    shown.filter(({ time }) => time > 499 && time < 503).map(({ time }) => time),
    [500, 501],
  );
  assert.equal(shown[shown.length - 1].time, 999);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { diverseOrder, isShown, strongestPlace } from "../js/lib/moments.js";

const moment = (time, to, score, own = {}) => ({ time, to, score, kind: "peak", why: ["face"], ...own });

test("diverseOrder begins with the strongest and brings other emotions forward", () => {
  const moments = [0, 20, 40, 60].map((time, index) => moment(time, "happy", 0.99 - index / 100));
  moments.push(moment(80, "angry", 0.7));
  const order = diverseOrder(moments);
  assert.deepEqual(
    order.slice(0, 3).map(({ to }) => to),
    ["happy", "happy", "angry"],
  );
  assert.equal(order.length, moments.length);
  assert.equal(moments[0].time, 0);
});

test("diverseOrder puts neighbours in time back", () => {
  const order = diverseOrder([moment(0, "happy", 0.9), moment(2, "sad", 0.85), moment(60, "fear", 0.7)]);
  assert.deepEqual(
    order.map(({ time }) => time),
    [0, 60, 2],
  );
});

const ALL = { emotion: null, modality: null, person: null, view: null };

test("isShown follows emotion, modality, person and view", () => {
  const one = moment(5, "happy", 0.9, { person: 2 });
  assert.ok(isShown(one, ALL));
  assert.ok(isShown(one, { emotion: "happy", modality: "face", person: 2, view: { start: 4, end: 6 } }));
  for (const other of [{ emotion: "sad" }, { modality: "text" }, { person: 1 }, { view: { start: 6, end: 9 } }]) {
    assert.ok(!isShown(one, { ...ALL, ...other }));
  }
});

const WINDOWS = [
  { start: 0, end: 4, emotion: "neutral" },
  { start: 2, end: 6, emotion: "surprise" },
];
const frame = (time, surprise) => ({ time, probabilities: { surprise } });
const FACES = [{ track: 1, frames: [frame(1, 0.99), frame(3.25, 0.9), frame(4, 0.2), frame(7, 1)] }];

test("strongestPlace is the frame of the face that shows it most, within the window", () => {
  const place = strongestPlace(moment(4, "surprise", 0.97), { windows: WINDOWS, faces: FACES });
  assert.deepEqual(place, { time: 3.25, span: { start: 2, end: 6 } });
});

test("strongestPlace is the moment itself if the face does not support it", () => {
  const heard = moment(4, "surprise", 0.97, { why: ["audio"] });
  assert.equal(strongestPlace(heard, { windows: WINDOWS, faces: FACES }).time, 4);
  assert.deepEqual(strongestPlace(moment(9, "sad", 0.9), { windows: WINDOWS, faces: FACES }).span, {
    start: 9,
    end: 9,
  });
});

test("strongestPlace of a shift is in the window after it", () => {
  const shift = moment(3, "surprise", 0.8, { kind: "shift", from: "neutral" });
  assert.equal(strongestPlace(shift, { windows: WINDOWS, faces: FACES }).time, 3.25);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { wordShares } from "../js/components/explanations.js";
import { nearestImage } from "../js/components/heatmap-inset.js";
import { rowTexts } from "../js/components/window-table.js";
import { momentIndexAt, momentLabel, supportText } from "../js/lib/moments.js";
import { peaks } from "../js/lib/peaks.js";
import { differenceText } from "../js/views/compare.js";
import { appendPoint } from "../js/views/live.js";

test("momentLabel names peaks and shifts", () => {
  assert.equal(momentLabel({ kind: "peak", from: null, to: "happy" }), "Happy peak");
  assert.equal(momentLabel({ kind: "shift", from: "sad_fear", to: "angry" }), "Sad or fear → angry");
});

test("supportText lists the modalities of a moment", () => {
  assert.equal(supportText({ why: [] }), "from the combination only");
  assert.equal(supportText({ why: ["face"] }), "from face");
  assert.equal(supportText({ why: ["face", "audio", "text"] }), "from face, voice and words");
});

test("momentIndexAt finds the moment of a picture", () => {
  const moments = [{ time: 1 }, { time: 2.5 }];
  assert.deepEqual(
    [2.504, 1, 1.8].map((time) => momentIndexAt(moments, time)),
    [1, 0, -1],
  );
});

test("rowTexts has a reading of each modality, shares and the transcript", () => {
  const face = { probabilities: { happy: 0.7, sad: 0.3 }, coverage: 0.5 };
  const text = { probabilities: { sad: 1 }, transcript: "hello" };
  assert.deepEqual(rowTexts({ modalities: { face, text } }), {
    readings: ["happy 70%", "–", "sad 100%"],
    shares: ["50%", "–"],
    transcript: "hello",
  });
});

test("wordShares are relative to the greatest weight", () => {
  const words = [
    { word: "so", weight: -0.1 },
    { word: "good", weight: 0.4 },
  ];
  assert.deepEqual(
    wordShares(words).map(({ share }) => share),
    [-25, 100],
  );
  assert.equal(wordShares([{ word: "a", weight: 0 }])[0].share, 0);
});

test("nearestImage is at most a second away", () => {
  const images = [1, 2, 4].map((time) => ({ time, image: `at ${time}` }));
  assert.deepEqual(
    [0, 1.4, 1.6, 3, 3.5, 5.5].map((time) => nearestImage(images, time)),
    ["at 1", "at 1", "at 2", "at 2", "at 4", null],
  );
});

test("peaks are relative to the loudest stretch", () => {
  assert.deepEqual(peaks([[0.1, -0.2, 0.4, 0]], 2), [[0.5, 1]]);
  assert.deepEqual(peaks([[0, 0]], 2), [[0, 0]]);
  assert.deepEqual(
    peaks(
      [
        [0.1, -0.1],
        [0.4, 0],
      ],
      2,
    ),
    [
      [0.25, 0.25],
      [1, 0],
    ],
  );
});

test("differenceText has a sign", () => {
  assert.deepEqual(
    [differenceText(0.2, 0.5), differenceText(0.5, 0.2), differenceText(0.5, 0.501)],
    ["+30", "−30", "±0"],
  );
});

test("appendPoint meets the point before halfway and forgets what is old", () => {
  const points = [];
  for (const time of [0, 1, 3]) assert.equal(appendPoint(points, time, null, time - 60), true);
  assert.deepEqual(
    points.map(({ from, to }) => [from, to]),
    [
      [0, 0.5],
      [0.5, 2],
      [2, 3],
    ],
  );
  assert.equal(appendPoint(points, 3, null, -57), false);
  appendPoint(points, 63, null, 3);
  assert.equal(points[0].time, 3);
});

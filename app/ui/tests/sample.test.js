import assert from "node:assert/strict";
import { test } from "node:test";

import { sampleResult } from "../js/lib/sample.js";

test("the example covers its length with readings that sum to 1, and each sentence has a speaker", () => {
  const { windows, media, transcript, people, moments } = sampleResult();
  assert.equal(windows[0].start, 0);
  assert.equal(windows[windows.length - 1].end, media.duration);
  for (const { probabilities } of [...windows, ...windows.map(({ modalities }) => modalities.audio)]) {
    const sum = Object.values(probabilities).reduce((total, share) => total + share, 0);
    assert.ok(Math.abs(sum - 1) < 1e-9);
  }
  const numbers = people.map(({ person }) => person);
  assert.ok(transcript.segments.every(({ person }) => numbers.includes(person)));
  assert.ok(moments.every(({ time }) => time < media.duration));
});

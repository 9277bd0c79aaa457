import assert from "node:assert/strict";
import { test } from "node:test";

import { LiveRecording } from "../js/lib/live-recording.js";
import { levelOf } from "../js/lib/recorder.js";

test("a live recording is CSV with empty cells for what was not seen or heard", () => {
  const recording = new LiveRecording();
  assert.ok(recording.isEmpty);
  const probabilities = { happy: 0.75, sad: 0.25 };
  recording.add({ time: 1, emotion: "happy", probabilities, modalities: { face: { probabilities }, audio: null } });
  recording.add({ time: 2.5, emotion: null, probabilities: { happy: 0.5, sad: 0.5 }, modalities: {} });
  const [head, first, second] = recording.csv().split("\r\n");
  assert.equal(head, "time,emotion,combined_happy,combined_sad,face_happy,face_sad,audio_happy,audio_sad");
  assert.equal(first, "1.00,happy,0.7500,0.2500,0.7500,0.2500,,");
  assert.equal(second, "2.50,,,,,,,");
  recording.clear();
  assert.ok(recording.isEmpty);
});

test("levelOf is 0 for silence and rises to 1", () => {
  assert.equal(levelOf(new Int16Array(100)), 0);
  assert.ok(Math.abs(levelOf(new Int16Array(100).fill(-32768)) - 1) < 1e-9);
  const middle = levelOf(new Int16Array(100).fill(1036));
  assert.ok(middle > 0.45 && middle < 0.55);
});

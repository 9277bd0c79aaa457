import assert from "node:assert/strict";
import { test } from "node:test";

import { AUDIO, FRAME, deviceErrorText, packet } from "../js/lib/recorder.js";

test("packet has kind, time and payload", () => {
  const message = packet(AUDIO, 1.5, new Uint8Array([7, 8]).buffer);
  const view = new DataView(message.buffer);
  assert.equal(view.getUint8(0), 2);
  assert.equal(view.getFloat64(1, true), 1.5);
  assert.deepEqual([...message.slice(9)], [7, 8]);
  assert.equal(packet(FRAME, 0, new ArrayBuffer(0))[0], 1);
});

test("deviceErrorText explains pages that may not use a camera", () => {
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  assert.match(deviceErrorText(new Error("x")), /HTTPS/);
});

test("deviceErrorText says what to do, and names an error that it does not know", () => {
  Object.defineProperty(globalThis, "navigator", { value: { mediaDevices: {} }, configurable: true });
  assert.match(deviceErrorText(new DOMException("", "NotAllowedError")), /Allow access/);
  assert.match(deviceErrorText(new DOMException("", "Strange")), /Strange/);
});

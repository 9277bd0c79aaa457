import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Playback } from "../js/lib/playback.js";
import { synchronize } from "../js/views/compare.js";

let now = 0;
let nextFrame = null;

/** Let time pass, with one animation frame at its end. */
function advance(seconds) {
  now += seconds * 1000;
  const frame = nextFrame;
  nextFrame = null;
  frame?.();
}

beforeEach(() => {
  now = 0;
  nextFrame = null;
  Object.defineProperty(globalThis, "performance", { value: { now: () => now }, configurable: true });
  globalThis.requestAnimationFrame = (callback) => {
    nextFrame = callback;
    return 1;
  };
  globalThis.cancelAnimationFrame = () => {
    nextFrame = null;
  };
});

/** A media element as far as Playback uses it. */
class FakeMedia extends EventTarget {
  currentTime = 0;
  paused = true;
  ended = false;

  async play() {
    this.paused = false;
    this.dispatchEvent(new Event("play"));
  }

  pause() {
    this.paused = true;
    this.dispatchEvent(new Event("pause"));
  }
}

test("seek stays within the duration and reports the time", () => {
  const playback = new Playback(10);
  const times = [];
  playback.addEventListener("time", () => times.push(playback.time));
  for (const time of [4, -3, 99]) playback.seek(time);
  assert.deepEqual(times, [4, 0, 10]);
});

test("without media an own clock runs to the end and stops", () => {
  const playback = new Playback(3);
  playback.play();
  assert.equal(playback.playing, true);
  advance(1);
  assert.equal(playback.time, 1);
  playback.seek(2);
  advance(0.5);
  assert.equal(playback.time, 2.5);
  advance(5);
  assert.equal(playback.time, 3);
  assert.equal(playback.playing, false);
});

test("play at the end starts from the beginning", () => {
  const playback = new Playback(3);
  playback.seek(3);
  playback.toggle();
  assert.equal(playback.time, 0);
  playback.toggle();
  assert.equal(playback.playing, false);
});

test("attached media continue from the current time and set it", () => {
  const playback = new Playback(10);
  const media = new FakeMedia();
  playback.seek(4);
  playback.attach(media);
  assert.equal(media.currentTime, 4);
  media.currentTime = 7;
  assert.equal(playback.time, 7);
  playback.seek(2);
  assert.equal(media.currentTime, 2);
});

test("attached media that cannot be played leave the own clock at the same time", () => {
  const playback = new Playback(10);
  playback.attach(new FakeMedia());
  playback.seek(6);
  playback.attach(null);
  assert.equal(playback.time, 6);
});

test("state events follow the media", () => {
  const playback = new Playback(10);
  const media = new FakeMedia();
  playback.attach(media);
  const states = [];
  playback.addEventListener("state", () => states.push(playback.playing));
  playback.play();
  playback.pause();
  assert.deepEqual(states, [true, false]);
});

test("synchronized playbacks seek together, the shorter one up to its end", () => {
  const [long, short] = [new Playback(10), new Playback(3)];
  const controller = new AbortController();
  synchronize([long, short], controller.signal);
  long.seek(2);
  assert.equal(short.time, 2);
  long.seek(8);
  assert.equal(short.time, 3);
  short.seek(1);
  assert.equal(long.time, 1);
  long.play();
  controller.abort();
  assert.equal(long.playing, false);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import { keyAction, secondsOf } from "../js/lib/player-keys.js";

const press = (key, own = {}) => ({ key, ctrlKey: false, metaKey: false, altKey: false, ...own });
const inside = (selector) => ({ closest: (candidates) => candidates.includes(selector), matches: () => false });

test("keyAction knows the keys of other players", () => {
  assert.equal(keyAction(press(" "), null), "toggle");
  assert.equal(keyAction(press("K"), null), "toggle");
  assert.deepEqual(keyAction(press("j"), null), { jump: -10 });
  assert.deepEqual(keyAction(press("."), null), { frames: 1 });
  assert.equal(keyAction(press("x"), null), null);
});

test("keyAction leaves keys to the browser, to fields and to sliders", () => {
  assert.equal(keyAction(press("c", { ctrlKey: true }), null), null);
  assert.equal(keyAction(press("m"), inside("input")), null);
  assert.equal(keyAction(press("ArrowLeft"), inside("[role=slider]")), null);
});

test("keyAction lets the space key press buttons, other keys still work there", () => {
  assert.equal(keyAction(press(" "), inside("button")), null);
  assert.equal(keyAction(press("m"), inside("button")), "mute");
});

test("secondsOf a frame follows the frame rate", () => {
  assert.equal(secondsOf({ frames: -1 }, 50), -0.02);
  assert.equal(secondsOf({ frames: 2 }, null), 0.08);
  assert.equal(secondsOf({ jump: 10 }, 50), 10);
});

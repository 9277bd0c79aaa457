import assert from "node:assert/strict";
import { test } from "node:test";

import { pathOf, placeOf, signed } from "../js/lib/dimensions.js";

/**
 * @param {number} start
 * @param {number | null} valence
 * @returns {Pick<Api.Window, "start" | "end" | "dimensions">}
 */
const window = (start, valence) => ({
  start,
  end: start + 4,
  dimensions: valence === null ? null : { valence, arousal: 0.5, dominance: null, source: "emotions" },
});

test("placeOf has pleasant at the right and excited at the top", () => {
  assert.deepEqual(placeOf({ valence: 1, arousal: 1 }), { x: 1, y: 0 });
  assert.deepEqual(placeOf({ valence: -1, arousal: -1 }), { x: 0, y: 1 });
  assert.deepEqual(placeOf({ valence: 0, arousal: 0 }), { x: 0.5, y: 0.5 });
});

test("pathOf leaves out windows without dimensions", () => {
  assert.deepEqual(pathOf([window(0, 0), window(2, null), window(4, 1)]), [
    { x: 0.5, y: 0.25, time: 2 },
    { x: 1, y: 0.25, time: 6 },
  ]);
});

test("signed has two decimals and a sign", () => {
  assert.deepEqual([0.25, -0.1, 0].map(signed), ["+0.25", "−0.10", "+0.00"]);
});

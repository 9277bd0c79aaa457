import assert from "node:assert/strict";
import { test } from "node:test";

import { boxOnScreen, containedRectangle, displaySize } from "../js/lib/geometry.js";

test("a box is right on a picture with bars and wide pixels", () => {
  // Frames of 100×100 pixels, shown as 200×100 in an area of 400×400: half as high, bars above and below.
  const shown = containedRectangle({ width: 200, height: 100 }, { width: 400, height: 400 });
  const box = boxOnScreen({ x: 50, y: 50, width: 10, height: 10 }, { width: 100, height: 100 }, shown);
  assert.deepEqual(box, { x: 200, y: 200, width: 40, height: 20 });
});

test("displaySize is that of the loaded video or image", () => {
  const fallback = { width: 3, height: 2 };
  assert.deepEqual(displaySize({ videoWidth: 200, videoHeight: 100 }, fallback), { width: 200, height: 100 });
  assert.deepEqual(displaySize({ naturalWidth: 20, naturalHeight: 10 }, fallback), { width: 20, height: 10 });
  assert.equal(displaySize({ videoWidth: 0, videoHeight: 0 }, fallback), fallback);
  assert.equal(displaySize(null, fallback), fallback);
});

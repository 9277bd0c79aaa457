import assert from "node:assert/strict";
import { test } from "node:test";

import { panned, shareOf, spaced, ticks, viewBetween, viewShowing, zoomed } from "../js/lib/time-view.js";

const WHOLE = { start: 0, end: 100 };

test("shareOf is 0 at the start and 1 at the end", () => {
  const view = { start: 10, end: 30 };
  assert.deepEqual(
    [10, 15, 30].map((time) => shareOf(view, time)),
    [0, 0.25, 1],
  );
});

test("zoomed keeps the place of the time around which it zooms", () => {
  assert.deepEqual(zoomed(WHOLE, 0.5, 50, 100), { start: 25, end: 75 });
  assert.deepEqual(zoomed(WHOLE, 0.5, 20, 100), { start: 10, end: 60 });
});

test("zoomed stays within the media", () => {
  assert.deepEqual(zoomed({ start: 0, end: 50 }, 2, 0, 100), WHOLE);
  assert.deepEqual(zoomed({ start: 40, end: 60 }, 0.5, 90, 100), { start: 80, end: 90 });
});

test("zoomed shows two seconds at least, or all of shorter media", () => {
  assert.deepEqual(zoomed({ start: 10, end: 13 }, 0.1, 10, 100), { start: 10, end: 12 });
  assert.deepEqual(zoomed({ start: 0, end: 1 }, 0.5, 0.5, 1), { start: 0, end: 1 });
});

test("panned stops at both ends", () => {
  const view = { start: 10, end: 30 };
  assert.deepEqual(panned(view, 15, 100), { start: 15, end: 35 });
  assert.deepEqual(panned(view, -5, 100), { start: 0, end: 20 });
  assert.deepEqual(panned(view, 95, 100), { start: 80, end: 100 });
});

test("ticks are at round seconds, as many as there is room for", () => {
  assert.deepEqual(ticks({ start: 0, end: 5 }, 10), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual(ticks({ start: 3, end: 60 }, 6), [10, 20, 30, 40, 50, 60]);
  assert.deepEqual(ticks({ start: 0, end: 36_000 }, 2), [0, 7200, 14_400, 21_600, 28_800, 36_000]);
});

test("viewBetween takes two times in any order and is not too narrow", () => {
  assert.deepEqual(viewBetween(40, 10, 100), { start: 10, end: 40 });
  assert.deepEqual(viewBetween(99.5, 99.6, 100), { start: 98, end: 100 });
  assert.deepEqual(viewBetween(0, 1, 1), { start: 0, end: 1 });
});

test("viewShowing keeps a view that shows the time and moves another one", () => {
  const view = { start: 10, end: 20 };
  assert.equal(viewShowing(view, 15, 100), view);
  assert.deepEqual(viewShowing(view, 50, 100), { start: 48, end: 58 });
  assert.deepEqual(viewShowing(view, 100, 100), { start: 90, end: 100 });
});

test("spaced keeps the more important of two neighbours", () => {
  const kept = spaced([50, 0, 60, 20], (position) => position, 25);
  assert.deepEqual(kept, [50, 0]);
});

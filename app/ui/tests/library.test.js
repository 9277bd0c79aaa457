import assert from "node:assert/strict";
import { test } from "node:test";

import { groupMean, matches, sorted } from "../js/lib/library.js";

const job = (name, own = {}) => ({ media: { name }, tags: [], created_at: "2026-01-01T00:00:00Z", ...own });
const summary = (emotion, probabilities, duration = null) => ({ emotion, probabilities, duration });

test("matches finds parts of names and tags in any case", () => {
  const one = job("Interview Anna.mp4", { tags: ["study-7"] });
  for (const text of ["", "anna", "STUDY", "inter study-7", "  "]) assert.ok(matches(one, text), text);
  for (const text of ["ben", "anna ben"]) assert.ok(!matches(one, text), text);
});

test("sorted orders by age, name, length or emotion and leaves the list as it is", () => {
  const jobs = [
    job("b", { created_at: "2026-01-01", summary: summary("sad", {}, 10) }),
    job("a", { created_at: "2026-01-03", summary: summary("angry", {}, 90) }),
    job("c", { created_at: "2026-01-02" }),
  ];
  const names = (order) => sorted(jobs, order).map(({ media }) => media.name);
  assert.deepEqual(names("newest"), ["a", "c", "b"]);
  assert.deepEqual(names("name"), ["a", "b", "c"]);
  assert.deepEqual(names("length"), ["a", "b", "c"]);
  assert.deepEqual(names("emotion"), ["a", "b", "c"]);
  assert.deepEqual(names("unknown"), ["a", "c", "b"]);
  assert.equal(jobs[0].media.name, "b");
});

test("groupMean is the mean of all that have a reading", () => {
  const jobs = [
    { summary: summary("happy", { happy: 0.8, neutral: 0.2 }) },
    { summary: summary("neutral", { happy: 0.2, neutral: 0.8 }) },
    { summary: summary(null, { happy: 0.5, neutral: 0.5 }) },
    { summary: null },
  ];
  assert.deepEqual(groupMean(jobs), [
    ["happy", 0.5],
    ["neutral", 0.5],
  ]);
});

test("groupMean is null without readings or with different sets of emotions", () => {
  assert.equal(groupMean([{ summary: null }, {}]), null);
  const different = [{ summary: summary("happy", { happy: 1 }) }, { summary: summary("sad", { sad: 1 }) }];
  assert.equal(groupMean(different), null);
});

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  capitalize,
  countOf,
  formatAge,
  formatBytes,
  formatPercent,
  formatSpan,
  formatTime,
  languageName,
} from "../js/lib/format.js";

test("formatTime pads seconds, carries rounding and adds hours", () => {
  assert.equal(formatTime(0), "0:00.0");
  assert.equal(formatTime(64.45), "1:04.5");
  assert.equal(formatTime(59.96), "1:00.0");
  assert.equal(formatTime(3723.04), "1:02:03.0");
  assert.equal(formatTime(7, 0), "0:07");
  assert.equal(formatTime(-1), "0:00.0");
});

test("formatSpan joins two times", () => assert.equal(formatSpan({ start: 2, end: 5 }), "0:02.0 – 0:05.0"));

test("formatPercent rounds", () => assert.equal(formatPercent(0.776), "78%"));

test("formatBytes chooses a unit and one digit below ten", () => {
  const cases = { 0: "0 B", 16: "16 B", 1500: "1.5 kB", 128_000: "128 kB", 4_000_000: "4.0 MB", 7e12: "7000 GB" };
  for (const [count, text] of Object.entries(cases)) assert.equal(formatBytes(Number(count)), text);
});

test("formatAge is relative for a day, then a date", () => {
  const now = Date.parse("2026-05-10T12:00:00Z");
  assert.equal(formatAge("2026-05-10T11:59:30Z", now), "just now");
  assert.equal(formatAge("2026-05-10T11:55:00Z", now), "5 min ago");
  assert.equal(formatAge("2026-05-10T08:59:00Z", now), "3 h ago");
  assert.match(formatAge("2026-05-01T12:00:00Z", now), /2026/);
});

test("languageName knows codes and passes others on", () => {
  assert.equal(languageName("de"), "German");
  assert.equal(languageName("qqq"), "qqq");
});

test("countOf inflects the noun", () => {
  assert.equal(countOf(1, "file"), "1 file");
  assert.equal(countOf(2, "file"), "2 files");
  assert.equal(countOf(0, "analysis", "analyses"), "0 analyses");
});

test("capitalize changes the first letter only", () => assert.equal(capitalize("sad or Fear"), "Sad or Fear"));

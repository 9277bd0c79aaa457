// Search in lists that are ordered by time, with the same rules as ml/reports/interval_index.py.

import { topReading } from "./emotions.js";

/** @typedef {Pick<Api.Window, "start" | "end" | "emotion" | "probabilities">} TimedReading */

/**
 * Return the index of the last item that is not after `time`; -1 if all are.
 * @template Item
 * @param {Item[]} items ordered by time
 * @param {number} time
 * @param {(item: Item) => number} timeOf
 */
export function lastIndexUntil(items, time, timeOf) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(items[middle]) <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/**
 * Divide the time axis among windows: two neighbours meet halfway between the end of one and the start of the next.
 * @template {{ start: number, end: number }} Window
 * @param {Window[]} windows
 */
export function windowSpans(windows) {
  /** @param {number} index */
  const border = (index) => (windows[index].end + windows[index + 1].start) / 2;
  return windows.map((window, index) => ({
    window,
    from: index === 0 ? window.start : border(index - 1),
    to: index === windows.length - 1 ? window.end : border(index),
  }));
}

/**
 * Return a function from a time to the window shown at that time; null if there are no windows.
 * @template {{ start: number, end: number }} Window
 * @param {Window[]} windows
 * @returns {(time: number) => Window | null}
 */
export function windowFinder(windows) {
  const spans = windowSpans(windows);
  return (time) =>
    spans[
      Math.max(
        lastIndexUntil(spans, time, (span) => span.from),
        0,
      )
    ]?.window ?? null;
}

/**
 * Return the mean of the readings between two times, each weighted by its overlap; null if none has a signal.
 * @param {TimedReading[]} windows
 * @param {number} start
 * @param {number} end
 */
export function meanReading(windows, start, end) {
  const first = lastIndexUntil(windows, start, (window) => window.end) + 1;
  const last = lastIndexUntil(windows, end, (window) => window.start) + 1;
  const weighted = windows
    .slice(first, last)
    .filter(({ emotion }) => emotion !== null)
    .map((window) => ({
      weight: Math.min(window.end, end) - Math.max(window.start, start),
      probabilities: window.probabilities,
    }));
  const total = weighted.reduce((sum, { weight }) => sum + weight, 0);
  if (!total) return null;
  const labels = Object.keys(weighted[0].probabilities);
  const means = labels.map((label) => [
    label,
    weighted.reduce((sum, { weight, probabilities }) => sum + weight * probabilities[label], 0) / total,
  ]);
  return topReading(Object.fromEntries(means));
}

// Questions to things in order of time, as ml/reports/interval_index.py answers them.

import { readingOf } from "./emotions.js";

/** The index of the last item whose `time` is at most `time`; -1 before the first. */
export function lastBefore(items, time, timeOf = (item) => item.time) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(items[middle]) <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The stretch that each window speaks for: borders halfway between the end of one and the start of the next. */
export function cells(windows) {
  const border = (index) => (windows[index].end + windows[index + 1].start) / 2;
  return windows.map((window, index) => ({
    window,
    from: index === 0 ? window.start : border(index - 1),
    to: index === windows.length - 1 ? window.end : border(index),
  }));
}

/** A function from a time to the window that speaks for it; null where there are none. */
export function windowFinder(windows) {
  const stretches = cells(windows);
  return (time) => stretches[Math.max(lastBefore(stretches, time, (cell) => cell.from), 0)]?.window ?? null;
}

/** The mean reading of the windows over a stretch, each by the time it shares with it. Null without evidence. */
export function readingOver(windows, start, end) {
  const [first, last] = [lastBefore(windows, start, (window) => window.end) + 1, lastBefore(windows, end, (window) => window.start) + 1];
  const shares = windows
    .slice(first, last)
    .filter(({ emotion }) => emotion !== null)
    .map((window) => [Math.min(window.end, end) - Math.max(window.start, start), window]);
  const total = shares.reduce((sum, [share]) => sum + share, 0);
  if (!total) return null;
  const labels = Object.keys(shares[0][1].probabilities);
  const mean = (label) => shares.reduce((sum, [share, window]) => sum + share * window.probabilities[label], 0) / total;
  return readingOf(Object.fromEntries(labels.map((label) => [label, mean(label)])));
}

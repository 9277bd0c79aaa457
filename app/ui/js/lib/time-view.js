// Arithmetic of the visible part of a time axis: zoom, pan, tick marks.

const TICK_STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
const MAX_TICK_STEP = 7200;

/** Seconds that the narrowest view shows. */
const MIN_VIEW_SECONDS = 2;

/** @typedef {{ start: number, end: number }} TimeView seconds */

/**
 * @param {number} value
 * @param {number} min
 * @param {number} max
 */
export const clamp = (value, min, max) => Math.min(Math.max(value, min), max);

/**
 * Return the position of a time in a view: 0 at its start, 1 at its end.
 * @param {TimeView} view
 * @param {number} time
 */
export const shareOf = (view, time) => (time - view.start) / (view.end - view.start);

/**
 * Return a view of the same length, or of `length` seconds, that starts at `start` but does not leave the media.
 * @param {TimeView} view
 * @param {number} start
 * @param {number} duration
 * @param {number} [length]
 * @returns {TimeView}
 */
export function panned(view, start, duration, length = view.end - view.start) {
  const bounded = clamp(start, 0, duration - length);
  return { start: bounded, end: bounded + length };
}

/**
 * Return a view that is `factor` times as long; the time `around` keeps its position.
 * @param {TimeView} view
 * @param {number} factor
 * @param {number} around
 * @param {number} duration
 */
export function zoomed(view, factor, around, duration) {
  const length = clamp((view.end - view.start) * factor, Math.min(MIN_VIEW_SECONDS, duration), duration);
  const share = clamp(shareOf(view, around), 0, 1);
  return panned(view, around - share * length, duration, length);
}

/**
 * Return the times of tick marks at round seconds, about `maxCount` at most.
 * @param {TimeView} view
 * @param {number} maxCount
 */
export function ticks({ start, end }, maxCount) {
  const step = TICK_STEPS.find((seconds) => (end - start) / seconds <= maxCount) ?? MAX_TICK_STEP;
  const times = [];
  for (let time = Math.ceil(start / step) * step; time <= end; time += step) times.push(time);
  return times;
}

/**
 * Return the view between two times in any order, at least as long as the narrowest view.
 * @param {number} first
 * @param {number} second
 * @param {number} duration
 */
export function viewBetween(first, second, duration) {
  const length = clamp(Math.abs(second - first), Math.min(MIN_VIEW_SECONDS, duration), duration);
  return panned({ start: 0, end: length }, Math.min(first, second), duration);
}

/** Share of a view that is before a time to which the view moves. */
const LEAD_SHARE = 0.2;

/**
 * Return a view that shows a time: the same one if it does already.
 * @param {TimeView} view
 * @param {number} time
 * @param {number} duration
 */
export function viewShowing(view, time, duration) {
  if (time >= view.start && time <= view.end) return view;
  return panned(view, time - LEAD_SHARE * (view.end - view.start), duration);
}

/**
 * Return the items that have room: of two that are nearer than `distance`, the first in the list.
 * @template Item
 * @param {Item[]} items the most important first
 * @param {(item: Item) => number} positionOf
 * @param {number} distance
 */
export function spaced(items, positionOf, distance) {
  /** @type {Item[]} */
  const kept = [];
  for (const item of items) {
    const position = positionOf(item);
    if (kept.every((other) => Math.abs(positionOf(other) - position) >= distance)) kept.push(item);
  }
  return kept;
}

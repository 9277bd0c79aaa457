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

// Names and ranking of moments: peaks of one emotion and shifts from one to another.

import { labelOf } from "./emotions.js";
import { capitalize } from "./format.js";
import { STRINGS } from "./strings.js";
import { MODALITY_LABELS } from "./tables.js";

/** Seconds by which the time of a moment's picture may differ from that of the moment. */
const TIME_TOLERANCE = 0.01;

/**
 * Return `Happy peak` or `Neutral → angry`.
 * @param {Pick<Api.Moment, "kind" | "from" | "to">} moment
 */
export const momentLabel = ({ kind, from, to }) =>
  capitalize(kind === "peak" ? STRINGS.moments.peak(labelOf(to)) : `${labelOf(from)} → ${labelOf(to)}`);

/**
 * Say which modalities support a moment.
 * @param {Pick<Api.Moment, "why">} moment
 */
export function supportText({ why }) {
  if (!why.length) return STRINGS.moments.fromTheCombinationOnly;
  const names = why.map((modality) => MODALITY_LABELS[modality].toLowerCase());
  return STRINGS.moments.from(new Intl.ListFormat(STRINGS.locale).format(names));
}

/**
 * Return the index of the moment at a time; -1 without one.
 * @param {{ time: number }[]} moments
 * @param {number} time
 */
export const momentIndexAt = (moments, time) =>
  moments.findIndex((moment) => Math.abs(moment.time - time) < TIME_TOLERANCE);

/** Factor by which an earlier moment of the same emotion lowers the rank of another one. */
const REPEAT_FACTOR = 0.8;
/** Seconds within which a moment lowers the rank of any other one, and the factor. */
const NEAR_SECONDS = 10;
const NEAR_FACTOR = 0.7;

/**
 * Return moments in an order in which the first ones differ: each counts less, the more moments of its emotion, and the
 * more neighbours in time, stand before it.
 * @template {Pick<Api.Moment, "time" | "to" | "score">} Moment
 * @param {Moment[]} moments
 * @returns {Moment[]}
 */
export function diverseOrder(moments) {
  const left = moments.map((moment) => ({ moment, value: moment.score }));
  const order = [];
  while (left.length) {
    const best = left.reduce((winner, item, index) => (item.value > left[winner].value ? index : winner), 0);
    const [{ moment }] = left.splice(best, 1);
    order.push(moment);
    for (const item of left) {
      if (item.moment.to === moment.to) item.value *= REPEAT_FACTOR;
      if (Math.abs(item.moment.time - moment.time) < NEAR_SECONDS) item.value *= NEAR_FACTOR;
    }
  }
  return order;
}

/**
 * Which moments are shown; null: all.
 * @typedef {{ emotion: string | null, modality: string | null, person: number | null, view: { start: number, end: number } | null }} MomentFilter
 */

/**
 * Return whether a filter shows a moment.
 * @param {Pick<Api.Moment, "time" | "to" | "why"> & { person?: number | null }} moment
 * @param {MomentFilter} filter
 */
export const isShown = (moment, { emotion, modality, person, view }) =>
  (emotion === null || moment.to === emotion) &&
  (modality === null || /** @type {string[]} */ (moment.why).includes(modality)) &&
  (person === null || moment.person === person) &&
  (view === null || (moment.time >= view.start && moment.time <= view.end));

/**
 * Return where a moment is strongest, and the stretch that it was read from: the frame of a face with the highest
 * probability of the emotion, if the face supports it; otherwise the time of the moment.
 * @param {Pick<Api.Moment, "time" | "kind" | "to" | "why">} moment
 * @param {Pick<Api.Result, "windows" | "faces">} result
 */
export function strongestPlace({ time, kind, to, why }, { windows, faces }) {
  const window = windows.find(
    ({ start, end, emotion }) =>
      emotion === to && (kind === "peak" ? Math.abs((start + end) / 2 - time) < TIME_TOLERANCE : end > time),
  );
  if (!window) return { time, span: { start: time, end: time } };
  const span = { start: window.start, end: window.end };
  const frames = faces.flatMap(({ frames: all }) =>
    all.filter((frame) => frame.time >= span.start && frame.time <= span.end),
  );
  if (!why.includes("face") || !frames.length) return { time, span };
  const strongest = frames.reduce((best, frame) => (frame.probabilities[to] > best.probabilities[to] ? frame : best));
  return { time: strongest.time, span };
}

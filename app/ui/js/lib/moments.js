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
 * Return moments with the most certain first.
 * @param {Api.Moment[]} moments
 */
export const rankMoments = (moments) => [...moments].sort((a, b) => b.score - a.score);

/**
 * Return the index of the moment at a time; -1 without one.
 * @param {{ time: number }[]} moments
 * @param {number} time
 */
export const momentIndexAt = (moments, time) =>
  moments.findIndex((moment) => Math.abs(moment.time - time) < TIME_TOLERANCE);

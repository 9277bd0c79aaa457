// Human ratings: what is rated at a time, lanes of a timeline, figures of agreement.

import { lastIndexUntil, windowFinder } from "./intervals.js";

/** Seconds by which a moment may be away from the current time. */
const MOMENT_TOLERANCE = 0.5;

/** @typedef {"window" | "sentence" | "moment" | "face"} RatedTarget */
/** @typedef {{ target: RatedTarget, start: number, end: number | null, track?: number }} RatedPlace */

/**
 * Return what a rating of a kind refers to at a time; null if there is nothing of that kind.
 * @param {Pick<Api.Result, "windows" | "moments" | "transcript" | "faces">} result
 * @param {RatedTarget} target
 * @param {number} time seconds
 * @returns {RatedPlace | null}
 */
export function placeAt({ windows, moments, transcript, faces }, target, time) {
  if (target === "window") {
    const window = windowFinder(windows)(time);
    return window && { target, start: window.start, end: window.end };
  }
  if (target === "sentence") {
    const { segments } = transcript;
    const segment = segments[lastIndexUntil(segments, time, ({ start }) => start)];
    return segment && time <= segment.end ? { target, start: segment.start, end: segment.end } : null;
  }
  if (target === "moment") {
    const near = moments.find((moment) => Math.abs(moment.time - time) <= MOMENT_TOLERANCE);
    return near ? { target, start: near.time, end: null } : null;
  }
  return faceAt(faces, time);
}

/**
 * @param {Api.FaceTrack[]} faces
 * @param {number} time
 * @returns {RatedPlace | null}
 */
function faceAt(faces, time) {
  const seen = faces.flatMap(({ track, frames }) => frames.map((frame) => ({ track, frame })));
  const near = seen.filter(({ frame }) => Math.abs(frame.time - time) <= MOMENT_TOLERANCE);
  if (!near.length) return null;
  const size = (/** @type {Api.Box} */ box) => box.width * box.height;
  const { track, frame } = near.reduce((best, one) => (size(one.frame.box) > size(best.frame.box) ? one : best));
  return { target: "face", start: frame.time, end: null, track };
}

/**
 * Return a lane of a timeline for each rater, with gaps where nothing is rated.
 * @param {Api.Rating[]} ratings
 * @param {string[]} labels
 * @param {number} duration seconds
 * @returns {{ id: string, group: "rater", name: string, points: import("./timeline-tracks.js").ChartPoint[] }[]}
 */
export function raterLanes(ratings, labels, duration) {
  const raters = [...new Set(ratings.filter(({ emotion }) => emotion).map(({ rater }) => rater))];
  return raters.map((rater) => ({
    id: `rater-${rater}`,
    group: "rater",
    name: rater,
    points: lanePoints(
      ratings.filter((rating) => rating.rater === rater && rating.emotion && typeof rating.end === "number"),
      labels,
      duration,
    ),
  }));
}

/**
 * @param {Api.Rating[]} ratings
 * @param {string[]} labels
 * @param {number} duration
 */
function lanePoints(ratings, labels, duration) {
  /** @type {import("./timeline-tracks.js").ChartPoint[]} */
  const points = [];
  let reached = 0;
  const add = (/** @type {number} */ from, /** @type {number} */ to, /** @type {string | null} */ emotion) => {
    if (to <= from) return;
    const probabilities = emotion && Object.fromEntries(labels.map((label) => [label, Number(label === emotion)]));
    points.push({ time: (from + to) / 2, from, to, probabilities: probabilities || null });
    reached = to;
  };
  for (const { start, end, emotion } of [...ratings].sort((a, b) => a.start - b.start)) {
    add(reached, start, null);
    add(Math.max(start, reached), Number(end), emotion ?? null);
  }
  add(reached, duration, null);
  return points;
}

/**
 * Return a figure of agreement with its interval as text: `0.62 (0.41 to 0.80)`; a dash if it is undefined.
 * @param {Api.AgreementFigure} figure
 */
export function figureText({ value, interval }) {
  if (value === null) return "–";
  const [low, high] = (interval ?? []).map((bound) => bound.toFixed(2));
  return interval ? `${value.toFixed(2)} (${low} to ${high})` : value.toFixed(2);
}

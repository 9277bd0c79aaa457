// Position of tracked faces between the frames that were analysed.

import { lastIndexUntil } from "./intervals.js";

/** A longer gap between two frames, in frame intervals, means that the face was not visible. */
const MAX_GAP_INTERVALS = 2.5;
const DEFAULT_INTERVAL = 0.25;

/** @typedef {Pick<Api.FaceFrame, "time" | "box" | "emotion" | "probabilities">} FaceFrame */
/** @typedef {{ track: number, frames: FaceFrame[] }} FaceTrack */
/** @typedef {Omit<FaceFrame, "time"> & { track: number }} ShownFace */

/**
 * Return the usual seconds between two frames of a result.
 * @param {{ frames: { time: number }[] }[]} faces
 */
export function frameInterval(faces) {
  const gaps = faces.flatMap(({ frames }) => frames.slice(1).map((frame, index) => frame.time - frames[index].time));
  gaps.sort((a, b) => a - b);
  return gaps[gaps.length >> 1] ?? DEFAULT_INTERVAL;
}

/**
 * Return a face at a time, its box interpolated between the frames before and after; null if it is not visible.
 * @param {FaceTrack} face
 * @param {number} time
 * @param {number} interval seconds between frames
 * @returns {ShownFace | null}
 */
export function faceAt(face, time, interval) {
  const index = lastIndexUntil(face.frames, time, (frame) => frame.time);
  const [before, after] = [face.frames[index], face.frames[index + 1]];
  if (before && after && after.time - before.time <= MAX_GAP_INTERVALS * interval) {
    const share = (time - before.time) / (after.time - before.time);
    const nearest = share < 0.5 ? before : after;
    return { ...nearest, track: face.track, box: interpolate(before.box, after.box, share) };
  }
  const near = [before, after].find((frame) => frame && Math.abs(frame.time - time) <= interval);
  return near ? { ...near, track: face.track } : null;
}

/**
 * Return all faces that are visible at a time.
 * @param {FaceTrack[]} faces
 * @param {number} time
 * @param {number} interval
 */
export const facesAt = (faces, time, interval) =>
  faces.map((face) => faceAt(face, time, interval)).filter((face) => face !== null);

/**
 * @param {Api.Box} from
 * @param {Api.Box} to
 * @param {number} share
 */
function interpolate(from, to, share) {
  /** @param {keyof Api.Box} side */
  const mix = (side) => from[side] + (to[side] - from[side]) * share;
  return { x: mix("x"), y: mix("y"), width: mix("width"), height: mix("height") };
}

/**
 * Return the readings of a face as points of a chart, with a gap wherever it is not visible.
 * @param {{ frames: Pick<FaceFrame, "time" | "probabilities">[] }} face
 * @param {number} interval
 * @returns {import("./timeline-tracks.js").ChartPoint[]}
 */
export function facePoints({ frames }, interval) {
  return frames.flatMap((frame, index) => {
    const before = frames[index - 1];
    const point = {
      time: frame.time,
      from: frame.time - interval / 2,
      to: frame.time + interval / 2,
      probabilities: frame.probabilities,
    };
    if (!before || frame.time - before.time <= MAX_GAP_INTERVALS * interval) return [point];
    const gap = {
      time: (frame.time + before.time) / 2,
      from: before.time + interval / 2,
      to: point.from,
      probabilities: null,
    };
    return [gap, point];
  });
}

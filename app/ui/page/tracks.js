// Faces in time: where a tracked face is between the frames that were read.

import { lastBefore } from "./axis.js";

const MOST_STEPS = 2.5; // a longer pause between two frames means that the face was away

/** The usual distance between two frames of a result, seconds. */
export function stepOf(faces) {
  const gaps = faces.flatMap(({ frames }) => frames.slice(1).map((frame, index) => frame.time - frames[index].time));
  gaps.sort((one, other) => one - other);
  return gaps[gaps.length >> 1] ?? 0.25;
}

/** The face of a track at a time, its box between those of the two frames around; null while it is away. */
export function faceAt(track, time, step) {
  const index = lastBefore(track.frames, time);
  const [before, after] = [track.frames[index], track.frames[index + 1]];
  if (before && after && after.time - before.time <= MOST_STEPS * step) {
    const share = (time - before.time) / (after.time - before.time);
    return { ...(share < 0.5 ? before : after), track: track.track, box: between(before.box, after.box, share) };
  }
  const near = [before, after].filter((frame) => frame && Math.abs(frame.time - time) <= step);
  return near.length ? { ...near[0], track: track.track } : null;
}

/** All faces at a time. */
export const facesAt = (faces, time, step) => faces.map((track) => faceAt(track, time, step)).filter(Boolean);

function between(one, other, share) {
  const mix = (side) => one[side] + (other[side] - one[side]) * share;
  return { x: mix("x"), y: mix("y"), width: mix("width"), height: mix("height") };
}

/** What a face shows over time, with a gap wherever it is away. */
export function pointsOf(track, step) {
  return track.frames.flatMap((frame, index) => {
    const before = track.frames[index - 1];
    const point = { time: frame.time, from: frame.time - step / 2, to: frame.time + step / 2, probabilities: frame.probabilities };
    const gap = before ? frame.time - before.time : 0;
    if (gap <= MOST_STEPS * step) return [point];
    const away = { time: frame.time - gap / 2, from: before.time + step / 2, to: frame.time - step / 2, probabilities: null };
    return [away, point];
  });
}

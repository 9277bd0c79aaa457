// A result as lanes of a chart: each a name and points in time, null where there was nothing to read.

import { cells } from "./axis.js";
import { MODALITIES } from "./emotions.js";
import { pointsOf, stepOf } from "./tracks.js";

/** A lane: `{id, group, name, points: [{time, from, to, probabilities or null}]}`. */
export function lanesOf(result) {
  return [
    windowLane("fusion", "fusion", "Together", result.windows, fused),
    ...Object.entries(MODALITIES).map(([id, name]) => windowLane(id, "modality", name, result.windows, (window) => window.modalities[id]?.probabilities ?? null)),
    ...(result.channels ?? []).map(({ channel, windows }) => windowLane(`channel-${channel}`, "channel", `Channel ${channel + 1}`, windows, fused)),
    ...people(result),
  ];
}

const fused = (window) => (window.emotion === null ? null : window.probabilities);

function windowLane(id, group, name, windows, probabilitiesOf) {
  const points = cells(windows).map(({ window, from, to }) => ({ time: (from + to) / 2, from, to, probabilities: probabilitiesOf(window) }));
  return { id, group, name, points };
}

/** A lane for each tracked face, where there are several. */
function people({ faces }) {
  if (faces.length < 2) return [];
  const step = stepOf(faces);
  return faces.map((track) => ({ id: `track-${track.track}`, group: "person", name: `Person ${track.track}`, points: pointsOf(track, step) }));
}

// The tracks of a timeline: combined, each modality, each audio channel, each person.

import { combinedProbabilities } from "./emotions.js";
import { facePoints, frameInterval } from "./face-tracks.js";
import { channelName } from "./format.js";
import { windowSpans } from "./intervals.js";
import { personName, windowsOf } from "./people.js";
import { STRINGS } from "./strings.js";
import { COMBINED_LABEL, MODALITIES, MODALITY_LABELS } from "./tables.js";

/**
 * Probabilities from one time to another, drawn at `time`; null if there was no signal.
 * @typedef {{ time: number, from: number, to: number, probabilities: Record<string, number> | null }} ChartPoint
 */
/** @typedef {"combined" | "modality" | "channel" | "person" | "rater"} TrackGroup */
/** @typedef {{ id: string, group: TrackGroup, name: string, points: ChartPoint[] }} TimelineTrack */
/** @typedef {Pick<Api.Window, "start" | "end" | "emotion" | "probabilities">} CombinedWindow */

/**
 * Return the tracks of a result, in the order in which they are shown: with a lane for each person, or for each face if
 * the people are not known.
 * @param {Pick<Api.Result, "windows" | "channels" | "faces"> & { people?: Api.Person[] }} result
 * @returns {TimelineTrack[]}
 */
export function timelineTracks({ windows, channels, faces, people = [] }) {
  return [
    {
      id: "combined",
      group: "combined",
      name: COMBINED_LABEL,
      points: windowPoints(windows, combinedProbabilities),
    },
    ...MODALITIES.map((modality) => ({
      id: modality,
      group: /** @type {const} */ ("modality"),
      name: MODALITY_LABELS[modality],
      points: windowPoints(windows, (window) => window.modalities[modality]?.probabilities ?? null),
    })),
    ...(channels ?? []).map(({ channel, windows: channelWindows }) => ({
      id: `channel-${channel}`,
      group: /** @type {const} */ ("channel"),
      name: channelName(channel),
      points: windowPoints(channelWindows, combinedProbabilities),
    })),
    ...(people.length ? personTracks(windows, people) : faceTracks(faces)),
  ];
}

/**
 * @template {{ start: number, end: number }} Window
 * @param {Window[]} windows
 * @param {(window: Window) => Record<string, number> | null} probabilitiesOf
 */
const windowPoints = (windows, probabilitiesOf) =>
  windowSpans(windows).map(({ window, from, to }) => ({
    time: (from + to) / 2,
    from,
    to,
    probabilities: probabilitiesOf(window),
  }));

/**
 * Return a track for each person, of what they show and say.
 * @param {Api.Window[]} windows of the whole media
 * @param {Api.Person[]} people
 * @returns {TimelineTrack[]}
 */
const personTracks = (windows, people) =>
  people.map((person) => ({
    id: `person-${person.person}`,
    group: "person",
    name: personName(person),
    points: windowPoints(windowsOf({ windows }, person), combinedProbabilities),
  }));

/**
 * Return a track for each tracked face, frame by frame.
 * @param {Api.FaceTrack[]} faces
 * @returns {TimelineTrack[]}
 */
function faceTracks(faces) {
  const interval = frameInterval(faces);
  return faces.map((face) => ({
    id: `face-${face.track}`,
    group: "person",
    name: STRINGS.timelineTracks.person(face.track),
    points: facePoints(face, interval),
  }));
}

// The people of a result: names, how long they talk, their windows, and the change that names or merges them.

import { STRINGS } from "./strings.js";
import { spacesAfter } from "./words.js";

/** @typedef {Pick<Api.Person, "person" | "name">} Named */
/** @typedef {{ start: number, end: number }} Span */

/**
 * Return the display name of a person: the caller's, or `Person 2`.
 * @param {Named} person
 */
export const personName = ({ person, name }) => name || STRINGS.people.person(person);

/**
 * Return the display name of each person by number.
 * @param {Named[]} people
 */
export const peopleNames = (people) => new Map(people.map((person) => [person.person, personName(person)]));

/**
 * Return the windows of a person on the time grid of the whole media, empty where the person is neither seen nor heard.
 * @param {Pick<Api.Result, "windows">} result
 * @param {Pick<Api.Person, "windows">} person
 * @returns {Api.Window[]}
 */
export function windowsOf({ windows }, person) {
  const own = new Map(person.windows.map((window) => [window.start, window]));
  return windows.map((window) => own.get(window.start) ?? emptyWindow(window));
}

/**
 * @param {Api.Window} window
 * @returns {Api.Window}
 */
const emptyWindow = ({ start, end, probabilities }) => ({
  start,
  end,
  emotion: null,
  confidence: 0,
  probabilities,
  modalities: { face: null, audio: null, text: null },
  missing: ["face", "audio", "text"],
});

/**
 * Return sentences, each divided where another person begins to speak, as the exports do. A sentence stays whole if its
 * words do not say who speaks them.
 * @param {Api.Segment[]} segments
 * @returns {Api.Segment[]}
 */
export const bySpeaker = (segments) => segments.flatMap(partsOf);

/** @param {Api.Segment} segment */
function partsOf(segment) {
  const { text, words } = segment;
  const spaces = spacesAfter(
    text.trim(),
    words.map(({ word }) => word.trim()),
  );
  /** @type {Api.Segment[]} */
  const parts = [];
  words.forEach((word, index) => {
    const last = parts.at(-1);
    const spoken = word.word.trim() + (spaces[index] ? " " : "");
    if (!last || (typeof word.person === "number" && word.person !== last.person)) {
      const { start, end } = word;
      parts.push({ ...segment, start, end, text: spoken, words: [word], person: word.person ?? segment.person });
    } else {
      Object.assign(last, { end: word.end, text: last.text + spoken, words: [...last.words, word] });
    }
  });
  if (parts.length < 2) return [segment];
  return parts.map((part) => ({ ...part, text: part.text.trim() }));
}

/**
 * Return the share of each person in the talk of all, by number; 0 without talk.
 * @param {Pick<Api.Person, "person" | "talk_seconds">[]} people
 */
export function talkShares(people) {
  const total = people.reduce((sum, { talk_seconds: seconds }) => sum + seconds, 0);
  return new Map(people.map(({ person, talk_seconds: seconds }) => [person, total ? seconds / total : 0]));
}

/**
 * Return the pairs of people who talk at once, with the seconds, the longest first.
 * @param {Pick<Api.Person, "person" | "speech">[]} people
 */
export function overlaps(people) {
  const pairs = people.flatMap((first, index) =>
    people.slice(index + 1).map((second) => ({
      people: /** @type {[number, number]} */ ([first.person, second.person]),
      seconds: secondsShared(first.speech, second.speech),
    })),
  );
  return pairs.filter(({ seconds }) => seconds > 0).sort((a, b) => b.seconds - a.seconds);
}

/**
 * Return the seconds that spans of two people share. The spans of each are in order and apart.
 * @param {Span[]} left
 * @param {Span[]} right
 */
export function secondsShared(left, right) {
  let [row, column, total] = [0, 0, 0];
  while (row < left.length && column < right.length) {
    const [first, second] = [left[row], right[column]];
    total += Math.max(Math.min(first.end, second.end) - Math.max(first.start, second.start), 0);
    if (first.end <= second.end) row += 1;
    else column += 1;
  }
  return total;
}

/**
 * Return the picture of a person among the artifacts: of the person, or of one of the person's faces.
 * @template {{ kind?: string, person?: number | null, track?: number | null }} Artifact
 * @param {Artifact[]} artifacts
 * @param {Pick<Api.Person, "person" | "tracks">} person
 * @returns {Artifact | null}
 */
export function pictureOf(artifacts, { person, tracks }) {
  const faces = artifacts.filter(({ track }) => typeof track === "number" && tracks.includes(track));
  return faces.find((one) => one.kind === "person" && one.person === person) ?? faces[0] ?? null;
}

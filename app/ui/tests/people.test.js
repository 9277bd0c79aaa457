import assert from "node:assert/strict";
import { test } from "node:test";

import {
  bySpeaker,
  overlaps,
  peopleNames,
  personName,
  pictureOf,
  secondsShared,
  talkShares,
  windowsOf,
} from "../js/lib/people.js";
import { timelineTracks } from "../js/lib/timeline-tracks.js";

const span = (start, end) => ({ start, end });
const window = (start, end, emotion, more = {}) => ({
  start,
  end,
  emotion,
  confidence: 1,
  probabilities: { happy: 1 },
  modalities: {},
  missing: [],
  ...more,
});
const person = (number, more = {}) => ({
  person: number,
  name: null,
  tracks: [],
  match: "none",
  speech: [],
  seen_seconds: 0,
  talk_seconds: 0,
  windows: [],
  ...more,
});

test("personName is the caller's or the number", () => {
  assert.equal(personName({ person: 2, name: null }), "Person 2");
  assert.equal(personName({ person: 2, name: "" }), "Person 2");
  assert.deepEqual([...peopleNames([person(1, { name: "Ann" }), person(2)]).values()], ["Ann", "Person 2"]);
});

test("windowsOf has gaps where the person is neither seen nor heard", () => {
  const windows = [window(0, 4, "happy"), window(2, 6, "sad"), window(4, 8, "happy")];
  const own = windowsOf({ windows }, person(1, { windows: [windows[1]] }));
  assert.deepEqual(
    own.map(({ start, emotion }) => [start, emotion]),
    [
      [0, null],
      [2, "sad"],
      [4, null],
    ],
  );
  assert.deepEqual(own[0].missing, ["face", "audio", "text"]);
});

test("talkShares are of the talk of all", () => {
  assert.deepEqual(
    [...talkShares([person(1, { talk_seconds: 3 }), person(2, { talk_seconds: 1 })])],
    [
      [1, 0.75],
      [2, 0.25],
    ],
  );
  assert.deepEqual([...talkShares([person(1)])], [[1, 0]]);
});

test("overlaps name the pairs who talk at once, the longest first", () => {
  const people = [
    person(1, { speech: [span(0, 2), span(4, 6)] }),
    person(2, { speech: [span(1, 5)] }),
    person(3, { speech: [span(5.5, 7)] }),
  ];
  assert.deepEqual(overlaps(people), [
    { people: [1, 2], seconds: 2 },
    { people: [1, 3], seconds: 0.5 },
  ]);
  assert.equal(secondsShared([], [span(0, 1)]), 0);
});

test("pictureOf is that of the person, or of one of the faces", () => {
  const face = { kind: "face", track: 1 };
  const own = { kind: "person", person: 1, track: 3 };
  assert.equal(pictureOf([face, own], person(1, { tracks: [1, 3] })), own);
  assert.equal(pictureOf([face, own], person(4, { tracks: [1] })), face);
  assert.equal(pictureOf([face, own], person(1, { tracks: [] })), null);
});

test("timelineTracks have a lane for each person in place of one for each face", () => {
  const windows = [window(0, 4, "happy"), window(2, 6, "sad")];
  const people = [person(1, { name: "Ann", windows: [windows[1]] }), person(2)];
  const faces = [{ track: 7, person: 1, frames: [{ time: 0, probabilities: { happy: 1 } }] }];
  const lanes = timelineTracks({ windows, channels: null, faces, people }).filter(({ group }) => group === "person");
  assert.deepEqual(
    lanes.map(({ name, points }) => [name, points.map(({ probabilities }) => probabilities?.happy ?? null)]),
    [
      ["Ann", [null, 1]],
      ["Person 2", [null, null]],
    ],
  );
});

test("bySpeaker divides a sentence where another person begins", () => {
  const word = (text, start, number) => ({ word: text, start, end: start + 1, person: number });
  const words = [word("How", 0, 1), word("are", 1, null), word("you?", 2, 1), word("Fine.", 3, 2)];
  const segment = { start: 0, end: 4, text: "How are you? Fine.", words, person: 1 };
  assert.deepEqual(
    bySpeaker([segment]).map(({ text, person: who, start, end }) => [text, who, start, end]),
    [
      ["How are you?", 1, 0, 3],
      ["Fine.", 2, 3, 4],
    ],
  );
  const whole = { ...segment, words: [] };
  assert.deepEqual(bySpeaker([whole]), [whole]);
});

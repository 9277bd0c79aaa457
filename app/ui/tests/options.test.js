import assert from "node:assert/strict";
import { test } from "node:test";

import {
  CHOICE_LABELS,
  OPTION_LABELS,
  SWITCH_HINTS,
  defaultOptions,
  describeOptions,
  optionOf,
  optionsFromForm,
  parseTags,
} from "../js/lib/options.js";
import { OPTIONS } from "../js/lib/tables.js";

const FORM = {
  modalities: ["face", "audio", "text"],
  windowSeconds: "4",
  hopSeconds: "2",
  frameRate: "4",
  classes: "full",
  prior: "natural",
  channels: "mix",
  audioTrack: "",
  language: "",
  minPeople: "",
  maxPeople: "",
  switches: { heatmaps: false },
};

test("every option of the service has a name, and every choice a text", () => {
  assert.deepEqual(Object.keys(OPTION_LABELS).sort(), Object.keys(OPTIONS).sort());
  for (const [name, labels] of Object.entries(CHOICE_LABELS)) {
    assert.deepEqual(Object.keys(labels), optionOf(name).enum);
  }
  for (const name of Object.keys(SWITCH_HINTS)) assert.equal(typeof optionOf(name).default, "boolean");
});

test("an untouched form asks for what the service does by default", () => {
  const { switches, ...rest } = { ...FORM, switches: {} };
  const options = optionsFromForm({ ...rest, switches });
  const defaults = defaultOptions();
  for (const [name, value] of Object.entries(options)) assert.equal(value, defaults[name], name);
});

test("optionsFromForm sends modalities only if they are some of all", () => {
  assert.equal("modalities" in optionsFromForm(FORM), false);
  assert.equal("modalities" in optionsFromForm({ ...FORM, modalities: [] }), false);
  assert.deepEqual(optionsFromForm({ ...FORM, modalities: ["face"] }).modalities, ["face"]);
});

test("optionsFromForm keeps the step within the window, so that no gap is left", () => {
  assert.equal(optionsFromForm({ ...FORM, windowSeconds: "1" }).hop_seconds, 1);
});

test("optionsFromForm passes language and switches on", () => {
  const { language, heatmaps } = optionsFromForm({ ...FORM, language: " de ", switches: { heatmaps: true } });
  assert.deepEqual([language, heatmaps], ["de", true]);
});

test("parseTags separates by commas", () => {
  assert.deepEqual(parseTags(" study-7, ,pilot "), ["study-7", "pilot"]);
  assert.deepEqual(parseTags(""), []);
});

test("describeOptions names what is set", () => {
  const described = describeOptions({ ...defaultOptions(), modalities: ["face", "text"], heatmaps: true });
  const texts = described.map(({ name, value }) => `${name}: ${value}`);
  assert.ok(texts.includes("Analyse: Face, Words"));
  assert.ok(texts.includes("Heatmaps: yes"));
  assert.ok(texts.includes("Emotions: 7 emotions"));
  assert.ok(!texts.some((text) => text.startsWith("Spoken language") || text.startsWith("Thumbnails")));
});

test("optionsFromForm sends how many people there are, if that is known", () => {
  const { min_people: least, max_people: most } = optionsFromForm({ ...FORM, minPeople: "2", maxPeople: "" });
  assert.deepEqual([least, most], [2, null]);
});

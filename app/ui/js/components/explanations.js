// Explanations of a result: what the models focused on in faces, voice and words.

import { disclosure, h } from "../lib/dom.js";
import { STRINGS } from "../lib/strings.js";
import { artifactImage } from "./artifact-image.js";
import { swatch } from "./emotion-badge.js";
import { timeButton } from "./time-button.js";

const TITLES = {
  heatmap: STRINGS.explanations.facesWhatTheModelFocused,
  voice: STRINGS.explanations.voiceWhichSoundsContributed,
  words: STRINGS.explanations.wordsForAndAgainst,
  features: STRINGS.explanations.facesFeatureMapsOfThe,
};
const SUPPORTING_COLOUR = "#D55E00";
const OPPOSING_COLOUR = "#0072B2";
/** Opacity of the background of the most important word, percent. */
const MAX_OPACITY = 55;
/** Weight with which the greatest is replaced if all are 0. */
const MIN_WEIGHT = 1e-9;

/** @typedef {import("../lib/artifacts.js").IndexedArtifact} IndexedArtifact */

/**
 * Create a card of explanations; null without any.
 * @param {IndexedArtifact[]} artifacts
 * @param {import("../lib/playback.js").Playback} playback
 * @param {AbortSignal} signal
 */
export function explanations(artifacts, playback, signal) {
  const sections = Object.entries(TITLES).flatMap(([kind, title]) => {
    const items = artifacts
      .filter((artifact) => artifact.kind === kind)
      .sort((a, b) => (a.time ?? 0) - (b.time ?? 0))
      .map((artifact) => explanationItem(artifact, playback, signal));
    if (!items.length) return [];
    return [disclosure(`${title} (${items.length})`, h("ul", { className: "explanations" }, ...items))];
  });
  if (!sections.length) return null;
  sections[0].open = true;
  return h("section", { className: "card" }, h("h2", { textContent: STRINGS.explanations.explanations }), ...sections);
}

/**
 * @param {IndexedArtifact} artifact
 * @param {import("../lib/playback.js").Playback} playback
 * @param {AbortSignal} signal
 */
function explanationItem(artifact, playback, signal) {
  const { time, emotion, words, title } = artifact;
  const caption = h(
    "p",
    {},
    timeButton(playback, time ?? 0),
    " ",
    emotion ? swatch(emotion) : null,
    " ",
    words ? emotion : title,
  );
  return h("li", {}, words ? weightedText(words) : artifactImage(artifact, signal), caption);
}

/**
 * Create a text in which the background of a word shows how much it supports the emotion (orange) or opposes it (blue).
 * @param {{ word: string, weight: number }[]} words
 */
function weightedText(words) {
  const spans = wordShares(words).flatMap(({ word, share }) => {
    const css = {
      "--emotion-colour": share >= 0 ? SUPPORTING_COLOUR : OPPOSING_COLOUR,
      "--share": `${(Math.abs(share) / 100) * MAX_OPACITY}%`,
    };
    const title = `${share > 0 ? "+" : ""}${share}`;
    return [h("span", { className: "weighted", textContent: word, title, css }), " "];
  });
  return h("p", { className: "weighted-text" }, ...spans);
}

/**
 * Return the weight of each word in percent of the greatest.
 * @param {{ word: string, weight: number }[]} words
 */
export function wordShares(words) {
  const greatest = Math.max(...words.map(({ weight }) => Math.abs(weight)), MIN_WEIGHT);
  return words.map(({ word, weight }) => ({ word, share: Math.round((weight / greatest) * 100) }));
}

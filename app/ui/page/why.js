// Why a result says what it says: what the nets looked at, listened to, and read.

import { pictureOf } from "./artifacts.js";
import { make } from "./dom.js";
import { swatch } from "./emotions.js";
import { clock } from "./format.js";

const KINDS = { heatmap: "Faces: where the net looked", voice: "Voice: what of the sound spoke for it", words: "Words: for it, or against", features: "Feature maps of the face net" };

/** A card of explanations; null where there are none. */
export function whyCard(artifacts, playback, signal) {
  const groups = Object.entries(KINDS).map(([kind, title]) => [title, artifacts.filter((artifact) => artifact.kind === kind).sort((one, other) => one.time - other.time)]).filter(([, found]) => found.length);
  if (!groups.length) return null;
  const sections = groups.map(([title, found], index) => make("details", { open: index === 0 }, make("summary", { textContent: `${title} (${found.length})` }), make("ul", { className: "why" }, found.map((artifact) => item(artifact, playback, signal)))));
  return make("section", { className: "card" }, make("h2", { textContent: "Why" }), sections);
}

function item(artifact, playback, signal) {
  const go = make("button", { type: "button", className: "sentence-time", textContent: clock(artifact.time ?? 0), ariaLabel: `Go to ${clock(artifact.time ?? 0)}`, on: { click: () => playback.seek(artifact.time ?? 0) } });
  const about = make("p", {}, go, " ", artifact.emotion ? swatch(artifact.emotion) : null, " ", artifact.words ? artifact.emotion : artifact.title);
  return make("li", {}, artifact.words ? weighed(artifact.words) : pictureOf(artifact, signal), about);
}

/** The words of a text; the ground of each tells how far it speaks for the reading (orange) or against it (blue). */
function weighed(words) {
  const most = Math.max(...words.map(({ weight }) => Math.abs(weight)), 1e-9);
  const spans = words.map(({ word, weight }) => {
    const share = Math.round((weight / most) * 100);
    const css = { "--tone": share >= 0 ? "#D55E00" : "#0072B2", "--share": `${Math.abs(share) * 0.55}%` };
    return [make("span", { className: "weighed", textContent: word, title: `${share > 0 ? "+" : ""}${share}`, css }), " "];
  });
  return make("p", { className: "weighed-text" }, ...spans.flat());
}

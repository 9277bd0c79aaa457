// Two results side by side, over one axis and one time.

import { jobPath, read } from "./api.js";
import { button, make } from "./dom.js";
import { badge, called, stacked, swatch } from "./emotions.js";
import { clock, percent } from "./format.js";
import { nameOf } from "./jobs.js";
import { lanesOf } from "./lanes.js";
import { Playback } from "./playback.js";
import { Player } from "./player.js";
import { findSource } from "./source.js";
import { Timeline } from "./timeline.js";

export async function compareView(root, ids, signal) {
  document.title = "Compare";
  const pairs = await Promise.all(ids.map(async (id) => [await read(jobPath(id), { signal }), await read(`${jobPath(id)}/result?format=json`, { signal })]));
  const duration = Math.max(...pairs.map(([, result]) => result.media.duration ?? 0));
  const playbacks = pairs.map(([, result]) => new Playback(result.media.duration));
  tie(playbacks, signal);
  const toggle = button("Play both", () => playBoth(playbacks), { icon: "play" });
  const sides = pairs.map(([job, result], index) => side(job, result, { playback: playbacks[index], duration, signal }));
  root.append(
    make("header", { className: "page-head" }, make("a", { className: "back", href: "#/", textContent: "All jobs" }), make("div", {}, make("h1", { tabIndex: -1, textContent: "Side by side" }), duration ? toggle : null)),
    make("div", { className: "sides" }, sides), difference(pairs));
}

/** One side: its player and its lanes, over the axis of the longer one. */
function side(job, result, { playback, duration, signal }) {
  const name = nameOf(job);
  const player = new Player({ result, playback, name });
  findSource(job, player, signal);
  const lanes = lanesOf(result).filter(({ group }) => group !== "person");
  const step = Math.max(duration / 50, 0.5);
  const chart = result.windows.length ? new Timeline({ lanes, labels: result.labels, playback, duration, moments: result.moments, step, signal, name: `Emotion over time in ${name}` }).element : null;
  const head = make("header", { className: "side-head" }, make("h2", {}, make("a", { href: `#/job/${job.id}`, textContent: name })), badge(result.overall));
  return make("section", { className: "card side" }, head, player.element, chart);
}

/** Where one is taken, the other follows. */
function tie(playbacks, signal) {
  let leading = false;
  for (const [index, playback] of playbacks.entries()) {
    const other = playbacks[1 - index];
    playback.addEventListener("time", () => {
      const goal = Math.min(playback.time, other.duration);
      if (leading || (playback.playing && other.playing) || Math.abs(goal - other.time) < 0.05) return;
      leading = true;
      other.seek(goal);
      leading = false;
    });
  }
  signal.addEventListener("abort", () => playbacks.forEach((playback) => playback.pause()));
}

function playBoth(playbacks) {
  const playing = playbacks.some((playback) => playback.playing);
  for (const playback of playbacks) {
    if (playing) playback.pause();
    else if (playback.duration > playback.time) playback.play();
  }
}

/** How much more of each emotion the second has than the first, over the whole. */
function difference(pairs) {
  const [[one, first], [two, second]] = pairs;
  const names = [one, two].map(nameOf);
  const alike = first.labels.join() === second.labels.join();
  if (!alike) return make("p", { className: "soft", textContent: "The two were read in different sets of emotions: their numbers cannot be compared." });
  const rows = stacked(first.labels).reverse().map((label) => {
    const values = [first, second].map(({ overall }) => overall.probabilities[label]);
    const change = Math.round((values[1] - values[0]) * 100);
    const sign = change > 0 ? "+" : change < 0 ? "−" : "±";
    return make("tr", {}, make("th", { scope: "row" }, swatch(label), called(label)), values.map((value) => make("td", { className: "number", textContent: percent(value) })), make("td", { className: "number", textContent: `${sign}${Math.abs(change)}` }));
  });
  const heads = ["Emotion", ...names, "Difference, points"].map((name, index) => make("th", { scope: "col", className: index ? "number" : "", textContent: name }));
  const lengths = make("p", { className: "soft", textContent: [first, second].map(({ media }, index) => `${names[index]}: ${media.duration === null ? "a photo" : clock(media.duration)}`).join(" · ") });
  return make("section", { className: "card" }, make("h2", { textContent: "Over the whole" }), lengths, make("div", { className: "scroll" }, make("table", { className: "windows" }, make("thead", {}, make("tr", {}, heads)), make("tbody", {}, rows))));
}

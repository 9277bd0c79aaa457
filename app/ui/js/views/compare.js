// Several results side by side, over one time axis and with one playback time.

import { badge, swatch } from "../components/emotion-badge.js";
import { loadMedia } from "../components/media-source.js";
import { Player } from "../components/player.js";
import { Timeline } from "../components/timeline.js";
import { getJob, getResult } from "../api.js";
import { button, h, icon, tableHead } from "../lib/dom.js";
import { labelOf, listOrder } from "../lib/emotions.js";
import { formatPercent, formatTime } from "../lib/format.js";
import { jobName } from "../lib/jobs.js";
import { Playback } from "../lib/playback.js";
import { STRINGS } from "../lib/strings.js";
import { timelineTracks } from "../lib/timeline-tracks.js";

/** Steps of an arrow key over the whole axis, and seconds of the shortest step. */
const STEPS_PER_AXIS = 50;
const MIN_STEP_SECONDS = 0.5;
/** Seconds by which the two playback times may differ. */
const TIME_TOLERANCE = 0.05;

/** @typedef {{ job: Api.Job, result: Api.Result, playback: Playback }} Side */

/** @type {import("./home.js").View} */
export async function compareView(root, ids, signal) {
  document.title = STRINGS.compare.compare;
  const sides = await Promise.all(
    ids.map(async (id) => {
      const [job, result] = [await getJob(id, signal), await getResult(id, signal)];
      return { job, result, playback: new Playback(result.media.duration) };
    }),
  );
  const duration = Math.max(...sides.map(({ playback }) => playback.duration));
  const playbacks = sides.map(({ playback }) => playback);
  synchronize(playbacks, signal);
  const playAll = button(STRINGS.compare.playAll, () => togglePlayback(playbacks), { icon: "play" });
  for (const playback of playbacks) {
    playback.addEventListener("state", () => {
      const playing = playbacks.some((each) => each.playing);
      const text = playing ? STRINGS.compare.pauseAll : STRINGS.compare.playAll;
      playAll.replaceChildren(icon(playing ? "pause" : "play"), h("span", { textContent: text }));
    });
  }
  root.append(
    h(
      "header",
      { className: "page-head" },
      h("a", { className: "back", href: "#/", textContent: STRINGS.compare.allAnalyses }),
      h("div", {}, h("h1", { tabIndex: -1, textContent: STRINGS.compare.compare }), duration ? playAll : null),
    ),
    h("div", { className: "comparison" }, ...sides.map((side) => sideCard(side, duration, signal))),
    comparisonCard(sides),
  );
}

/**
 * Create the card of one result: its player and its timeline, over the axis of the longer one.
 * @param {Side} side
 * @param {number} duration
 * @param {AbortSignal} signal
 */
function sideCard({ job, result, playback }, duration, signal) {
  const name = jobName(job);
  const player = new Player({ result, playback, name });
  loadMedia(job, player, signal);
  const timeline = result.windows.length
    ? new Timeline({
        tracks: timelineTracks(result).filter(({ group }) => group !== "person"),
        labels: result.labels,
        playback,
        duration,
        moments: result.moments,
        step: Math.max(duration / STEPS_PER_AXIS, MIN_STEP_SECONDS),
        signal,
        name: STRINGS.compare.timelineOf(name),
      }).element
    : null;
  const title = h("h2", {}, h("a", { href: `#/job/${job.id}`, textContent: name }));
  const head = h("header", { className: "side-head" }, title, badge(result.overall));
  return h("section", { className: "card side" }, head, player.element, timeline);
}

/**
 * Let the playbacks follow the one that seeks.
 * @param {Playback[]} playbacks
 * @param {AbortSignal} signal
 */
export function synchronize(playbacks, signal) {
  let following = false;
  /**
   * @param {Playback} playback
   * @param {Playback} other
   */
  const follow = (playback, other) => {
    const time = Math.min(playback.time, other.duration);
    if (following || (playback.playing && other.playing)) return;
    if (Math.abs(time - other.time) < TIME_TOLERANCE) return;
    following = true;
    other.seek(time);
    following = false;
  };
  for (const playback of playbacks) {
    const others = playbacks.filter((other) => other !== playback);
    playback.addEventListener("time", () => others.forEach((other) => follow(playback, other)));
  }
  signal.addEventListener("abort", () => playbacks.forEach((playback) => playback.pause()));
}

/**
 * Pause all if one plays; otherwise play those that have not ended.
 * @param {Playback[]} playbacks
 */
function togglePlayback(playbacks) {
  const playing = playbacks.some((playback) => playback.playing);
  for (const playback of playbacks) {
    if (playing) playback.pause();
    else if (playback.duration > playback.time) playback.play();
  }
}

/** @param {Side[]} sides */
function comparisonCard(sides) {
  const results = sides.map(({ result }) => result);
  const [{ labels }] = results;
  if (results.some((result) => result.labels.join() !== labels.join())) {
    const textContent = STRINGS.compare.theseWereAnalysedWithDifferent;
    return h("p", { className: "muted", textContent });
  }
  const names = sides.map(({ job }) => jobName(job));
  const lengths = results.map(
    ({ media: { duration } }, index) =>
      `${names[index]}: ${duration === null ? STRINGS.compare.photo : formatTime(duration)}`,
  );
  const isPair = sides.length === 2;
  const rows = listOrder(labels).map((label) => {
    const values = results.map(({ overall }) => overall.probabilities[label]);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const last = isPair ? differenceText(values[0], values[1]) : formatPercent(mean);
    return h(
      "tr",
      {},
      h("th", { scope: "row" }, swatch(label), labelOf(label)),
      [...values.map(formatPercent), last].map((textContent) => h("td", { className: "number", textContent })),
    );
  });
  const last = isPair ? STRINGS.compare.differencePoints : STRINGS.compare.mean;
  const head = tableHead([STRINGS.compare.emotion, ...names, last], (index) => (index ? "number" : ""));
  return h(
    "section",
    { className: "card" },
    h("h2", { textContent: STRINGS.compare.wholeFileComparison }),
    h("p", { className: "muted", textContent: lengths.join(" · ") }),
    h("div", { className: "scroll" }, h("table", { className: "windows" }, head, h("tbody", {}, ...rows))),
  );
}

/**
 * Return by how many percentage points the second of two shares is greater, with a sign.
 * @param {number} first
 * @param {number} second
 */
export function differenceText(first, second) {
  const points = Math.round((second - first) * 100);
  const sign = points > 0 ? "+" : points < 0 ? "−" : "±";
  return `${sign}${Math.abs(points)}`;
}

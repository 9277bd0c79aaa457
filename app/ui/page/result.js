// One result: player, what is read now, timeline, moments, words, numbers, files.

import { about } from "./about.js";
import { make } from "./dom.js";
import { downloads } from "./downloads.js";
import { badge } from "./emotions.js";
import { clock } from "./format.js";
import { lanesOf } from "./lanes.js";
import { momentList } from "./moments.js";
import { remark } from "./notice.js";
import { Now } from "./now.js";
import { Player } from "./player.js";
import { Playback } from "./playback.js";
import { findSource } from "./source.js";
import { windowTable } from "./table.js";
import { Timeline } from "./timeline.js";
import { TranscriptView } from "./transcript.js";

/** The view of a job that succeeded. The signal ends it. */
export function resultView(job, result, signal) {
  const playback = new Playback(result.media.duration);
  const player = new Player({ result, playback, name: job.media?.name ?? "Media" });
  findSource(job, player, signal);
  signal.addEventListener("abort", () => playback.pause());
  const summary = make("p", { className: "summary" }, "Overall ", badge(result.overall), make("span", { className: "soft", textContent: facts(result) }));
  const warnings = result.warnings.map(({ message }) => remark(message));
  const words = result.windows.length ? new TranscriptView({ result, playback }).element : null;
  const low = result.media.kind === "audio"; // beside what is read now there is room below the player
  const left = make("div", { className: "beside" }, player.element, low ? words : null);
  const top = make("div", { className: "watch" }, left, beside(result, playback));
  const [chart, table] = result.windows.length ? timed(result, playback) : [];
  const parts = [chart, low ? null : words, table].filter(Boolean);
  return make("div", { className: "result" }, summary, ...warnings, top, ...parts, downloads(job), about(result, job));
}

/** What is read now, and where else to look. */
function beside(result, playback) {
  const moments = result.windows.length ? momentList(result.moments, playback) : null;
  return make("div", { className: "beside" }, new Now({ result, playback }).element, moments);
}

/** What an image does not have. */
function timed(result, playback) {
  const step = result.windows.length > 1 ? result.windows[1].start - result.windows[0].start : result.media.duration / 10;
  const timeline = new Timeline({ lanes: lanesOf(result), labels: result.labels, playback, duration: result.media.duration, moments: result.moments, step });
  const chart = make("section", { className: "card" }, make("h2", { textContent: "Timeline" }), timeline.element);
  const table = make("details", { className: "card" }, make("summary", {}, make("h2", { textContent: "The same in numbers" })), windowTable(result, playback));
  return [chart, table];
}

function facts({ media, faces }) {
  const people = faces.length ? `${faces.length} ${faces.length === 1 ? "face" : "faces"}` : null;
  const picture = media.width ? `${media.width} × ${media.height}` : null;
  return [media.duration === null ? null : clock(media.duration), picture, people].filter(Boolean).join(" · ");
}

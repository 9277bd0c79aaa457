// One result: player, what is read now, timeline, moments, words, numbers, why, files.

import { about } from "./about.js";
import { againCard } from "./again.js";
import { ticketed } from "./api.js";
import { artifactsOf, pictureOf } from "./artifacts.js";
import { Corner } from "./corner.js";
import { make } from "./dom.js";
import { downloads } from "./downloads.js";
import { badge } from "./emotions.js";
import { clock, plural } from "./format.js";
import { nameOf } from "./jobs.js";
import { lanesOf } from "./lanes.js";
import { momentList } from "./moments.js";
import { problemNotice, remark } from "./notice.js";
import { Now } from "./now.js";
import { Playback } from "./playback.js";
import { Player } from "./player.js";
import { findSource } from "./source.js";
import { windowTable } from "./table.js";
import { Timeline } from "./timeline.js";
import { TranscriptView } from "./transcript.js";
import { whyCard } from "./why.js";

/** The view of a job that succeeded. The signal ends it. */
export function resultView(job, result, signal) {
  const playback = new Playback(result.media.duration);
  signal.addEventListener("abort", () => playback.pause());
  const player = new Player({ result, playback, name: nameOf(job) });
  const moments = momentList(result.moments, playback);
  const files = downloads(job);
  const parts = { job, result, playback, player, moments, files, signal };
  const view = make("div", { className: "result" }, summary(result), result.warnings.map(({ message }) => remark(message)), result.windows.length ? timed(parts) : still(parts), files.element, againCard(job, signal), about(result, job));
  findSource(job, player, signal);
  addArtifacts(view, parts);
  return view;
}

function summary({ media, faces, overall }) {
  const picture = media.width ? `${media.width} × ${media.height}` : null;
  const facts = [media.duration === null ? null : clock(media.duration), picture, faces.length ? plural(faces.length, "face") : null];
  return make("p", { className: "summary" }, "Overall ", badge(overall), make("span", { className: "soft", textContent: facts.filter(Boolean).join(" · ") }));
}

/** A photo: all at once. */
const still = ({ result, playback, player }) => [make("div", { className: "watch" }, player.element, new Now({ result, playback }).element)];

/** What has a timeline. Below the player of a mere recording there is room for the words. */
function timed({ result, playback, player, moments, signal }) {
  const words = new TranscriptView({ result, playback }).element;
  const low = result.media.kind === "audio";
  const left = make("div", { className: "beside" }, player.element, low ? words : null);
  const right = make("div", { className: "beside" }, new Now({ result, playback }).element, moments.element);
  const table = make("details", { className: "card" }, make("summary", {}, make("h2", { textContent: "The same in numbers" })), windowTable(result, playback));
  return [make("div", { className: "watch" }, left, right), chart(result, playback, signal), low ? null : words, table].filter(Boolean);
}

function chart(result, playback, signal) {
  const [first, second] = result.windows;
  const step = second ? second.start - first.start : result.media.duration / 10;
  const timeline = new Timeline({ lanes: lanesOf(result), labels: result.labels, playback, duration: result.media.duration, moments: result.moments, step, signal });
  return make("section", { className: "card" }, make("h2", { textContent: "Timeline" }), timeline.element);
}

/** Puts what the job made beside the result where each belongs. */
async function addArtifacts(view, { job, playback, player, moments, files, signal }) {
  try {
    const artifacts = await artifactsOf(job, signal);
    const of = (kind) => artifacts.filter((artifact) => artifact.kind === kind);
    const pictured = (kind) => of(kind).map((artifact) => ({ time: artifact.time, picture: pictureOf(artifact, signal) }));
    files.add(artifacts);
    moments.illustrate(pictured("moment"));
    if (of("heatmap").length) player.offerCorner(new Corner({ heatmaps: pictured("heatmap"), playback }));
    for (const { link } of [...of("video"), ...of("picture")]) player.offerAnnotated(() => ticketed(link));
    files.element.before(...[whyCard(artifacts, playback, signal)].filter(Boolean));
  } catch (error) {
    if (error.name !== "AbortError") files.element.before(problemNotice(error));
  }
}

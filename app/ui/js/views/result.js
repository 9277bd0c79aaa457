// One result: player, current reading, timeline, moments, transcript, table, explanations, downloads.

import { infoBox, problemAlert } from "../components/alerts.js";
import { artifactImage } from "../components/artifact-image.js";
import { CurrentReading } from "../components/current-reading.js";
import { downloads } from "../components/downloads.js";
import { badge } from "../components/emotion-badge.js";
import { explanations } from "../components/explanations.js";
import { HeatmapInset } from "../components/heatmap-inset.js";
import { loadMedia } from "../components/media-source.js";
import { modelInfo } from "../components/model-info.js";
import { MomentList } from "../components/moment-list.js";
import { Player } from "../components/player.js";
import { reanalyzeCard } from "../components/reanalyze.js";
import { Timeline } from "../components/timeline.js";
import { TranscriptView } from "../components/transcript.js";
import { windowTable } from "../components/window-table.js";
import { ticketPath } from "../api.js";
import { listArtifacts } from "../lib/artifacts.js";
import { h, present } from "../lib/dom.js";
import { certaintyText } from "../lib/emotions.js";
import { countOf, formatTime } from "../lib/format.js";
import { copyLink } from "../lib/clipboard.js";
import { jobName } from "../lib/jobs.js";
import { strongestPlace } from "../lib/moments.js";
import { keyAction } from "../lib/player-keys.js";
import { Playback } from "../lib/playback.js";
import { isAbort } from "../lib/problem.js";
import { jobFragment } from "../lib/route.js";
import { STRINGS } from "../lib/strings.js";
import { timelineTracks } from "../lib/timeline-tracks.js";

/** Steps of an arrow key in a media file that is a single window. */
const STEPS_PER_FILE = 10;

/**
 * The parts of the view of one result.
 * @typedef {object} Parts
 * @property {Api.Job} job
 * @property {Api.Result} result
 * @property {Playback} playback
 * @property {Player} player
 * @property {MomentList} moments
 * @property {ReturnType<typeof downloads>} files
 * @property {AbortSignal} signal
 */

/**
 * Create the view of a job that succeeded, until the signal aborts.
 * @param {Api.Job} job
 * @param {Api.Result} result
 * @param {AbortSignal} signal
 * @param {number | null} time seconds at which it opens; null: at the beginning
 */
export function resultView(job, result, signal, time) {
  const playback = new Playback(result.media.duration);
  signal.addEventListener("abort", () => playback.pause());
  const onCopyLink = () => copyLink(jobFragment(job.id, { time: playback.time }));
  const player = new Player({ result, playback, name: jobName(job), onCopyLink });
  const moments = new MomentList({
    moments: result.moments,
    onChoose: (moment) => playback.seek(strongestPlace(moment, result).time),
    onPlay: (moment) => playback.playSpan(strongestPlace(moment, result).span),
    onCopyLink: (moment) => copyLink(jobFragment(job.id, { time: strongestPlace(moment, result).time })),
  });
  const files = downloads(job);
  const parts = { job, result, playback, player, moments, files, signal };
  const element = h(
    "div",
    { className: "result" },
    summary(result),
    result.warnings.map(({ message }) => infoBox(message)),
    result.windows.length ? timedView(parts) : photoView(parts),
    files.element,
    reanalyzeCard(job, signal),
    modelInfo(result, job),
  );
  loadMedia(job, player, signal);
  addArtifacts(parts);
  listenToKeys(player, signal);
  if (time !== null) playback.seek(time);
  return element;
}

/**
 * @param {Player} player
 * @param {AbortSignal} signal
 */
function listenToKeys(player, signal) {
  if (player.kind === "image") return;
  const onKey = (/** @type {KeyboardEvent} */ event) => {
    const action = keyAction(event, event.target instanceof Element ? event.target : null);
    if (!action) return;
    event.preventDefault();
    player.act(action);
  };
  addEventListener("keydown", onKey, { signal });
}

/**
 * Return what a reading of the whole is called.
 * @param {Pick<Api.Media, "kind">} media
 */
export const wholeMediaLabel = ({ kind }) => (kind === "image" ? STRINGS.result.wholePhoto : STRINGS.result.wholeFile);

/** @param {Api.Result} result */
function summary({ media, faces, overall }) {
  const facts = [
    media.duration === null ? null : formatTime(media.duration),
    media.width ? `${media.width} × ${media.height}` : null,
    faces.length
      ? countOf(faces.length, media.kind === "image" ? STRINGS.result.face : STRINGS.result.faceTrack)
      : null,
  ];
  return h(
    "p",
    { className: "summary" },
    `${wholeMediaLabel(media)}: `,
    badge(overall),
    h("span", { className: "muted", textContent: facts.filter(Boolean).join(" · ") }),
    h("span", { className: "certainty", textContent: certaintyText(overall) }),
  );
}

/** @param {Parts} parts */
const photoView = ({ result, playback, player }) => [
  h("div", { className: "overview" }, player.element, new CurrentReading({ result, playback }).element),
];

/**
 * Create the view of audio or video: the timeline directly below the picture, which stays in sight.
 * @param {Parts} parts
 */
function timedView(parts) {
  const { result, playback, player, moments } = parts;
  const transcript = new TranscriptView({ result, playback }).element;
  const reading = new CurrentReading({ result, playback }).element;
  player.element.classList.add("sticky");
  const overview = h(
    "div",
    { className: "overview" },
    h("div", { className: "column" }, player.element, timelineCard(parts), transcript),
    h("div", { className: "column" }, reading, moments.element),
  );
  const table = h(
    "details",
    { className: "card" },
    h("summary", {}, h("h2", { textContent: STRINGS.result.viewAsTable })),
    windowTable(result, playback),
  );
  return [overview, table];
}

/** @param {Parts} parts */
function timelineCard({ result, playback, player, moments, signal }) {
  const [first, second] = result.windows;
  const duration = result.media.duration ?? 0;
  const timeline = new Timeline({
    tracks: timelineTracks(result),
    labels: result.labels,
    playback,
    duration,
    moments: result.moments,
    step: second ? second.start - first.start : duration / STEPS_PER_FILE,
    signal,
    onMoment: (moment) => playback.seek(strongestPlace(moment, result).time),
    onView: (view) => {
      player.setSpan(view);
      moments.setView(view);
    },
  });
  const title = h("h2", { className: "visually-hidden", textContent: STRINGS.result.timeline });
  return h("section", { className: "card timeline-card" }, title, timeline.element);
}

/**
 * Add the files that the job made: to downloads, moments, player and explanations.
 * @param {Parts} parts
 */
async function addArtifacts({ job, playback, player, moments, files, signal }) {
  try {
    const artifacts = await listArtifacts(job, signal);
    /** @param {string} kind */
    const ofKind = (kind) => artifacts.filter((artifact) => artifact.kind === kind);
    /** @param {string} kind */
    const images = (kind) =>
      ofKind(kind).map((artifact) => ({
        time: artifact.time ?? 0,
        image: artifactImage(artifact, signal),
      }));
    files.add(artifacts);
    moments.addImages(images("moment"));
    const heatmaps = images("heatmap");
    if (heatmaps.length) player.offerHeatmaps(new HeatmapInset({ heatmaps, playback }));
    for (const { link } of [...ofKind("video"), ...ofKind("picture")]) {
      player.offerAnnotated(() => ticketPath(link));
    }
    files.element.before(...present([explanations(artifacts, playback, signal)]));
  } catch (error) {
    if (!isAbort(error)) files.element.before(problemAlert(error));
  }
}

// One result: player, current reading, timeline, moments, transcript, table, explanations, downloads.

import { AffectPlane } from "../components/affect-plane.js";
import { infoBox, problemAlert } from "../components/alerts.js";
import { artifactImage } from "../components/artifact-image.js";
import { BurstLane } from "../components/burst-lane.js";
import { CurrentReading } from "../components/current-reading.js";
import { downloads } from "../components/downloads.js";
import { badge } from "../components/emotion-badge.js";
import { explanations } from "../components/explanations.js";
import { HeatmapInset } from "../components/heatmap-inset.js";
import { loadMedia } from "../components/media-source.js";
import { modelInfo } from "../components/model-info.js";
import { MomentList } from "../components/moment-list.js";
import { PeoplePanel } from "../components/people-panel.js";
import { Player } from "../components/player.js";
import { RatingsPanel } from "../components/ratings-panel.js";
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
import { peopleNames, windowsOf } from "../lib/people.js";
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
 * @property {PeoplePanel | null} people
 * @property {((person: Api.Person | null, shown: Api.Result) => void)[]} views what else shows one person, or all; `shown`: a result with the windows of the person
 * @property {AbortSignal} signal
 */

/**
 * Create the view of a job that succeeded, until the signal aborts.
 * @param {Api.Job} job
 * @param {Api.Result} result
 * @param {{
 *   signal: AbortSignal,
 *   time: number | null,
 *   person?: number | null,
 *   onChange: (state: { time: number, person: number | null }) => Promise<void>,
 * }} settings `time`: seconds at which it opens; null: at the beginning; `person`: who is shown, with the focus on the
 *   button of that person; `onChange`: the result has changed
 */
export function resultView(job, result, { signal, time, person = null, onChange }) {
  const playback = new Playback(result.media.duration);
  signal.addEventListener("abort", () => playback.pause());
  const onCopyLink = () => copyLink(jobFragment(job.id, { time: playback.time }));
  const player = new Player({ result, playback, name: jobName(job), onCopyLink });
  const moments = new MomentList({
    moments: result.moments,
    names: peopleNames(result.people),
    onChoose: (moment) => playback.seek(strongestPlace(moment, result).time),
    onPlay: (moment) => playback.playSpan(strongestPlace(moment, result).span),
    onCopyLink: (moment) => copyLink(jobFragment(job.id, { time: strongestPlace(moment, result).time })),
  });
  const files = downloads(job);
  const people = result.people.length
    ? new PeoplePanel({
        job,
        people: result.people,
        signal,
        onChoose: (chosen) => choosePerson(parts, chosen),
        onChange: (chosen) => onChange({ time: playback.time, person: chosen }),
      })
    : null;
  /** @type {Parts} */
  const parts = { job, result, playback, player, moments, files, people, signal, views: [] };
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
  if (job.links.result) {
    loadMedia(job, player, signal);
    addArtifacts(parts);
  }
  listenToKeys(player, signal);
  if (time !== null) playback.seek(time);
  if (person !== null) queueMicrotask(() => people?.open(person));
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

/**
 * Show one person in all parts of the view; null: all people.
 * @param {Parts} parts
 * @param {Api.Person | null} person
 */
function choosePerson({ result, moments, files, views }, person) {
  const number = person?.person ?? null;
  moments.setPerson(number);
  files.setPerson(number);
  const shown = person ? { ...result, windows: windowsOf(result, person) } : result;
  for (const show of views) show(person, shown);
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
  const { result, playback, player, moments, people, views } = parts;
  const transcript = new TranscriptView({ result, playback });
  const reading = new CurrentReading({ result, playback });
  const plane = new AffectPlane({ result, playback });
  player.element.classList.add("sticky");
  const overview = h(
    "div",
    { className: "overview" },
    h("div", { className: "column" }, player.element, timelineCards(parts), transcript.element),
    h("div", { className: "column" }, reading.element, people?.element, plane.element, moments.element),
  );
  const rows = h("div", {}, windowTable(result, playback));
  views.push((person, shown) => {
    transcript.setPerson(person?.person ?? null);
    reading.setWindows(shown.windows);
    plane.setWindows(shown.windows);
    rows.replaceChildren(windowTable(shown, playback));
  });
  const table = h(
    "details",
    { className: "card" },
    h("summary", {}, h("h2", { textContent: STRINGS.result.viewAsTable })),
    rows,
  );
  return [overview, table];
}

/** @param {Parts} parts */
function timelineCards({ job, result, playback, player, moments, views, signal }) {
  const [first, second] = result.windows;
  const duration = result.media.duration ?? 0;
  const bursts = new BurstLane(result.bursts, ({ start }) => playback.seek(start));
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
      bursts.draw(view);
      player.setSpan(view);
      moments.setView(view);
    },
  });
  const ratings = new RatingsPanel({ job, result, playback, onLanes: (lanes) => timeline.setRaters(lanes), signal });
  views.push((person, shown) => {
    timeline.setTracks(timelineTracks(shown));
    ratings.setPerson(person?.person ?? null);
  });
  const title = h("h2", { className: "visually-hidden", textContent: STRINGS.result.timeline });
  timeline.overview.element.before(bursts.element);
  new ResizeObserver(() => bursts.draw(timeline.view)).observe(bursts.element);
  return [h("section", { className: "card timeline-card" }, title, timeline.element), ratings.element];
}

/**
 * Add the files that the job made: to downloads, moments, player and explanations.
 * @param {Parts} parts
 */
async function addArtifacts({ job, playback, player, moments, files, people, signal }) {
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
    people?.addPictures(artifacts);
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

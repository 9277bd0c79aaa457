// Live analysis: the camera's picture with faces, the current reading and the last minute.

import { infoBox, problemAlert } from "../components/alerts.js";
import { namedReading } from "../components/emotion-badge.js";
import { drawFace } from "../components/face-overlay.js";
import { ReadingTable } from "../components/reading-table.js";
import { drawTrack, fitCanvas } from "../lib/area-chart.js";
import { announce, button, checkbox, h, select } from "../lib/dom.js";
import { combinedProbabilities, listOrder } from "../lib/emotions.js";
import { boxOnScreen, containedRectangle, displaySize } from "../lib/geometry.js";
import { LiveRecording } from "../lib/live-recording.js";
import { LiveSession } from "../lib/live-session.js";
import { saveFile } from "../lib/local-files.js";
import { STRINGS } from "../lib/strings.js";
import { COMBINED_LABEL, MODALITY_LABELS } from "../lib/tables.js";

/** Seconds of the timeline. */
const TIMELINE_SECONDS = 60;
/** Seconds that a reading can be averaged over. */
const WINDOW_CHOICES = ["2", "4", "8"];
const DEFAULT_WINDOW = "4";

/** @typedef {import("../lib/live-session.js").LiveUpdate} LiveUpdate */
/** @typedef {import("../lib/timeline-tracks.js").ChartPoint} ChartPoint */

/** @type {import("./home.js").View} */
export function liveView(root, _parameters, signal) {
  document.title = STRINGS.live.live;
  new LiveView(root, signal);
}

class LiveView {
  /** @type {LiveSession | null} */
  #session = null;
  /** @type {string[]} */
  #labels = [];
  #recording = new LiveRecording();
  /** @type {ReadingTable | null} */
  table = null;

  /**
   * @param {HTMLElement} root
   * @param {AbortSignal} signal
   */
  constructor(root, signal) {
    this.video = h("video", {
      muted: true,
      autoplay: true,
      playsInline: true,
      className: "mirrored",
    });
    this.canvas = h("canvas", { className: "overlay", ariaHidden: "true" });
    const off = h("p", { className: "stage-message", textContent: STRINGS.live.theCameraIsOff });
    const screen = h("div", { className: "screen" }, this.video, off);
    this.stage = h("div", { className: "stage live" }, screen, this.canvas);
    const onChange = () => this.#restart();
    this.camera = checkbox(STRINGS.live.camera, { checked: true, onChange });
    this.microphone = checkbox(STRINGS.live.microphone, { checked: true, onChange });
    this.cameraChoice = h("select", { ariaLabel: STRINGS.live.whichCamera, hidden: true, on: { change: onChange } });
    this.level = h("meter", { className: "level", min: 0, max: 1, ariaLabel: STRINGS.live.level });
    this.save = button(STRINGS.live.save, () => this.#save(), { icon: "download", hidden: true });
    this.windowSeconds = select(
      WINDOW_CHOICES.map((seconds) => [seconds, `${seconds} s`]),
      { value: DEFAULT_WINDOW },
    );
    this.toggle = this.#toggleButton();
    this.alerts = h("div");
    this.emotion = h("strong", { className: "current-emotion", textContent: "–" });
    this.facts = h("p", {
      className: "muted",
      textContent: STRINGS.live.resultsAppearHereAtLeast,
    });
    this.bars = h("div");
    this.tracks = [
      liveTrack(COMBINED_LABEL, combinedProbabilities),
      liveTrack(MODALITY_LABELS.face, ({ modalities }) => modalities.face?.probabilities ?? null),
      liveTrack(MODALITY_LABELS.audio, ({ modalities }) => modalities.audio?.probabilities ?? null),
    ];
    root.append(this.#header(), this.alerts, this.#overview(), this.#timelineCard());
    signal.addEventListener("abort", () => this.#stop());
  }

  #header() {
    const averaging = h("label", { className: "toggle" }, STRINGS.live.averagedOver, this.windowSeconds);
    const tools = h(
      "div",
      { className: "tools" },
      this.camera.label,
      this.cameraChoice,
      this.microphone.label,
      this.level,
      averaging,
      this.save,
      this.toggle,
    );
    const title = h("h1", { tabIndex: -1, textContent: STRINGS.live.live });
    const privacy = h("p", { className: "muted", textContent: STRINGS.live.nothingIsStored });
    return h("header", { className: "page-head" }, h("div", {}, title, tools), privacy);
  }

  #overview() {
    const reading = h(
      "section",
      { className: "card current-reading", ariaLabel: STRINGS.live.currentReading },
      h("header", {}, this.emotion),
      this.bars,
      this.facts,
    );
    const player = h("section", { className: "player", ariaLabel: STRINGS.live.camera }, this.stage);
    return h("div", { className: "overview" }, player, reading);
  }

  #timelineCard() {
    const rows = this.tracks.map(({ name, canvas }) =>
      h(
        "div",
        { className: "track track-modality" },
        h("span", { className: "track-name", textContent: name }),
        canvas,
      ),
    );
    const plot = h(
      "div",
      { className: "plot live", role: "img", ariaLabel: STRINGS.live.emotionOverTheLastMinute },
      ...rows,
    );
    return h("section", { className: "card" }, h("h2", { textContent: STRINGS.live.lastMinute }), plot);
  }

  #toggleButton() {
    return this.#session
      ? button(STRINGS.live.stop, () => this.#stop(), { icon: "stop", kind: "primary" })
      : button(STRINGS.live.start, () => this.#start(), { icon: "camera", kind: "primary" });
  }

  #updateToggle() {
    const next = this.#toggleButton();
    this.toggle.replaceWith(next);
    this.toggle = next;
  }

  async #start() {
    this.alerts.replaceChildren();
    const settings = {
      camera: this.camera.control.checked,
      microphone: this.microphone.control.checked,
      windowSeconds: Number(this.windowSeconds.value),
      deviceId: this.cameraChoice.value,
    };
    if (!settings.camera && !settings.microphone) {
      this.alerts.replaceChildren(infoBox(STRINGS.live.selectCameraMicrophoneOrBoth));
      return;
    }
    this.#recording.clear();
    this.save.hidden = true;
    const session = new LiveSession(settings, {
      onReady: (labels) => {
        this.#labels = labels;
        this.table = new ReadingTable(listOrder(labels), [COMBINED_LABEL, MODALITY_LABELS.face, MODALITY_LABELS.audio]);
        this.bars.replaceChildren(this.table.element);
        announce(STRINGS.live.live);
      },
      onLevel: (level) => {
        this.level.value = level;
      },
      onUpdate: (update) => this.#show(update),
      onClosed: (problem) => {
        this.#stop();
        this.alerts.replaceChildren(problemAlert(problem, () => this.#start()));
      },
    });
    this.#session = session;
    this.#updateToggle();
    try {
      const stream = await session.openDevices();
      if (session.stopped) return;
      this.stage.classList.add("on");
      this.video.srcObject = stream;
      await this.#listCameras(stream);
      await session.connect(this.video);
    } catch (error) {
      this.#stop();
      this.alerts.replaceChildren(problemAlert(error));
    }
  }

  /** Start again with other devices; the tracks of the last ones end at once. */
  #restart() {
    if (!this.#session) return;
    this.#stop();
    if (this.camera.control.checked || this.microphone.control.checked) this.#start();
  }

  /**
   * Offer the cameras, if there are several. Their names are known only while one is in use.
   * @param {MediaStream} stream
   */
  async #listCameras(stream) {
    const used = stream.getVideoTracks()[0]?.getSettings().deviceId;
    const cameras = (await navigator.mediaDevices.enumerateDevices()).filter(({ kind }) => kind === "videoinput");
    this.cameraChoice.hidden = cameras.length < 2;
    this.cameraChoice.replaceChildren(
      ...cameras.map(({ deviceId, label }, index) =>
        h("option", {
          value: deviceId,
          textContent: label || STRINGS.live.cameraNumber(index + 1),
          selected: deviceId === used,
        }),
      ),
    );
  }

  #save() {
    saveFile(new Blob([this.#recording.csv()], { type: "text/csv" }), "affect-live.csv");
  }

  #stop() {
    if (!this.#session) return;
    this.#session.stop();
    this.#session = null;
    this.video.srcObject = null;
    this.stage.classList.remove("on");
    fitCanvas(this.canvas);
    this.#updateToggle();
    this.emotion.textContent = "–";
    this.facts.textContent = STRINGS.live.ended;
    this.bars.replaceChildren();
    this.level.value = 0;
    this.save.hidden = this.#recording.isEmpty;
    for (const track of this.tracks) track.points = [];
  }

  /** @param {LiveUpdate} update */
  #show(update) {
    this.#recording.add(update);
    this.emotion.replaceChildren(...namedReading(update));
    const { face, audio } = update.modalities;
    this.table?.show([combinedProbabilities(update), face?.probabilities, audio?.probabilities]);
    const delay = update.latency === null ? null : STRINGS.live.delay(Math.round(update.latency * 1000));
    const skipped = update.dropped ? STRINGS.live.skipped(update.dropped) : null;
    this.facts.textContent = [delay, skipped].filter(Boolean).join(" · ");
    this.#drawFaces(update);
    this.#drawTimeline(update);
  }

  /**
   * Draw the faces over the mirrored picture: boxes are mirrored too, their labels are not.
   * @param {LiveUpdate} update
   */
  #drawFaces({ faces, width: frameWidth, height: frameHeight }) {
    const { context, width, height } = fitCanvas(this.canvas);
    if (!frameWidth || !frameHeight) return;
    const frame = { width: frameWidth, height: frameHeight };
    const shown = containedRectangle(displaySize(this.video, frame), { width, height });
    for (const face of faces) {
      const mirrored = { ...face.box, x: frameWidth - face.box.x - face.box.width };
      const box = boxOnScreen(mirrored, frame, shown);
      drawFace(context, box, face, { areaWidth: width, label: faces.length > 1 ? String(face.track) : "" });
    }
  }

  /** @param {LiveUpdate} update */
  #drawTimeline(update) {
    const view = { start: update.time - TIMELINE_SECONDS, end: update.time };
    const style = { labels: this.#labels, gapColour: getComputedStyle(this.stage).color };
    for (const track of this.tracks) {
      if (appendPoint(track.points, update.time, track.read(update), view.start)) {
        drawTrack(track.canvas, track.points, view, style);
      }
    }
  }
}

/**
 * @param {string} name
 * @param {(update: LiveUpdate) => Record<string, number> | null} read
 */
const liveTrack = (name, read) => ({
  name,
  read,
  points: /** @type {ChartPoint[]} */ ([]),
  canvas: h("canvas", { className: "track-canvas" }),
});

/**
 * Add a reading to a track and remove what is older than `oldest`. Return false if it is not newer than the last.
 * @param {ChartPoint[]} points
 * @param {number} time
 * @param {Record<string, number> | null} probabilities
 * @param {number} oldest
 */
export function appendPoint(points, time, probabilities, oldest) {
  const last = points[points.length - 1];
  if (last && last.time >= time) return false;
  if (last) last.to = (last.time + time) / 2;
  points.push({ time, from: last?.to ?? time, to: time, probabilities });
  while (points[0].to < oldest) points.shift();
  return true;
}

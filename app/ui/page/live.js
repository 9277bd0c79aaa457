// Live: the camera's picture with boxes over it, what is read now, and the last minute.

import { Problem, ticketed } from "./api.js";
import { frame, hear, open, packet, refusal } from "./capture.js";
import { drawLane, fitted } from "./chart.js";
import { announce, button, make } from "./dom.js";
import { MODALITIES, called, colour, stacked, swatch } from "./emotions.js";
import { percent } from "./format.js";
import { problemNotice, remark } from "./notice.js";
import { drawFace, inside, placed } from "./overlay.js";

const SHOWN = 60; // seconds of the rolling timeline
const SPANS = [2, 4, 8]; // seconds that a reading may be over
const SPAN = 4;
const FRAMES = 8; // most frames a second that are sent
const WAITING = 200_000; // bytes that may wait to be sent: beyond, frames are left out
const AWAY = { 1001: "Nothing was sent for too long.", 1008: "The key was refused.", 1011: "The worker was lost.", 1012: "The service restarts.", 1013: "No live worker is free." };

export function liveView(root, _, signal) {
  document.title = "Live";
  new Live(root, signal);
}

class Live {
  #running = null;

  constructor(root, signal) {
    this.video = make("video", { muted: true, autoplay: true, playsInline: true, className: "mirrored" });
    this.canvas = make("canvas", { className: "overlay", ariaHidden: "true" });
    this.stage = make("div", { className: "stage live" }, make("div", { className: "screen" }, this.video, make("p", { className: "stage-message", textContent: "The camera is off." })), this.canvas);
    this.sees = make("input", { type: "checkbox", checked: true });
    this.hears = make("input", { type: "checkbox", checked: true });
    this.toggle = button("Begin", () => (this.#running ? this.#end() : this.#begin()), { icon: "camera", kind: "primary" });
    this.trouble = make("div");
    this.word = make("strong", { className: "now-word", textContent: "–" });
    this.facts = make("p", { className: "soft", textContent: "What is read appears here, at least once a second." });
    this.bars = make("div", { className: "live-bars" });
    this.rolling = Object.entries({ fusion: "Together", face: MODALITIES.face, audio: MODALITIES.audio }).map(([id, name]) => ({ id, name, points: [], canvas: make("canvas", { className: "lane-canvas" }) }));
    this.span = make("select", {}, SPANS.map((seconds) => make("option", { value: seconds, textContent: `${seconds} s`, selected: seconds === SPAN })));
    const box = (control, name) => make("label", { className: "toggle" }, control, name);
    root.append(
      make("header", { className: "page-head" }, make("div", {}, make("h1", { tabIndex: -1, textContent: "Live" }), make("div", { className: "tools" }, box(this.sees, "Camera"), box(this.hears, "Microphone"), make("label", { className: "toggle" }, "Over the last", this.span), this.toggle))),
      this.trouble,
      make("div", { className: "watch" }, make("section", { className: "player", ariaLabel: "Camera" }, this.stage), make("section", { className: "card now", ariaLabel: "Now" }, make("header", {}, this.word), this.bars, this.facts)),
      make("section", { className: "card" }, make("h2", {}, "The last minute"), make("div", { className: "plot still", role: "img", ariaLabel: "Emotion over the last minute" }, this.rolling.map((lane) => make("div", { className: "lane lane-modality" }, make("span", { className: "lane-name", textContent: lane.name }), lane.canvas)))));
    signal.addEventListener("abort", () => this.#end());
  }

  async #begin() {
    this.trouble.replaceChildren();
    if (!this.sees.checked && !this.hears.checked) return this.trouble.replaceChildren(remark("Choose camera, microphone, or both."));
    const running = { ended: new AbortController(), began: performance.now(), ready: false };
    this.#running = running;
    this.#name("End", "stop");
    try {
      running.stream = await open({ video: this.sees.checked, audio: this.hears.checked });
    } catch (error) {
      this.#end();
      return this.trouble.replaceChildren(problemNotice(new Problem({ title: "No camera or microphone", detail: refusal(error), code: "no_device" })));
    }
    if (running.ended.signal.aborted) return stopTracks(running.stream);
    this.stage.classList.add("on");
    this.video.srcObject = running.stream;
    await this.#connect(running);
  }

  async #connect(running) {
    try {
      const url = new URL(await ticketed("/v1/stream"), location.href);
      url.protocol = url.protocol.replace("http", "ws");
      running.socket = new WebSocket(url);
    } catch (error) {
      this.#end();
      return this.trouble.replaceChildren(problemNotice(error));
    }
    const { socket } = running;
    const modalities = [this.sees.checked && "face", this.hears.checked && "audio"].filter(Boolean);
    socket.onopen = () => socket.send(JSON.stringify({ options: { modalities, window_seconds: Number(this.span.value), hop_seconds: 1 } }));
    socket.onmessage = ({ data }) => this.#told(running, JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#closed(running, code, reason);
  }

  #told(running, message) {
    if (message.type === "error") running.problem = new Problem(message.problem);
    if (message.type === "ready") this.#send(running, message.labels);
    if (message.type === "update") this.#show(message);
  }

  #closed(running, code, reason) {
    if (running !== this.#running) return;
    this.#end();
    const problem = running.problem ?? new Problem({ title: "The stream ended", detail: AWAY[code] ?? reason ?? "", code: "stream_closed" });
    this.trouble.replaceChildren(problemNotice(problem, () => this.#begin()));
  }

  /** Begins to send: sound block by block, and the newest frame whenever what was sent before has gone. */
  async #send(running, labels) {
    const { socket, stream, ended } = running;
    const elapsed = () => (performance.now() - running.began) / 1000;
    this.labels = labels;
    announce("Live");
    if (stream.getAudioTracks().length) {
      running.deaf = await hear(stream, (pcm) => socket.readyState === WebSocket.OPEN && socket.send(packet(2, elapsed(), pcm)));
      if (ended.signal.aborted) return running.deaf();
    }
    if (!stream.getVideoTracks().length) return;
    const canvas = document.createElement("canvas");
    while (!ended.signal.aborted) {
      const next = performance.now() + 1000 / FRAMES;
      const time = elapsed();
      const jpeg = socket.bufferedAmount < WAITING ? await frame(this.video, canvas) : null;
      if (jpeg && socket.readyState === WebSocket.OPEN) socket.send(packet(1, time, jpeg));
      await new Promise((resolve) => setTimeout(resolve, Math.max(next - performance.now(), 5)));
    }
  }

  #show(update) {
    this.word.replaceChildren(update.emotion ? swatch(update.emotion) : "", called(update.emotion));
    const known = stacked(Object.keys(update.probabilities)).reverse();
    this.bars.replaceChildren(...known.map((label) => {
      const value = update.emotion ? update.probabilities[label] : 0;
      return make("div", { className: "live-bar", css: { "--share": `${value * 100}%`, "--tone": colour(label) } }, make("span", {}, swatch(label), called(label)), make("span", { textContent: update.emotion ? percent(value) : "–" }));
    }));
    const latency = update.latency === null ? null : `${Math.round(update.latency * 1000)} ms from frame to reading`;
    this.facts.textContent = [latency, update.dropped ? `${update.dropped} frames skipped` : null].filter(Boolean).join(" · ");
    this.#drawFaces(update);
    this.#roll(update);
  }

  /** The picture is mirrored, as people know themselves: the boxes are too, their labels are not. */
  #drawFaces({ faces, width: frameWidth, height: frameHeight }) {
    const { context, width, height } = fitted(this.canvas);
    if (!frameWidth) return;
    const size = { width: frameWidth, height: frameHeight };
    const place = placed(this.video, size, width, height);
    for (const face of faces) {
      const mirrored = { ...face.box, x: frameWidth - face.box.x - face.box.width };
      drawFace(context, inside(mirrored, size, place), face, { width, numbered: faces.length > 1 });
    }
  }

  #roll(update) {
    const { time } = update;
    const read = { fusion: update.emotion ? update.probabilities : null, face: update.modalities.face?.probabilities ?? null, audio: update.modalities.audio?.probabilities ?? null };
    for (const lane of this.rolling) {
      const before = lane.points.at(-1);
      if (before && before.time >= time) continue;
      if (before) before.to = (before.time + time) / 2;
      lane.points.push({ time, from: before?.to ?? time, to: time, probabilities: read[lane.id] });
      while (lane.points[0].to < time - SHOWN) lane.points.shift();
      drawLane(lane.canvas, lane.points, { start: time - SHOWN, end: time, labels: this.labels, gap: getComputedStyle(this.stage).color });
    }
  }

  #name(label, picture) {
    const next = button(label, () => (this.#running ? this.#end() : this.#begin()), { icon: picture, kind: "primary" });
    this.toggle.replaceWith(next);
    this.toggle = next;
  }

  #end() {
    const running = this.#running;
    if (!running) return;
    this.#running = null;
    running.ended.abort();
    running.socket?.close(1000);
    running.deaf?.();
    stopTracks(running.stream);
    this.video.srcObject = null;
    this.stage.classList.remove("on");
    fitted(this.canvas);
    this.#name("Begin", "camera");
    for (const lane of this.rolling) lane.points = [];
  }
}

function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

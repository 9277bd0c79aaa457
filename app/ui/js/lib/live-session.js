// One live session: opens camera and microphone, sends them over a WebSocket and reports what the service answers.

import { ticketPath } from "../api.js";
import { apiKey } from "../settings.js";
import { Problem } from "./problem.js";
import {
  AUDIO,
  FRAME,
  captureFrame,
  deviceErrorText,
  levelOf,
  openDevices,
  packet,
  recordAudio,
  stopTracks,
} from "./recorder.js";
import { STRINGS } from "./strings.js";

const MAX_FRAMES_PER_SECOND = 8;
/** Bytes that may wait to be sent; while there are more, frames are skipped. */
const MAX_BUFFERED_BYTES = 200_000;
/** Milliseconds of the shortest pause between two frames. */
const MIN_FRAME_PAUSE = 5;

/** @type {Record<number, string>} */
const CLOSE_REASONS = {
  1001: STRINGS.liveSession.theStreamTimedOut,
  1008: STRINGS.liveSession.theApiKeyIsntValid,
  1011: STRINGS.liveSession.theAnalysisStoppedUnexpectedly,
  1012: STRINGS.liveSession.theServerIsRestarting,
  1013: STRINGS.liveSession.allLiveSlotsAreBusy,
};

/**
 * The current reading, with the faces of the newest frame that was analysed (pixels of that frame).
 * @typedef {Api.Reading & {
 *   time: number,
 *   width: number | null,
 *   height: number | null,
 *   faces: import("./face-tracks.js").ShownFace[],
 *   modalities: Pick<Api.Modalities, "face" | "audio">,
 *   dropped: number,
 *   latency: number | null,
 * }} LiveUpdate
 */

/**
 * @typedef {object} LiveHandlers
 * @property {(labels: string[]) => void} onReady the service is ready, with the emotions it distinguishes
 * @property {(update: LiveUpdate) => void} onUpdate
 * @property {(level: number) => void} onLevel of the microphone, 0 to 1
 * @property {(problem: Problem) => void} onClosed the service ended the session
 */

export class LiveSession {
  #abort = new AbortController();
  #startedAt = performance.now();
  /** @type {WebSocket | null} */
  #socket = null;
  /** @type {MediaStream | null} */
  #stream = null;
  /** @type {(() => void) | null} */
  #stopAudio = null;
  /** @type {Problem | null} */
  #problem = null;

  /**
   * @param {{ camera: boolean, microphone: boolean, windowSeconds: number, deviceId: string }} settings
   *   `deviceId`: of the camera; empty: any
   * @param {LiveHandlers} handlers
   */
  constructor(settings, handlers) {
    this.settings = settings;
    this.handlers = handlers;
  }

  get stopped() {
    return this.#abort.signal.aborted;
  }

  /** Ask for camera and microphone. Throws Problem. */
  async openDevices() {
    const { camera, microphone, deviceId } = this.settings;
    try {
      this.#stream = await openDevices({ video: camera, audio: microphone, deviceId });
    } catch (error) {
      const blocked = error instanceof Error && error.name === "NotAllowedError";
      const title = blocked ? STRINGS.liveSession.cameraOrMicrophoneBlocked : STRINGS.liveSession.noCameraOrMicrophone;
      throw new Problem({ title, detail: deviceErrorText(error), code: "no_device" });
    }
    if (this.stopped) stopTracks(this.#stream);
    return this.#stream;
  }

  /**
   * Connect to the service; frames are sent as soon as it is ready. Throws Problem.
   * @param {HTMLVideoElement} video shows the camera
   */
  async connect(video) {
    const url = new URL(await ticketPath("/v1/stream"), location.href);
    if (this.stopped) return;
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    const { camera, microphone, windowSeconds } = this.settings;
    const modalities = [camera && "face", microphone && "audio"].filter(Boolean);
    const options = { modalities, window_seconds: windowSeconds, hop_seconds: 1 };
    socket.onopen = () => socket.send(JSON.stringify({ options }));
    socket.onmessage = ({ data }) => this.#receive(JSON.parse(data), video);
    socket.onclose = ({ code, reason }) => {
      if (this.stopped) return;
      const detail = CLOSE_REASONS[code] ?? reason;
      const problem = new Problem({ title: STRINGS.liveSession.theStreamEnded, detail, code: "stream_closed" });
      this.handlers.onClosed(this.#problem ?? problem);
    };
  }

  /** End the session and switch camera and microphone off. */
  stop() {
    this.#abort.abort();
    this.#socket?.close(1000);
    this.#stopAudio?.();
    stopTracks(this.#stream);
  }

  /**
   * @param {any} message
   * @param {HTMLVideoElement} video
   */
  #receive(message, video) {
    if (message.type === "error") this.#problem = Problem.fromApi(message.problem, { sentKey: apiKey() !== "" });
    if (message.type === "update") this.handlers.onUpdate(message);
    if (message.type !== "ready") return;
    this.handlers.onReady(message.labels);
    this.#send(video);
  }

  /**
   * Send audio block by block, and the newest frame whenever the one before has been sent.
   * @param {HTMLVideoElement} video
   */
  async #send(video) {
    const stream = this.#stream;
    if (stream?.getAudioTracks().length) {
      const stopAudio = await recordAudio(stream, (pcm) => {
        this.handlers.onLevel(levelOf(new Int16Array(pcm)));
        this.#sendPacket(AUDIO, this.#elapsed(), pcm);
      });
      if (this.stopped) return stopAudio();
      this.#stopAudio = stopAudio;
    }
    if (!stream?.getVideoTracks().length) return;
    const canvas = document.createElement("canvas");
    while (!this.stopped) {
      const next = performance.now() + 1000 / MAX_FRAMES_PER_SECOND;
      const time = this.#elapsed();
      const congested = (this.#socket?.bufferedAmount ?? 0) >= MAX_BUFFERED_BYTES;
      const jpeg = congested ? null : await captureFrame(video, canvas);
      if (jpeg) this.#sendPacket(FRAME, time, jpeg);
      await new Promise((resolve) => setTimeout(resolve, Math.max(next - performance.now(), MIN_FRAME_PAUSE)));
    }
  }

  #elapsed() {
    return (performance.now() - this.#startedAt) / 1000;
  }

  /**
   * @param {number} kind
   * @param {number} time
   * @param {ArrayBuffer} payload
   */
  #sendPacket(kind, time, payload) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(packet(kind, time, payload));
  }
}

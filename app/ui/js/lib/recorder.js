// Camera and microphone as messages of the live protocol: JPEG frames and PCM audio, each with its time.

import { STRINGS } from "./strings.js";

const FRAME_WIDTH = 640;
const JPEG_QUALITY = 0.8;
const HEADER_BYTES = 9;

/** Kinds of messages: the first byte. */
export const FRAME = 1;
export const AUDIO = 2;

/** @type {Record<string, string>} */
const DEVICE_ERRORS = {
  NotAllowedError: STRINGS.recorder.allowAccessInTheAddress,
  NotFoundError: STRINGS.recorder.noCameraOrMicrophoneWas,
  NotReadableError: STRINGS.recorder.anotherProgramIsUsingThe,
};

/**
 * Say why `openDevices` failed, and what to do.
 * @param {unknown} error
 */
export function deviceErrorText(error) {
  if (!navigator.mediaDevices) {
    return STRINGS.recorder.browsersAllowCameraAndMicrophone;
  }
  const name = error instanceof Error ? error.name : String(error);
  return DEVICE_ERRORS[name] ?? STRINGS.recorder.unusable(name);
}

/** Decibels below full scale that are shown as silence. */
const SILENCE = 60;
const FULL_SCALE = 32768;

/**
 * Return the level of audio on a scale of decibels: 0 for silence, 1 for full scale.
 * @param {Int16Array} pcm
 */
export function levelOf(pcm) {
  const power = pcm.reduce((sum, sample) => sum + (sample / FULL_SCALE) ** 2, 0) / Math.max(pcm.length, 1);
  return Math.min(Math.max(1 + (10 * Math.log10(power || Number.MIN_VALUE)) / SILENCE, 0), 1);
}

/**
 * Open camera, microphone or both.
 * @param {{ video: boolean, audio: boolean, deviceId?: string }} wanted `deviceId`: of the camera; empty: any
 */
export const openDevices = async ({ video, audio, deviceId = "" }) =>
  navigator.mediaDevices.getUserMedia({
    video: video && {
      width: { ideal: FRAME_WIDTH },
      ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" }),
    },
    audio: audio && {
      channelCount: 1,
      echoCancellation: false,
      autoGainControl: false,
      noiseSuppression: false,
    },
  });

/** @param {MediaStream | null} stream */
export function stopTracks(stream) {
  for (const track of stream?.getTracks() ?? []) track.stop();
}

/**
 * Return a binary message: its kind, its time (float64, little-endian) and its payload.
 * @param {number} kind FRAME or AUDIO
 * @param {number} time seconds
 * @param {ArrayBuffer} payload
 */
export function packet(kind, time, payload) {
  const message = new Uint8Array(HEADER_BYTES + payload.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, kind);
  view.setFloat64(1, time, true);
  message.set(new Uint8Array(payload), HEADER_BYTES);
  return message;
}

/**
 * Return the picture that a video element shows as JPEG; null before it shows one.
 * @param {HTMLVideoElement} video
 * @param {HTMLCanvasElement} canvas drawn on
 */
export async function captureFrame(video, canvas) {
  if (!video.videoWidth) return null;
  const scale = Math.min(1, FRAME_WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
  /** @type {Blob | null} */
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", JPEG_QUALITY));
  return blob?.arrayBuffer() ?? null;
}

/**
 * Call `onAudio` with each block of PCM audio of a stream. Return a function that stops it.
 * @param {MediaStream} stream
 * @param {(pcm: ArrayBuffer) => void} onAudio
 */
export async function recordAudio(stream, onAudio) {
  const context = new AudioContext();
  await context.audioWorklet.addModule(new URL("./microphone-worklet.js", import.meta.url));
  const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => onAudio(data);
  context.createMediaStreamSource(stream).connect(node);
  return () => void context.close();
}

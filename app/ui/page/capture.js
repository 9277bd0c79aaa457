// Camera and microphone as packets: JPEG frames and PCM, each with its time.

const WIDTH = 640;
const QUALITY = 0.8;

/** Why there is no camera, in plain words. */
export function refusal(error) {
  if (!navigator.mediaDevices) return "Browsers give camera and microphone only to pages on this machine or over HTTPS.";
  const reasons = {
    NotAllowedError: "The browser did not let this page use the camera or the microphone. Allow it beside the address, and begin again.",
    NotFoundError: "There is no camera or microphone of the kind that was asked for.",
    NotReadableError: "Another program is using the camera or the microphone.",
  };
  return reasons[error.name] ?? `The camera or the microphone cannot be used (${error.name}).`;
}

/** Opens what is wanted, `{video, audio}`. Throws what `refusal` explains. */
export const open = ({ video, audio }) =>
  navigator.mediaDevices.getUserMedia({
    video: video && { width: { ideal: WIDTH }, facingMode: "user" },
    audio: audio && { channelCount: 1, echoCancellation: false, autoGainControl: false, noiseSuppression: false },
  });

/** `header`: the kind (1 JPEG, 2 PCM) and the time in seconds. */
export function packet(kind, time, payload) {
  const message = new Uint8Array(9 + payload.byteLength);
  const view = new DataView(message.buffer);
  view.setUint8(0, kind);
  view.setFloat64(1, time, true);
  message.set(new Uint8Array(payload), 9);
  return message;
}

/** The picture of a video element as JPEG; null while there is none. */
export async function frame(video, canvas) {
  if (!video.videoWidth) return null;
  const scale = Math.min(1, WIDTH / video.videoWidth);
  canvas.width = Math.round(video.videoWidth * scale);
  canvas.height = Math.round(video.videoHeight * scale);
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", QUALITY));
  return blob?.arrayBuffer() ?? null;
}

/** Hears a stream: `heard(pcm)` for each block. Gives a function that ends it. */
export async function hear(stream, heard) {
  const context = new AudioContext();
  await context.audioWorklet.addModule("/page/microphone.js");
  const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
  node.port.onmessage = ({ data }) => heard(data);
  context.createMediaStreamSource(stream).connect(node);
  return () => context.close();
}

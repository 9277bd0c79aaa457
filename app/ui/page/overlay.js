// Boxes and labels over a picture, where the faces are, at the time that is shown.

import { fitted } from "./chart.js";
import { called, colour } from "./emotions.js";
import { percent } from "./format.js";
import { facesAt, stepOf } from "./tracks.js";

const INK = "#ffffff";
const PLATE = "rgb(14 17 22 / 82%)";

export class Overlay {
  #shown = true;
  #hidden = false;
  #picture = null;

  /** `size`: of the frames that the boxes are measured in (pixels, upright). */
  constructor({ size, playback, faces }) {
    Object.assign(this, { size, playback, faces, step: stepOf(faces) });
    this.canvas = Object.assign(document.createElement("canvas"), { className: "overlay" });
    this.canvas.setAttribute("aria-hidden", "true");
    playback.addEventListener("time", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /** The picture that is drawn over: it is shown as large as fits, its middle in the middle. */
  over(picture) {
    this.#picture = picture;
    this.draw();
  }

  /** As the person wants it. */
  show(shown) {
    this.#shown = shown;
    this.draw();
  }

  /** Where the picture shows it all already. */
  hide(hidden) {
    this.#hidden = hidden;
    this.draw();
  }

  draw() {
    if (!this.canvas.clientWidth) return;
    const { context, width, height } = fitted(this.canvas);
    if (!this.#shown || this.#hidden || !this.size.width) return;
    const place = placed(this.#picture, this.size, width, height);
    const found = facesAt(this.faces, this.playback.time, this.step);
    for (const face of found) drawFace(context, inside(face.box, this.size, place), face, { width, numbered: this.faces.length > 1 });
  }
}

/** Where a picture lies in a box that it fits into whole (`object-fit: contain`). */
export function placed(picture, size, width, height) {
  const shownWidth = picture?.videoWidth || picture?.naturalWidth || size.width;
  const shownHeight = picture?.videoHeight || picture?.naturalHeight || size.height;
  const scale = Math.min(width / shownWidth, height / shownHeight);
  const [w, h] = [shownWidth * scale, shownHeight * scale];
  return { x: (width - w) / 2, y: (height - h) / 2, width: w, height: h };
}

/** A box of a frame → `[x, y, width, height]` on the screen. Pixels need not be square. */
export function inside(box, size, place) {
  const [across, down] = [place.width / size.width, place.height / size.height];
  return [place.x + box.x * across, place.y + box.y * down, box.width * across, box.height * down];
}

/** A box with its label above, or inside where there is no room. */
export function drawFace(context, [x, y, boxWidth, boxHeight], face, { width, numbered }) {
  context.lineJoin = "round";
  for (const [line, tone] of [[5, PLATE], [2.5, colour(face.emotion)]]) {
    context.lineWidth = line;
    context.strokeStyle = tone;
    context.beginPath();
    context.roundRect(x, y, boxWidth, boxHeight, 6);
    context.stroke();
  }
  context.font = "600 13px system-ui, sans-serif";
  const words = `${numbered ? `${face.track} · ` : ""}${called(face.emotion)} ${percent(face.probabilities[face.emotion])}`;
  const plate = context.measureText(words).width + 30;
  const left = Math.min(Math.max(x - 2, 2), width - plate - 2);
  const top = y > 30 ? y - 29 : y + 5;
  context.fillStyle = PLATE;
  context.beginPath();
  context.roundRect(left, top, plate, 24, 6);
  context.fill();
  context.fillStyle = colour(face.emotion);
  context.fillRect(left + 8, top + 8, 8, 8);
  context.fillStyle = INK;
  context.textBaseline = "middle";
  context.fillText(words, left + 22, top + 12.5);
}

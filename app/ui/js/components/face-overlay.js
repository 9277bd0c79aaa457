// Boxes and labels over a picture, where the faces are at the current time.

import { fitCanvas } from "../lib/area-chart.js";
import { h } from "../lib/dom.js";
import { colourOf, labelOf } from "../lib/emotions.js";
import { facesAt, frameInterval } from "../lib/face-tracks.js";
import { formatPercent } from "../lib/format.js";
import { boxOnScreen, containedRectangle, displaySize } from "../lib/geometry.js";
import { clamp } from "../lib/time-view.js";

const TEXT_COLOUR = "#ffffff";
const BACKGROUND = "rgb(14 17 22 / 82%)";
const FONT = "600 13px system-ui, sans-serif";
const CORNER_RADIUS = 6;
/** Height of a label; distance of its left edge from the text and from the square in the emotion's colour; pixels. */
const LABEL = { height: 24, textInset: 22, squareInset: 8, squareSize: 8, padding: 30, margin: 2 };

/** @typedef {import("../lib/geometry.js").Size} Size */
/** @typedef {import("../lib/geometry.js").Rectangle} Rectangle */
/** @typedef {import("../lib/face-tracks.js").ShownFace} ShownFace */

export class FaceOverlay {
  #enabled = true;
  #suppressed = false;
  /** @type {HTMLVideoElement | HTMLImageElement | null} */
  #picture = null;

  /**
   * @param {{
   *   size: Size,
   *   playback: import("../lib/playback.js").Playback,
   *   faces: Api.FaceTrack[],
   *   names?: Map<number, string>,
   * }} settings `size`: of the frames that the boxes refer to (pixels, upright); `names`: of people by their number
   */
  constructor({ size, playback, faces, names = new Map() }) {
    this.size = size;
    this.labels = new Map(faces.map(({ track, person }) => [track, names.get(person ?? 0) ?? String(track)]));
    this.labelled = names.size > 1 || faces.length > 1;
    this.playback = playback;
    this.faces = faces;
    this.interval = frameInterval(faces);
    this.canvas = h("canvas", { className: "overlay", ariaHidden: "true" });
    playback.addEventListener("time", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /**
   * Set the picture below, which is shown as large as it fits, in the middle.
   * @param {HTMLVideoElement | HTMLImageElement | null} picture
   */
  setPicture(picture) {
    this.#picture = picture;
    this.draw();
  }

  /**
   * Show or hide the boxes, as the user chooses.
   * @param {boolean} enabled
   */
  setEnabled(enabled) {
    this.#enabled = enabled;
    this.draw();
  }

  /**
   * Hide the boxes while the picture itself contains them.
   * @param {boolean} suppressed
   */
  setSuppressed(suppressed) {
    this.#suppressed = suppressed;
    this.draw();
  }

  draw() {
    if (!this.canvas.clientWidth) return;
    const { context, width, height } = fitCanvas(this.canvas);
    if (!this.#enabled || this.#suppressed || !this.size.width) return;
    const shown = containedRectangle(displaySize(this.#picture, this.size), { width, height });
    for (const face of facesAt(this.faces, this.playback.time, this.interval)) {
      const box = boxOnScreen(face.box, this.size, shown);
      drawFace(context, box, face, { areaWidth: width, label: this.labelled ? this.labels.get(face.track) : "" });
    }
  }
}

/**
 * Draw the box of a face with its label above, or inside if there is no room above.
 * @param {CanvasRenderingContext2D} context
 * @param {Rectangle} box
 * @param {ShownFace} face
 * @param {{ areaWidth: number, label?: string }} options `label`: number or name, before the emotion
 */
export function drawFace(context, { x, y, width, height }, face, { areaWidth, label = "" }) {
  const colour = colourOf(face.emotion);
  context.lineJoin = "round";
  for (const [lineWidth, strokeStyle] of /** @type {[number, string][]} */ ([
    [5, BACKGROUND],
    [2.5, colour],
  ])) {
    Object.assign(context, { lineWidth, strokeStyle });
    context.beginPath();
    context.roundRect(x, y, width, height, CORNER_RADIUS);
    context.stroke();
  }
  const name = label ? `${label} · ` : "";
  const text = `${name}${labelOf(face.emotion)} ${formatPercent(face.probabilities[face.emotion])}`;
  context.font = FONT;
  const labelWidth = context.measureText(text).width + LABEL.padding;
  const left = clamp(x - LABEL.margin, LABEL.margin, areaWidth - labelWidth - LABEL.margin);
  const top = y > 30 ? y - 29 : y + 5;
  context.fillStyle = BACKGROUND;
  context.beginPath();
  context.roundRect(left, top, labelWidth, LABEL.height, CORNER_RADIUS);
  context.fill();
  context.fillStyle = colour;
  context.fillRect(left + LABEL.squareInset, top + LABEL.squareInset, LABEL.squareSize, LABEL.squareSize);
  context.fillStyle = TEXT_COLOUR;
  context.textBaseline = "middle";
  context.fillText(text, left + LABEL.textInset, top + LABEL.height / 2 + 0.5);
}

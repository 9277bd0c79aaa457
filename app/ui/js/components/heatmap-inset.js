// The heatmap of the current time, in a corner of the player.

import { h } from "../lib/dom.js";

/** Seconds from a heatmap within which it is shown. */
const MAX_DISTANCE = 1;

/** @typedef {{ time: number, image: HTMLImageElement }} TimedImage */

export class HeatmapInset {
  #enabled = true;

  /** @param {{ heatmaps: TimedImage[], playback: import("../lib/playback.js").Playback }} settings */
  constructor({ heatmaps, playback }) {
    this.heatmaps = heatmaps;
    this.playback = playback;
    this.element = h("div", { className: "heatmap-inset", hidden: true });
    playback.addEventListener("time", () => this.#draw());
    this.#draw();
  }

  /** @param {boolean} enabled */
  setEnabled(enabled) {
    this.#enabled = enabled;
    this.#draw();
  }

  #draw() {
    const image = nearestImage(this.heatmaps, this.playback.time);
    this.element.hidden = !this.#enabled || !image;
    if (image && this.element.firstChild !== image) this.element.replaceChildren(image);
  }
}

/**
 * Return the image nearest to a time; null if none is near.
 * @param {TimedImage[]} images
 * @param {number} time
 */
export function nearestImage(images, time) {
  let nearest = null;
  let distance = MAX_DISTANCE;
  for (const { time: imageTime, image } of images) {
    const away = Math.abs(imageTime - time);
    if (nearest ? away < distance : away <= distance) [nearest, distance] = [image, away];
  }
  return nearest;
}

// The heatmap of the moment, in a corner of the player.

import { make } from "./dom.js";

const NEAR = 1; // seconds from a heatmap within which it is shown

export class Corner {
  #wanted = true;

  /** `heatmaps`: `[{time, picture}]`. */
  constructor({ heatmaps, playback }) {
    Object.assign(this, { heatmaps, playback });
    this.element = make("div", { className: "corner", hidden: true });
    playback.addEventListener("time", () => this.#draw());
    this.#draw();
  }

  show(wanted) {
    this.#wanted = wanted;
    this.#draw();
  }

  #draw() {
    const away = ({ time }) => Math.abs(time - this.playback.time);
    const nearest = this.heatmaps.reduce((best, each) => (best && away(best) <= away(each) ? best : each), null);
    const near = nearest && away(nearest) <= NEAR ? nearest : null;
    this.element.hidden = !this.#wanted || !near;
    if (near && this.element.firstChild !== near.picture) this.element.replaceChildren(near.picture);
  }
}

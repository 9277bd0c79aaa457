// The sentence that is being spoken, over the picture.

import { h } from "../lib/dom.js";
import { lastIndexUntil } from "../lib/intervals.js";
import { loadSetting, saveSetting } from "../settings.js";

export class Captions {
  #enabled = loadSetting("captions", false);

  /**
   * @param {Pick<Api.Segment, "start" | "end" | "text">[]} segments ordered by time
   * @param {import("../lib/playback.js").Playback} playback
   */
  constructor(segments, playback) {
    this.segments = segments;
    this.playback = playback;
    this.element = h("p", { className: "captions", hidden: true, dir: "auto", ariaHidden: "true" });
    playback.addEventListener("time", () => this.#update());
  }

  get enabled() {
    return this.#enabled;
  }

  /** @param {boolean} enabled */
  setEnabled(enabled) {
    this.#enabled = enabled;
    saveSetting("captions", enabled);
    this.#update();
  }

  #update() {
    const { time } = this.playback;
    const segment = this.segments[lastIndexUntil(this.segments, time, ({ start }) => start)];
    const text = this.#enabled && segment && time <= segment.end ? segment.text.trim() : "";
    if (this.element.textContent !== text) this.element.textContent = text;
    this.element.hidden = !text;
  }
}

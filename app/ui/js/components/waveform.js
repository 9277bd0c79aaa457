// The loudness of a recording over time, in the colours of its readings.

import { fitCanvas } from "../lib/area-chart.js";
import { h } from "../lib/dom.js";
import { colourOf } from "../lib/emotions.js";
import { windowFinder } from "../lib/intervals.js";
import { peaks } from "../lib/peaks.js";

/** Samples per second that are decoded; loudness needs no more. */
const SAMPLE_RATE = 8_000;
/** Seconds of the longest recording that is decoded, as all of it is held in memory. */
const MAX_SECONDS = 1_800;
/** Width of a bar with its gap, pixels. */
const BAR_WIDTH = 3;
const MIN_BAR_HEIGHT = 2;
const VERTICAL_MARGIN = 16;
/** Opacity of what has not been played yet. */
const UNPLAYED_OPACITY = 0.45;

export class Waveform {
  /** @type {Float32Array | null} */
  #samples = null;
  /** @type {number[]} */
  #bars = [];

  /** @param {{ result: Api.Result, playback: import("../lib/playback.js").Playback }} settings */
  constructor({ result, playback }) {
    this.playback = playback;
    this.windowAt = windowFinder(result.windows);
    this.canvas = h("canvas", { className: "waveform", ariaHidden: "true" });
    this.canvas.addEventListener("click", ({ offsetX }) =>
      playback.seek((offsetX / this.canvas.clientWidth) * playback.duration),
    );
    playback.addEventListener("time", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /**
   * Decode the audio of a URL. A recording that is long, or that the browser can’t decode, is not drawn.
   * @param {string} url
   */
  async load(url) {
    if (this.playback.duration > MAX_SECONDS) return;
    try {
      const bytes = await (await fetch(url)).arrayBuffer();
      const audio = await new OfflineAudioContext(1, 1, SAMPLE_RATE).decodeAudioData(bytes);
      this.#samples = audio.getChannelData(0);
    } catch (error) {
      if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    }
    this.draw();
  }

  draw() {
    if (!this.#samples || !this.canvas.clientWidth) return;
    const { context, width, height } = fitCanvas(this.canvas);
    const count = Math.floor(width / BAR_WIDTH);
    if (this.#bars.length !== count) this.#bars = peaks(this.#samples, count);
    const { time, duration } = this.playback;
    this.#bars.forEach((peak, index) => {
      const share = (index + 0.5) / count;
      context.fillStyle = colourOf(this.windowAt(share * duration)?.emotion);
      context.globalAlpha = share <= time / duration ? 1 : UNPLAYED_OPACITY;
      const barHeight = Math.max(peak * (height - VERTICAL_MARGIN), MIN_BAR_HEIGHT);
      context.fillRect(index * BAR_WIDTH, (height - barHeight) / 2, BAR_WIDTH - 1, barHeight);
    });
  }
}

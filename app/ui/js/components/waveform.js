// The loudness of each channel of a recording over time, in the colours of its readings.

import { fitCanvas } from "../lib/area-chart.js";
import { h } from "../lib/dom.js";
import { colourOf } from "../lib/emotions.js";
import { channelName } from "../lib/format.js";
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
/** Place of the name of a channel in its lane, pixels. */
const NAME_LEFT = 6;
const NAME_TOP = 4;
/** Opacity of what has not been played yet. */
const UNPLAYED_OPACITY = 0.45;

export class Waveform {
  /** @type {Float32Array[]} Samples of each channel. */
  #channels = [];
  /** @type {number[][]} Bars of each channel. */
  #bars = [];

  /** @param {{ result: Api.Result, playback: import("../lib/playback.js").Playback }} settings */
  constructor({ result, playback }) {
    this.playback = playback;
    this.windowAt = windowFinder(result.windows);
    this.channelWindowAt = (result.channels ?? []).map(({ windows }) => windowFinder(windows));
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
      this.#channels = Array.from({ length: audio.numberOfChannels }, (_, number) => audio.getChannelData(number));
      this.#bars = [];
    } catch (error) {
      if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    }
    this.draw();
  }

  draw() {
    if (!this.#channels.length || !this.canvas.clientWidth) return;
    const { context, width, height } = fitCanvas(this.canvas);
    const count = Math.floor(width / BAR_WIDTH);
    if (this.#bars[0]?.length !== count) this.#bars = peaks(this.#channels, count);
    const laneHeight = height / this.#bars.length;
    this.#bars.forEach((bars, channel) => this.#drawLane(context, bars, channel, laneHeight));
  }

  /**
   * @param {CanvasRenderingContext2D} context
   * @param {number[]} bars
   * @param {number} channel
   * @param {number} height of the lane
   */
  #drawLane(context, bars, channel, height) {
    const { time, duration } = this.playback;
    const windowAt = this.channelWindowAt[channel] ?? this.windowAt;
    const margin = Math.min(VERTICAL_MARGIN, height / 4);
    bars.forEach((peak, index) => {
      const share = (index + 0.5) / bars.length;
      context.fillStyle = colourOf(windowAt(share * duration)?.emotion);
      context.globalAlpha = share <= time / duration ? 1 : UNPLAYED_OPACITY;
      const barHeight = Math.max(peak * (height - margin), MIN_BAR_HEIGHT);
      context.fillRect(index * BAR_WIDTH, height * channel + (height - barHeight) / 2, BAR_WIDTH - 1, barHeight);
    });
    if (this.#bars.length < 2) return;
    context.globalAlpha = 1;
    const { color, fontFamily } = getComputedStyle(this.canvas);
    context.font = `11px ${fontFamily}`;
    context.fillStyle = color;
    context.textBaseline = "top";
    context.fillText(channelName(channel), NAME_LEFT, height * channel + NAME_TOP);
  }
}

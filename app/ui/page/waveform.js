// What a recording sounds like, at a glance: its loudness over time, in the colours of what was read.

import { windowFinder } from "./axis.js";
import { fitted } from "./chart.js";
import { make } from "./dom.js";
import { colour } from "./emotions.js";

const RATE = 8_000; // loudness needs no more
const LONGEST = 1_800; // seconds that are decoded whole, in memory
const BAR = 3; // pixels

export class Waveform {
  #samples = null;
  #bars = [];

  constructor({ result, playback }) {
    Object.assign(this, { result, playback, at: windowFinder(result.windows) });
    this.canvas = make("canvas", { className: "waveform", ariaHidden: "true" });
    this.canvas.addEventListener("click", (event) => playback.seek((event.offsetX / this.canvas.clientWidth) * playback.duration));
    playback.addEventListener("time", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.canvas);
  }

  /** Decodes the sound of an address; one that is long or that the browser cannot decode stays unseen. */
  async load(url) {
    if (this.playback.duration > LONGEST) return;
    try {
      const bytes = await (await fetch(url)).arrayBuffer();
      const sound = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(bytes);
      this.#samples = sound.getChannelData(0);
    } catch (error) {
      if (!(error instanceof DOMException || error instanceof TypeError)) throw error;
    }
    this.draw();
  }

  draw() {
    if (!this.#samples || !this.canvas.clientWidth) return;
    const { context, width, height } = fitted(this.canvas);
    const bars = Math.floor(width / BAR);
    if (this.#bars.length !== bars) this.#bars = this.#loudness(bars);
    const played = this.playback.time / this.playback.duration;
    this.#bars.forEach((value, index) => {
      const share = (index + 0.5) / bars;
      context.fillStyle = colour(this.at(share * this.playback.duration)?.emotion);
      context.globalAlpha = share <= played ? 1 : 0.45;
      const tall = Math.max(value * (height - 16), 2);
      context.fillRect(index * BAR, (height - tall) / 2, BAR - 1, tall);
    });
  }

  /** The greatest of each stretch, the loudest of all being 1. */
  #loudness(bars) {
    const each = this.#samples.length / bars;
    const peaks = Array.from({ length: bars }, (_, bar) => {
      let most = 0;
      for (let index = Math.floor(bar * each); index < (bar + 1) * each; index++) most = Math.max(most, Math.abs(this.#samples[index] ?? 0));
      return most;
    });
    const top = Math.max(...peaks, 1e-4);
    return peaks.map((peak) => peak / top);
  }
}

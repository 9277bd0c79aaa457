// What a live session has shown, kept in this tab alone, to be saved as a file if the user asks for it.

import { combinedProbabilities } from "./emotions.js";

const COLUMNS = ["combined", "face", "audio"];

export class LiveRecording {
  /** @type {import("./live-session.js").LiveUpdate[]} */
  #updates = [];

  get isEmpty() {
    return !this.#updates.length;
  }

  /** @param {import("./live-session.js").LiveUpdate} update */
  add(update) {
    this.#updates.push(update);
  }

  clear() {
    this.#updates = [];
  }

  /** Return the readings as CSV: a row for each update, and for each source a column for each emotion. */
  csv() {
    const labels = Object.keys(this.#updates[0]?.probabilities ?? {});
    const head = ["time", "emotion", ...COLUMNS.flatMap((column) => labels.map((label) => `${column}_${label}`))];
    const rows = this.#updates.map((update) => {
      const { face, audio } = update.modalities;
      const sources = [combinedProbabilities(update), face?.probabilities, audio?.probabilities];
      const values = sources.flatMap((source) => labels.map((label) => source?.[label]?.toFixed(4) ?? ""));
      return [update.time.toFixed(2), update.emotion ?? "", ...values];
    });
    return [head, ...rows].map((row) => row.join(",")).join("\r\n") + "\r\n";
  }
}

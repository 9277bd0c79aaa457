// The transcript: each sentence with its reading; the word that is being spoken is highlighted.

import { h, present, prefersReducedMotion } from "../lib/dom.js";
import { channelName, languageName } from "../lib/format.js";
import { lastIndexUntil, meanReading } from "../lib/intervals.js";
import { spacesAfter } from "../lib/words.js";
import { badge } from "./emotion-badge.js";
import { timeButton } from "./time-button.js";

/** @type {Record<string, string>} */
const SOURCE_LABELS = { whisper: "auto-generated", caller: "supplied" };

/** @typedef {{ start: number, end: number, span: HTMLElement, row: HTMLElement }} ShownWord */

export class TranscriptView {
  /** @type {ShownWord | null} */
  #spoken = null;
  /** @type {HTMLElement | null} */
  #currentRow = null;
  /** @type {ShownWord[]} */
  #words = [];

  /** @param {{ result: Api.Result, playback: import("../lib/playback.js").Playback }} settings */
  constructor({ result, playback }) {
    const { segments, language, source } = result.transcript;
    this.playback = playback;
    this.language = language;
    const rows = segments.map((segment) => this.#row(segment, sentenceReading(result, segment)));
    this.list = h("ol", { className: "sentences" }, ...rows);
    const facts = [SOURCE_LABELS[source], language ? languageName(language) : null];
    const about = h("small", { textContent: facts.filter(Boolean).join(", ") });
    const empty = h("p", { className: "muted", textContent: "No speech detected." });
    this.element = h(
      "section",
      { className: "card transcript" },
      h("h2", {}, "Transcript ", about),
      segments.length ? this.list : empty,
    );
    playback.addEventListener("time", () => this.#highlight());
  }

  /**
   * @param {Api.Segment} segment
   * @param {import("../lib/emotions.js").TopReading | null} reading
   */
  #row(segment, reading) {
    const { start, end, text } = segment;
    const words = segment.words.length ? segment.words : [{ start, end, word: text }];
    const row = h("li", { className: "sentence" });
    const spellings = words.map(({ word }) => word.trim());
    const spaces = spacesAfter(text.trim(), spellings);
    const spans = words.flatMap((word, index) => {
      const span = h("span", { className: "word", textContent: spellings[index] });
      span.addEventListener("click", () => this.playback.seek(word.start));
      this.#words.push({ start: word.start, end: word.end, span, row });
      return spaces[index] ? [span, " "] : [span];
    });
    const lang = segment.language ?? this.language ?? "";
    const other = segment.language && segment.language !== this.language ? languageName(segment.language) : null;
    const { channel } = segment;
    const name = typeof channel === "number" ? `${channelName(channel)}: ` : null;
    // An element with a direction of its own does not decide that of the sentence around it.
    const speaker = name && h("b", { className: "speaker", textContent: name, dir: "auto" });
    const sentence = h("p", { dir: "auto", lang }, ...present([speaker]), ...spans);
    const said = h("div", {}, sentence, other && h("small", { className: "muted", textContent: other }));
    row.append(timeButton(this.playback, start), said, badge(reading));
    return row;
  }

  #highlight() {
    const { time } = this.playback;
    const word = this.#words[lastIndexUntil(this.#words, time, ({ start }) => start)];
    const spoken = word && time <= word.end ? word : null;
    if (spoken === this.#spoken) return;
    this.#spoken?.span.classList.remove("spoken");
    this.#spoken = spoken;
    spoken?.span.classList.add("spoken");
    if (spoken && spoken.row !== this.#currentRow) this.#showRow(spoken.row);
  }

  /**
   * Mark a sentence as the current one and scroll the list to it; the page itself does not scroll.
   * @param {HTMLElement} row
   */
  #showRow(row) {
    this.#currentRow?.classList.remove("current");
    this.#currentRow = row;
    row.classList.add("current");
    const { list } = this;
    const top = row.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + row.offsetHeight > list.scrollTop + list.clientHeight) {
      const behavior = prefersReducedMotion() ? "auto" : "smooth";
      list.scrollTo({ top: top - list.clientHeight / 3, behavior });
    }
  }
}

/**
 * Return the reading of the channel that speaks a sentence, or of the whole.
 * @param {Api.Result} result
 * @param {Api.Segment} segment
 */
function sentenceReading({ windows, channels }, { start, end, channel }) {
  const own = channels?.find((one) => one.channel === channel);
  return meanReading(own?.windows ?? windows, start, end);
}

// What is said: the word being spoken, and how each sentence comes across.

import { lastBefore, readingOver } from "./axis.js";
import { calm, make } from "./dom.js";
import { badge } from "./emotions.js";
import { clock } from "./format.js";

const SOURCES = { whisper: "recognised", caller: "sent along" };

export class TranscriptView {
  #spoken = null;
  #sentence = null;

  constructor({ result, playback }) {
    const { segments, language, source } = result.transcript;
    this.playback = playback;
    this.words = [];
    this.list = make("ol", { className: "sentences" }, segments.map((segment) => this.#row(segment, readingOver(result.windows, segment.start, segment.end))));
    const about = [SOURCES[source], language].filter(Boolean).join(", ");
    const none = make("p", { className: "soft", textContent: "No words were heard." });
    this.element = make("section", { className: "card transcript" }, make("h2", {}, "Transcript ", make("small", { textContent: about })), segments.length ? this.list : none);
    playback.addEventListener("time", () => this.#follow());
  }

  #row(segment, reading) {
    const words = segment.words.length ? segment.words : [{ start: segment.start, end: segment.end, word: segment.text }];
    const row = make("li", { className: "sentence" });
    const spans = words.map((word) => {
      const span = make("span", { className: "word", textContent: word.word.trim(), on: { click: () => this.playback.seek(word.start) } });
      this.words.push({ time: word.start, end: word.end, span, row });
      return [span, " "];
    });
    const start = make("button", { type: "button", className: "sentence-time", textContent: clock(segment.start), ariaLabel: `Go to ${clock(segment.start)}`, on: { click: () => this.playback.seek(segment.start) } });
    row.append(start, make("p", {}, ...spans.flat()), badge(reading));
    return row;
  }

  #follow() {
    const { time } = this.playback;
    const word = this.words[lastBefore(this.words, time)];
    const spoken = word && time <= word.end ? word : null;
    if (spoken === this.#spoken) return;
    this.#spoken?.span.classList.remove("spoken");
    this.#spoken = spoken;
    spoken?.span.classList.add("spoken");
    if (spoken && spoken.row !== this.#sentence) this.#enter(spoken.row);
  }

  /** Brings a sentence into the list's own view; the page stays where it is. */
  #enter(row) {
    this.#sentence?.classList.remove("current");
    this.#sentence = row;
    row.classList.add("current");
    const { list } = this;
    const top = row.offsetTop - list.offsetTop;
    if (top < list.scrollTop || top + row.offsetHeight > list.scrollTop + list.clientHeight) {
      list.scrollTo({ top: top - list.clientHeight / 3, behavior: calm() ? "auto" : "smooth" });
    }
  }
}

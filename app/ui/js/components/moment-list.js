// The moments of a result, filtered, the strongest and most different first.

import { button, h, select } from "../lib/dom.js";
import { labelOf } from "../lib/emotions.js";
import { formatPercent, formatTime } from "../lib/format.js";
import { diverseOrder, isShown, momentIndexAt, momentLabel, supportText } from "../lib/moments.js";
import { STRINGS } from "../lib/strings.js";
import { MODALITY_LABELS } from "../lib/tables.js";
import { swatch } from "./emotion-badge.js";

/** Moments that are shown at first, and moments from which on there are filters. */
const FIRST_COUNT = 8;
const MIN_FILTERED = 5;

/** @typedef {{ moment: Api.Moment, item: HTMLElement, text: HTMLElement }} Row */

export class MomentList {
  /** @type {import("../lib/moments.js").MomentFilter} */
  #filter = { emotion: null, modality: null, person: null, view: null };
  #showsAll = false;

  /**
   * @param {{
   *   moments: Api.Moment[],
   *   names?: Map<number, string>,
   *   onChoose: (moment: Api.Moment) => void,
   *   onPlay: (moment: Api.Moment) => void,
   *   onCopyLink: (moment: Api.Moment) => void,
   * }} settings `names`: of people by number; `onPlay`: play the stretch of a moment
   */
  constructor({ moments, names = new Map(), onChoose, onPlay, onCopyLink }) {
    this.ranked = diverseOrder(moments);
    this.rows = this.ranked.map((moment) => momentRow(moment, names, { onChoose, onPlay, onCopyLink }));
    this.inView = h("input", { type: "checkbox" });
    this.count = h("p", { className: "muted" });
    this.showAll = button("", () => this.#setShowsAll(), { kind: "quiet" });
    const list = h("ol", { className: "moments" }, ...this.rows.map(({ item }) => item));
    this.element = h(
      "section",
      { className: "card" },
      h("h2", { textContent: STRINGS.momentList.moments }),
      moments.length >= MIN_FILTERED ? this.#filters() : null,
      moments.length ? list : null,
      this.count,
      this.showAll,
    );
    this.#update();
  }

  #filters() {
    const emotions = [...new Set(this.ranked.map(({ to }) => to))];
    const modalities = [...new Set(this.ranked.flatMap(({ why }) => why))];
    const emotion = select(
      [["", STRINGS.momentList.allEmotions], ...emotions.map((label) => pair(label, labelOf(label)))],
      { ariaLabel: STRINGS.momentList.emotion },
    );
    const modality = select(
      [["", STRINGS.momentList.anySupport], ...modalities.map((name) => pair(name, MODALITY_LABELS[name]))],
      { ariaLabel: STRINGS.momentList.support },
    );
    emotion.addEventListener("change", () => this.#set({ emotion: emotion.value || null }));
    modality.addEventListener("change", () => this.#set({ modality: modality.value || null }));
    this.inView.addEventListener("change", () => this.#set({ view: this.inView.checked ? this.view : null }));
    const inView = h("label", { className: "toggle" }, this.inView, STRINGS.momentList.inView);
    return h("div", { className: "tools" }, emotion, modality, inView);
  }

  /** @type {import("../lib/time-view.js").TimeView | null} */
  view = null;

  /**
   * Show the moments of what the timeline shows, if that is asked for.
   * @param {import("../lib/time-view.js").TimeView} view
   */
  setView(view) {
    this.view = view;
    if (this.inView.checked) this.#set({ view });
  }

  /**
   * Show the moments of one person; null: of all.
   * @param {number | null} person
   */
  setPerson(person) {
    this.#set({ person });
  }

  /** @param {Partial<import("../lib/moments.js").MomentFilter>} change */
  #set(change) {
    this.#filter = { ...this.#filter, ...change };
    this.#update();
  }

  #setShowsAll() {
    this.#showsAll = true;
    this.#update();
  }

  #update() {
    const shown = this.rows.filter(({ moment }) => isShown(moment, this.#filter));
    const visible = new Set(this.#showsAll ? shown : shown.slice(0, FIRST_COUNT));
    for (const row of this.rows) row.item.hidden = !visible.has(row);
    this.showAll.hidden = visible.size === shown.length;
    this.showAll.textContent = STRINGS.momentList.showAll(shown.length);
    if (!this.rows.length) this.count.textContent = STRINGS.momentList.noMomentStandsOut;
    else this.count.textContent = shown.length ? "" : STRINGS.momentList.noMomentMatches;
    this.count.hidden = !this.count.textContent;
  }

  /**
   * Put an image into the row of the moment at its time.
   * @param {import("./heatmap-inset.js").TimedImage[]} images
   */
  addImages(images) {
    for (const { time, image } of images) this.rows[momentIndexAt(this.ranked, time)]?.text.before(image);
  }
}

/**
 * @param {string} value
 * @param {string} text
 */
const pair = (value, text) => /** @type {[string, string]} */ ([value, text]);

/**
 * @param {Api.Moment} moment
 * @param {Map<number, string>} names of people
 * @param {{
 *   onChoose: (moment: Api.Moment) => void,
 *   onPlay: (moment: Api.Moment) => void,
 *   onCopyLink: (moment: Api.Moment) => void,
 * }} handlers
 * @returns {Row}
 */
function momentRow(moment, names, { onChoose, onPlay, onCopyLink }) {
  const label = momentLabel(moment);
  const facts = [names.get(moment.person ?? 0), supportText(moment)].filter(Boolean).join(" · ");
  const text = h("span", { className: "moment-text" }, label, h("small", { textContent: facts }));
  const open = h(
    "button",
    { type: "button", className: "moment", on: { click: () => onChoose(moment) } },
    h("span", { className: "moment-time", textContent: formatTime(moment.time) }),
    swatch(moment.to),
    text,
    h("span", {
      className: "moment-confidence",
      textContent: formatPercent(moment.score),
      title: STRINGS.momentList.confidence,
    }),
  );
  /**
   * @param {string} name
   * @param {string} icon
   * @param {() => void} onClick
   */
  const small = (name, icon, onClick) => button(name, onClick, { icon, iconOnly: true, kind: "quiet" });
  const play = small(STRINGS.momentList.play(label), "play", () => onPlay(moment));
  const copy = small(STRINGS.momentList.copyLink(label), "link", () => onCopyLink(moment));
  return { moment, item: h("li", { className: "moment-row" }, open, play, copy), text };
}

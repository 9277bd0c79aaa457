// The marks of moments above a timeline: one stop of the Tab key, arrow keys move between them.

import { h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { diverseOrder, momentLabel } from "../lib/moments.js";
import { STRINGS } from "../lib/strings.js";
import { shareOf, spaced } from "../lib/time-view.js";
import { swatch } from "./emotion-badge.js";

/** Pixels between the middles of two marks, at least: the size of a target. */
const MIN_DISTANCE = 26;

export class MomentMarks {
  /** Index of the mark that the Tab key reaches. */
  #current = 0;

  /**
   * @param {Api.Moment[]} moments
   * @param {(moment: Api.Moment) => void} onChoose
   */
  constructor(moments, onChoose) {
    this.ranked = diverseOrder(moments);
    this.onChoose = onChoose;
    this.element = h("div", { className: "marks", role: "toolbar", ariaLabel: STRINGS.timeline.moments });
    this.element.hidden = !moments.length;
    this.element.addEventListener("keydown", (event) => this.#onKey(event));
  }

  /**
   * Show the moments of a view that there is room for, the strongest and most different first.
   * @param {import("../lib/time-view.js").TimeView} view
   */
  draw(view) {
    const width = Math.max(this.element.clientWidth, 1);
    const visible = this.ranked.filter(({ time }) => time >= view.start && time <= view.end);
    const shown = spaced(visible, ({ time }) => shareOf(view, time) * width, MIN_DISTANCE);
    shown.sort((a, b) => a.time - b.time);
    this.#current = 0;
    this.element.replaceChildren(...shown.map((moment, index) => this.#mark(moment, view, index)));
  }

  /**
   * @param {Api.Moment} moment
   * @param {import("../lib/time-view.js").TimeView} view
   * @param {number} index
   */
  #mark(moment, view, index) {
    const name = `${formatTime(moment.time)}: ${momentLabel(moment)}`;
    const mark = h(
      "button",
      {
        type: "button",
        className: `mark ${moment.kind}`,
        ariaLabel: name,
        title: name,
        tabIndex: index === this.#current ? 0 : -1,
        on: { click: () => this.onChoose(moment) },
      },
      swatch(moment.to),
    );
    mark.style.left = `${shareOf(view, moment.time) * 100}%`;
    return mark;
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const marks = /** @type {HTMLElement[]} */ ([...this.element.children]);
    const last = marks.length - 1;
    /** @type {Record<string, number>} */
    const places = {
      ArrowLeft: Math.max(this.#current - 1, 0),
      ArrowRight: Math.min(this.#current + 1, last),
      Home: 0,
      End: last,
    };
    if (!(event.key in places)) return;
    event.preventDefault();
    event.stopPropagation();
    marks[this.#current].tabIndex = -1;
    this.#current = places[event.key];
    marks[this.#current].tabIndex = 0;
    marks[this.#current].focus();
  }
}

// The vocal bursts below a timeline, at their times: one stop of the Tab key for each that is shown.

import { h } from "../lib/dom.js";
import { formatTime } from "../lib/format.js";
import { STRINGS } from "../lib/strings.js";
import { shareOf, spaced } from "../lib/time-view.js";

/** Pixels between the middles of two bursts, at least: names must not cover each other. */
const MIN_DISTANCE = 46;

export class BurstLane {
  /**
   * @param {Api.VocalBurst[] | undefined} bursts those of a result; results stored by earlier versions have none
   * @param {(burst: Api.VocalBurst) => void} onChoose
   */
  constructor(bursts, onChoose) {
    this.ranked = [...(bursts ?? [])].sort((a, b) => b.score - a.score);
    this.onChoose = onChoose;
    this.lane = h("div", { className: "burst-lane", role: "group", ariaLabel: STRINGS.bursts.title });
    this.element = h(
      "div",
      { className: "bursts" },
      h("span", { className: "track-name", textContent: STRINGS.bursts.title }),
      this.lane,
    );
    this.element.hidden = !this.ranked.length;
  }

  /**
   * Show the bursts of a view that there is room for, the surest first.
   * @param {import("../lib/time-view.js").TimeView} view
   */
  draw(view) {
    const width = Math.max(this.lane.clientWidth, 1);
    const visible = this.ranked.filter(({ start, end }) => end >= view.start && start <= view.end);
    const shown = spaced(visible, (burst) => shareOf(view, middleOf(burst)) * width, MIN_DISTANCE);
    shown.sort((a, b) => a.start - b.start);
    this.lane.replaceChildren(...shown.map((burst) => this.#mark(burst, view)));
  }

  /**
   * @param {Api.VocalBurst} burst
   * @param {import("../lib/time-view.js").TimeView} view
   */
  #mark(burst, view) {
    const kind = STRINGS.bursts.kinds[burst.kind] ?? burst.kind;
    const title = `${formatTime(burst.start)}: ${kind}`;
    const on = { click: () => this.onChoose(burst) };
    const mark = h("button", { type: "button", className: "burst", textContent: kind, ariaLabel: title, title, on });
    mark.style.left = `${shareOf(view, middleOf(burst)) * 100}%`;
    return mark;
  }
}

/** @param {Api.VocalBurst} burst */
const middleOf = ({ start, end }) => (start + end) / 2;

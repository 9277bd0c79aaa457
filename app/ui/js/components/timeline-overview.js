// The whole length of a timeline in a narrow strip: drag to choose what the timeline shows, double click to see all.

import { drawTrack } from "../lib/area-chart.js";
import { h } from "../lib/dom.js";
import { STRINGS } from "../lib/strings.js";
import { clamp, panned, shareOf, viewBetween } from "../lib/time-view.js";

/** Share of the length below which a drag is a click. */
const MIN_DRAG_SHARE = 0.005;

/** @typedef {import("../lib/time-view.js").TimeView} TimeView */

export class TimelineOverview {
  /** @type {TimeView} */
  #view;
  /** @type {{ from: number, grip: number | null } | null} Where a drag began, and where in the view; null: outside it. */
  #drag = null;

  /**
   * @param {{
   *   points: import("../lib/timeline-tracks.js").ChartPoint[],
   *   labels: string[],
   *   duration: number,
   *   onView: (view: TimeView) => void,
   * }} settings `points`: of the combined track
   */
  constructor({ points, labels, duration, onView }) {
    this.points = points;
    this.labels = labels;
    this.duration = duration;
    this.onView = onView;
    this.#view = { start: 0, end: duration };
    this.canvas = h("canvas", { className: "overview-canvas" });
    this.frame = h("div", { className: "overview-frame" });
    this.element = h(
      "div",
      { className: "timeline-overview", ariaHidden: "true", title: STRINGS.timeline.dragToZoom },
      this.canvas,
      this.frame,
    );
    this.#listen();
  }

  #listen() {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      const from = this.#timeAt(event);
      const { start, end } = this.#view;
      const isZoomed = end - start < this.duration;
      this.#drag = { from, grip: isZoomed && from >= start && from <= end ? from - start : null };
    });
    element.addEventListener("pointermove", (event) => this.#onDrag(event));
    element.addEventListener("pointerup", (event) => {
      const { from, grip } = this.#drag ?? {};
      const time = this.#timeAt(event);
      this.#drag = null;
      if (from === undefined || grip !== null || Math.abs(time - from) > MIN_DRAG_SHARE * this.duration) return;
      const length = this.#view.end - this.#view.start;
      this.onView(panned(this.#view, time - length / 2, this.duration));
    });
    element.addEventListener("dblclick", () => this.onView({ start: 0, end: this.duration }));
  }

  /** @param {PointerEvent} event */
  #onDrag(event) {
    if (!this.#drag) return;
    const time = this.#timeAt(event);
    const { from, grip } = this.#drag;
    if (grip !== null) this.onView(panned(this.#view, time - grip, this.duration));
    else if (Math.abs(time - from) > MIN_DRAG_SHARE * this.duration) {
      this.onView(viewBetween(from, time, this.duration));
    }
  }

  /** @param {MouseEvent} event */
  #timeAt(event) {
    const { left, width } = this.element.getBoundingClientRect();
    return clamp((event.clientX - left) / width, 0, 1) * this.duration;
  }

  /**
   * Show which part the timeline shows.
   * @param {TimeView} view
   * @param {import("../lib/area-chart.js").ChartStyle} style
   */
  draw(view, style) {
    this.#view = view;
    const whole = { start: 0, end: this.duration };
    this.frame.style.left = `${shareOf(whole, view.start) * 100}%`;
    this.frame.style.width = `${shareOf(whole, view.end - view.start) * 100}%`;
    if (this.canvas.clientWidth) drawTrack(this.canvas, this.points, whole, style);
  }
}

// The chart: lanes over one axis, a playhead, moments; hover tells, a click or a key seeks.

import { lastBefore } from "./axis.js";
import { drawLane, ticks } from "./chart.js";
import { button, make } from "./dom.js";
import { called, readingOf, stacked, swatch, told } from "./emotions.js";
import { clock, percent } from "./format.js";
import { recall, remember } from "./settings.js";

const CLOSEST = 2; // seconds that the narrowest view shows

export class Timeline {
  #view;
  #only = null;
  #patterns = recall("patterns", matchMedia("(prefers-contrast: more)").matches);
  #lanes = [];

  /** `lanes`: of lanes.js; `step`: seconds that an arrow key moves; `duration`: of the axis, seconds; `signal`: its end. */
  constructor({ lanes, labels, playback, duration, moments = [], step, signal, name = "Emotion over time" }) {
    Object.assign(this, { labels, playback, duration, moments, step });
    this.#view = { start: 0, end: duration };
    this.#lanes = lanes.map((lane) => ({ ...lane, canvas: make("canvas", { className: "lane-canvas" }) }));
    this.element = make("div", { className: "timeline" }, this.#toolbar(lanes), this.#body(name));
    this.#listen(signal);
  }

  #toolbar(lanes) {
    const legend = stacked(this.labels).reverse().map((label) => {
      const chosen = () => this.#choose(label);
      return make("button", { type: "button", className: "legend-item", ariaPressed: "false", data: { label }, on: { click: chosen } }, swatch(label), called(label));
    });
    this.legend = make("div", { className: "legend", role: "group", ariaLabel: "Show one emotion alone" }, legend, make("span", { className: "legend-gap" }, make("span", { className: "swatch gap", ariaHidden: "true" }), "nothing to read"));
    const groups = { channel: "Channels", person: "People" };
    const toggles = Object.entries(groups).filter(([group]) => lanes.some((lane) => lane.group === group)).map(([group, name]) => this.#toggle(name, true, (shown) => this.element.classList.toggle(`without-${group}`, !shown)));
    const patterns = this.#toggle("Patterns", this.#patterns, (shown) => {
      this.#patterns = shown;
      remember("patterns", shown);
      this.draw();
    });
    const zoom = [
      button("Closer", () => this.#zoom(0.5), { icon: "plus", bare: true, kind: "quiet" }),
      button("Wider", () => this.#zoom(2), { icon: "minus", bare: true, kind: "quiet" }),
    ];
    return make("div", { className: "timeline-tools" }, this.legend, make("div", { className: "tools" }, ...toggles, patterns, ...zoom));
  }

  #toggle(name, value, listener) {
    const box = make("input", { type: "checkbox", checked: value, on: { change: () => listener(box.checked) } });
    return make("label", { className: "toggle" }, box, name);
  }

  #body(name) {
    this.playhead = make("div", { className: "playhead" });
    this.pointer = make("div", { className: "pointer", hidden: true });
    this.tip = make("div", { className: "tip", hidden: true });
    const rows = this.#lanes.map((lane) =>
      make("div", { className: `lane lane-${lane.group}`, data: { lane: lane.id } }, make("span", { className: "lane-name", textContent: lane.name }), lane.canvas));
    this.axis = make("div", { className: "axis", ariaHidden: "true" });
    this.plot = make("div", { className: "plot", role: "slider", tabIndex: 0, ariaLabel: `${name}: arrows move, Home and End go to the ends` }, ...rows, this.axis, make("div", { className: "over" }, this.playhead, this.pointer), this.tip);
    this.plot.ariaValueMin = "0";
    this.plot.ariaValueMax = this.duration.toFixed(1);
    this.marks = make("div", { className: "marks", role: "group", ariaLabel: "Moments" });
    return make("div", { className: "timeline-body" }, this.marks, this.plot);
  }

  #listen(signal) {
    new ResizeObserver(() => this.draw()).observe(this.plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), { signal });
    addEventListener("themechange", () => this.draw(), { signal });
    this.playback.addEventListener("time", () => this.#follow());
    const { plot } = this;
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      plot.setPointerCapture(event.pointerId);
      this.playback.seek(this.#timeAt(event));
    });
    plot.addEventListener("pointermove", (event) => {
      if (plot.hasPointerCapture(event.pointerId)) this.playback.seek(this.#timeAt(event));
      this.#hover(event);
    });
    plot.addEventListener("pointerleave", () => this.#hover(null));
    plot.addEventListener("keydown", (event) => this.#key(event));
    plot.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
  }

  /** The part of the plot that the time axis fills: left of it stand the names. */
  #span() {
    const canvas = this.#lanes[0].canvas.getBoundingClientRect();
    return { left: canvas.left, width: canvas.width };
  }

  #timeAt(event) {
    const { left, width } = this.#span();
    const share = Math.min(Math.max((event.clientX - left) / width, 0), 1);
    return this.#view.start + share * (this.#view.end - this.#view.start);
  }

  #share(time) {
    return (time - this.#view.start) / (this.#view.end - this.#view.start);
  }

  #choose(label) {
    this.#only = this.#only === label ? null : label;
    for (const item of this.legend.querySelectorAll("button")) item.ariaPressed = String(item.dataset.label === this.#only);
    this.draw();
  }

  #key(event) {
    const moves = { ArrowLeft: -this.step, ArrowDown: -this.step, ArrowRight: this.step, ArrowUp: this.step, PageDown: -this.step * 10, PageUp: this.step * 10 };
    const { time } = this.playback;
    if (event.key in moves) this.playback.seek(time + moves[event.key] * (event.shiftKey ? 5 : 1));
    else if (event.key === "Home") this.playback.seek(0);
    else if (event.key === "End") this.playback.seek(this.duration);
    else if (event.key === " ") this.playback.toggle();
    else if (event.key === "+" || event.key === "=") this.#zoom(0.5);
    else if (event.key === "-") this.#zoom(2);
    else return;
    event.preventDefault();
  }

  #wheel(event) {
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.#zoom(event.deltaY > 0 ? 1.25 : 0.8, this.#timeAt(event));
    } else if (event.deltaX && this.#view.end - this.#view.start < this.duration) {
      event.preventDefault();
      this.#show(this.#view.start + (event.deltaX / this.#span().width) * (this.#view.end - this.#view.start));
    }
  }

  #zoom(factor, around = this.playback.time) {
    const length = Math.min(Math.max((this.#view.end - this.#view.start) * factor, Math.min(CLOSEST, this.duration)), this.duration);
    const share = Math.min(Math.max(this.#share(around), 0), 1);
    this.#show(around - share * length, length);
  }

  /** Moves the view, inside the media. */
  #show(start, length = this.#view.end - this.#view.start) {
    const bounded = Math.min(Math.max(start, 0), this.duration - length);
    this.#view = { start: bounded, end: bounded + length };
    this.draw();
  }

  draw() {
    if (!this.plot.clientWidth) return;
    const gap = getComputedStyle(this.plot).color;
    for (const lane of this.#lanes) {
      if (lane.canvas.clientWidth) drawLane(lane.canvas, lane.points, { ...this.#view, labels: this.labels, patterns: this.#patterns, only: this.#only, gap });
    }
    this.#drawAxis();
    this.#drawMoments();
    this.#follow();
  }

  #drawAxis() {
    const { width } = this.#span();
    const marks = ticks(this.#view.start, this.#view.end, Math.max(width / 80, 2));
    this.axis.replaceChildren(...marks.map((mark) => make("span", { textContent: clock(mark, 0), css: { left: `${this.#share(mark) * 100}%` } })));
  }

  #drawMoments() {
    this.marks.hidden = !this.moments.length;
    const inView = this.moments.filter(({ time }) => time >= this.#view.start && time <= this.#view.end);
    this.marks.replaceChildren(...inView.map((moment) => {
      const name = `${clock(moment.time)}: ${momentTold(moment)}`;
      return make("button", { type: "button", className: `mark ${moment.kind}`, ariaLabel: name, title: name, css: { left: `${this.#share(moment.time) * 100}%` }, on: { click: () => this.playback.seek(moment.time) } }, swatch(moment.to));
    }));
  }

  #follow() {
    const { time } = this.playback;
    const { start, end } = this.#view;
    if (this.playback.playing && (time > end || time < start)) return this.#show(time);
    const share = this.#share(time);
    this.playhead.hidden = share < 0 || share > 1;
    this.playhead.style.left = `${share * 100}%`;
    this.plot.ariaValueNow = time.toFixed(1);
    this.plot.ariaValueText = `${clock(time)}, ${told(readingOf(this.#at(this.#lanes[0], time)))}`;
  }

  #at(lane, time) {
    const index = lastBefore(lane.points, time, (point) => point.from);
    return lane.points[Math.max(index, 0)]?.probabilities ?? null;
  }

  #hover(event) {
    this.pointer.hidden = this.tip.hidden = !event;
    if (!event) return;
    const time = this.#timeAt(event);
    const share = this.#share(time);
    this.pointer.style.left = `${share * 100}%`;
    const row = event.target.closest?.(".lane");
    const lane = this.#lanes.find(({ id }) => id === row?.dataset.lane) ?? this.#lanes[0];
    const probabilities = this.#at(lane, time);
    const best = Object.entries(probabilities ?? {}).sort((one, other) => other[1] - one[1]).slice(0, 3);
    const lines = best.map(([label, value]) => make("span", { className: "tip-line" }, swatch(label), called(label), make("b", { textContent: percent(value) })));
    this.tip.replaceChildren(make("span", { className: "tip-time", textContent: `${clock(time)} · ${lane.name}` }), ...(lines.length ? lines : [called(null)]));
    const box = this.plot.getBoundingClientRect();
    const left = event.clientX - box.left;
    this.tip.style.left = `${Math.min(left + 14, box.width - this.tip.offsetWidth - 4)}px`;
    this.tip.style.top = `${event.clientY - box.top + 16}px`;
  }
}

/** `from neutral to angry`, `peak of happy`. */
export function momentTold(moment) {
  return moment.kind === "peak" ? `peak of ${called(moment.to)}` : `from ${called(moment.from)} to ${called(moment.to)}`;
}

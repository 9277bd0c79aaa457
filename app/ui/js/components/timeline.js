// The timeline: tracks over one time axis, the moments and the current time. Hovering shows a reading; a click or a key
// seeks.

import { drawTrack } from "../lib/area-chart.js";
import { button, checkbox, h } from "../lib/dom.js";
import { labelOf, listOrder, readingText, topReading } from "../lib/emotions.js";
import { formatPercent, formatTime } from "../lib/format.js";
import { lastIndexUntil } from "../lib/intervals.js";
import { momentLabel } from "../lib/moments.js";
import { STRINGS } from "../lib/strings.js";
import { clamp, panned, shareOf, ticks, zoomed } from "../lib/time-view.js";
import { loadSetting, saveSetting } from "../settings.js";
import { swatch } from "./emotion-badge.js";

const KEYBOARD_HELP = STRINGS.timeline.arrowKeysMoveHomeAnd;
/** Factor by which a larger step is longer: with Shift, and with Page Up or Page Down. */
const SHIFT_STEPS = 5;
const PAGE_STEPS = 10;
/** Factors by which a button, a key or a turn of the wheel changes the length of the view. */
const ZOOM_IN = 0.5;
const ZOOM_OUT = 2;
const WHEEL_ZOOM_IN = 0.8;
const WHEEL_ZOOM_OUT = 1.25;
/** Pixels between two labels of the axis, at least. */
const MIN_TICK_DISTANCE = 80;
const TOOLTIP_READINGS = 3;
const TOOLTIP_OFFSET = { x: 14, y: 16, margin: 4 };
/** Names of the groups of tracks that can be hidden. */
const GROUP_LABELS = { channel: STRINGS.timeline.channels, person: STRINGS.timeline.people };

/** @typedef {import("../lib/timeline-tracks.js").TimelineTrack} TimelineTrack */

export class Timeline {
  #view;
  /** @type {string | null} The one emotion that is shown; null: all. */
  #only = null;
  #patterns = loadSetting("patterns", matchMedia("(prefers-contrast: more)").matches);

  /**
   * @param {{
   *   tracks: TimelineTrack[],
   *   labels: string[],
   *   playback: import("../lib/playback.js").Playback,
   *   duration: number,
   *   moments: Api.Moment[],
   *   step: number,
   *   signal: AbortSignal,
   *   name?: string,
   * }} settings `duration`: seconds of the axis; `step`: seconds that an arrow key moves
   */
  constructor({ tracks, labels, playback, duration, moments, step, signal, name = STRINGS.timeline.emotionTimeline }) {
    this.labels = labels;
    this.playback = playback;
    this.duration = duration;
    this.moments = moments;
    this.step = step;
    this.#view = { start: 0, end: duration };
    this.tracks = tracks.map((track) => ({
      ...track,
      canvas: h("canvas", { className: "track-canvas" }),
    }));
    this.legendItems = listOrder(labels).map((label) => this.#legendItem(label));
    this.playhead = h("div", { className: "playhead" });
    this.pointer = h("div", { className: "pointer", hidden: true });
    this.tooltip = h("div", { className: "tooltip", hidden: true });
    this.axis = h("div", { className: "axis", ariaHidden: "true" });
    this.marks = h("div", { className: "marks", role: "group", ariaLabel: STRINGS.timeline.moments });
    this.plot = this.#plot(name);
    this.element = h(
      "div",
      { className: "timeline" },
      this.#toolbar(),
      h("div", { className: "timeline-body" }, this.marks, this.plot),
    );
    this.#listen(signal);
  }

  #toolbar() {
    const noSignal = h("span", { className: "swatch gap", ariaHidden: "true" });
    const legend = h(
      "div",
      { className: "legend", role: "group", ariaLabel: STRINGS.timeline.showOnlyOneEmotion },
      this.legendItems,
      h("span", { className: "legend-gap" }, noSignal, labelOf(null)),
    );
    const zoomIn = button(STRINGS.timeline.zoomIn, () => this.#zoom(ZOOM_IN), {
      icon: "plus",
      iconOnly: true,
      kind: "quiet",
    });
    const zoomOut = button(STRINGS.timeline.zoomOut, () => this.#zoom(ZOOM_OUT), {
      icon: "minus",
      iconOnly: true,
      kind: "quiet",
    });
    const tools = h("div", { className: "tools" }, this.#groupToggles(), this.#patternToggle(), zoomIn, zoomOut);
    return h("div", { className: "timeline-tools" }, legend, tools);
  }

  /** @param {string} label */
  #legendItem(label) {
    return h(
      "button",
      {
        type: "button",
        className: "legend-item",
        ariaPressed: "false",
        data: { label },
        on: { click: () => this.#toggleOnly(label) },
      },
      swatch(label),
      labelOf(label),
    );
  }

  #groupToggles() {
    return Object.entries(GROUP_LABELS)
      .filter(([group]) => this.tracks.some((track) => track.group === group))
      .map(([group, name]) => {
        /** @param {boolean} shown */
        const onChange = (shown) => void this.element.classList.toggle(`without-${group}`, !shown);
        return checkbox(name, { checked: true, onChange }).label;
      });
  }

  #patternToggle() {
    return checkbox(STRINGS.timeline.patterns, {
      checked: this.#patterns,
      onChange: (shown) => {
        this.#patterns = shown;
        saveSetting("patterns", shown);
        this.draw();
      },
    }).label;
  }

  /** @param {string} name */
  #plot(name) {
    const rows = this.tracks.map((track) =>
      h(
        "div",
        { className: `track track-${track.group}`, data: { track: track.id } },
        h("span", { className: "track-name", textContent: track.name }),
        track.canvas,
      ),
    );
    return h(
      "div",
      {
        className: "plot",
        role: "slider",
        tabIndex: 0,
        ariaLabel: `${name}. ${KEYBOARD_HELP}`,
        ariaValueMin: "0",
        ariaValueMax: this.duration.toFixed(1),
      },
      ...rows,
      this.axis,
      h("div", { className: "time-marks" }, this.playhead, this.pointer),
      this.tooltip,
    );
  }

  /** @param {AbortSignal} signal */
  #listen(signal) {
    const { plot, playback } = this;
    new ResizeObserver(() => this.draw()).observe(plot);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw(), {
      signal,
    });
    addEventListener("themechange", () => this.draw(), { signal });
    playback.addEventListener("time", () => this.#followPlayback());
    plot.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      plot.setPointerCapture(event.pointerId);
      playback.seek(this.#timeAt(event));
    });
    plot.addEventListener("pointermove", (event) => {
      if (plot.hasPointerCapture(event.pointerId)) playback.seek(this.#timeAt(event));
      this.#showTooltip(event);
    });
    plot.addEventListener("pointerleave", () => this.#hideTooltip());
    plot.addEventListener("keydown", (event) => this.#onKey(event));
    plot.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
  }

  /** The part of the plot that the time axis fills, right of the names of the tracks. */
  #axisBox() {
    return this.tracks[0].canvas.getBoundingClientRect();
  }

  /** @param {MouseEvent} event */
  #timeAt(event) {
    const { left, width } = this.#axisBox();
    const share = clamp((event.clientX - left) / width, 0, 1);
    return this.#view.start + share * (this.#view.end - this.#view.start);
  }

  /** @param {number} time */
  #percentAt(time) {
    return `${shareOf(this.#view, time) * 100}%`;
  }

  /** @param {string} label */
  #toggleOnly(label) {
    this.#only = this.#only === label ? null : label;
    for (const item of this.legendItems) item.ariaPressed = String(item.dataset.label === this.#only);
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const { playback, step } = this;
    /** @type {Record<string, number>} */
    const moves = {
      ArrowLeft: -step,
      ArrowDown: -step,
      ArrowRight: step,
      ArrowUp: step,
      PageDown: -step * PAGE_STEPS,
      PageUp: step * PAGE_STEPS,
    };
    /** @type {Record<string, () => void>} */
    const actions = {
      Home: () => playback.seek(0),
      End: () => playback.seek(this.duration),
      " ": () => playback.toggle(),
      "+": () => this.#zoom(ZOOM_IN),
      "=": () => this.#zoom(ZOOM_IN),
      "-": () => this.#zoom(ZOOM_OUT),
    };
    const { key, shiftKey } = event;
    if (key in moves) playback.seek(playback.time + moves[key] * (shiftKey ? SHIFT_STEPS : 1));
    else if (key in actions) actions[key]();
    else return;
    event.preventDefault();
  }

  /**
   * Zoom with Ctrl or a pinch; pan sideways.
   * @param {WheelEvent} event
   */
  #onWheel(event) {
    const length = this.#view.end - this.#view.start;
    if (event.ctrlKey || event.metaKey) {
      event.preventDefault();
      this.#zoom(event.deltaY > 0 ? WHEEL_ZOOM_OUT : WHEEL_ZOOM_IN, this.#timeAt(event));
    } else if (event.deltaX && length < this.duration) {
      event.preventDefault();
      this.#pan(this.#view.start + (event.deltaX / this.#axisBox().width) * length);
    }
  }

  /**
   * @param {number} factor
   * @param {number} [around] time that keeps its place
   */
  #zoom(factor, around = this.playback.time) {
    this.#view = zoomed(this.#view, factor, around, this.duration);
    this.draw();
  }

  /** @param {number} start */
  #pan(start) {
    this.#view = panned(this.#view, start, this.duration);
    this.draw();
  }

  draw() {
    if (!this.plot.clientWidth) return;
    const style = {
      labels: this.labels,
      patterns: this.#patterns,
      only: this.#only,
      gapColour: getComputedStyle(this.plot).color,
    };
    for (const { canvas, points } of this.tracks) {
      if (canvas.clientWidth) drawTrack(canvas, points, this.#view, style);
    }
    this.#drawAxis();
    this.#drawMoments();
    this.#followPlayback();
  }

  #drawAxis() {
    const maxCount = Math.max(this.#axisBox().width / MIN_TICK_DISTANCE, 2);
    const labels = ticks(this.#view, maxCount).map((time) => {
      const label = h("span", { textContent: formatTime(time, 0) });
      label.style.left = this.#percentAt(time);
      return label;
    });
    this.axis.replaceChildren(...labels);
  }

  #drawMoments() {
    const { start, end } = this.#view;
    this.marks.hidden = !this.moments.length;
    const visible = this.moments.filter(({ time }) => time >= start && time <= end);
    this.marks.replaceChildren(...visible.map((moment) => this.#momentMark(moment)));
  }

  /** @param {Api.Moment} moment */
  #momentMark(moment) {
    const name = `${formatTime(moment.time)}: ${momentLabel(moment)}`;
    const mark = h(
      "button",
      {
        type: "button",
        className: `mark ${moment.kind}`,
        ariaLabel: name,
        title: name,
        on: { click: () => this.playback.seek(moment.time) },
      },
      swatch(moment.to),
    );
    mark.style.left = this.#percentAt(moment.time);
    return mark;
  }

  #followPlayback() {
    const { time, playing } = this.playback;
    const { start, end } = this.#view;
    if (playing && (time > end || time < start)) return this.#pan(time);
    this.playhead.hidden = time < start || time > end;
    this.playhead.style.left = this.#percentAt(time);
    this.plot.ariaValueNow = time.toFixed(1);
    const reading = topReading(probabilitiesAt(this.tracks[0], time));
    this.plot.ariaValueText = `${formatTime(time)}, ${readingText(reading)}`;
  }

  #hideTooltip() {
    this.pointer.hidden = this.tooltip.hidden = true;
  }

  /** @param {PointerEvent} event */
  #showTooltip(event) {
    this.pointer.hidden = this.tooltip.hidden = false;
    const time = this.#timeAt(event);
    this.pointer.style.left = this.#percentAt(time);
    const row = event.target instanceof Element ? event.target.closest(".track") : null;
    const id = row instanceof HTMLElement ? row.dataset.track : undefined;
    const track = this.tracks.find((candidate) => candidate.id === id) ?? this.tracks[0];
    this.tooltip.replaceChildren(
      h("span", { className: "tooltip-time", textContent: `${formatTime(time)} · ${track.name}` }),
      ...tooltipLines(probabilitiesAt(track, time)),
    );
    const box = this.plot.getBoundingClientRect();
    const left = event.clientX - box.left + TOOLTIP_OFFSET.x;
    const maxLeft = box.width - this.tooltip.offsetWidth - TOOLTIP_OFFSET.margin;
    this.tooltip.style.left = `${Math.min(left, maxLeft)}px`;
    this.tooltip.style.top = `${event.clientY - box.top + TOOLTIP_OFFSET.y}px`;
  }
}

/**
 * @param {TimelineTrack} track
 * @param {number} time
 */
function probabilitiesAt({ points }, time) {
  const index = lastIndexUntil(points, time, (point) => point.from);
  return points[Math.max(index, 0)]?.probabilities ?? null;
}

/**
 * Return a line for each of the most probable emotions.
 * @param {Record<string, number> | null} probabilities
 * @returns {(Node | string)[]}
 */
function tooltipLines(probabilities) {
  if (!probabilities) return [labelOf(null)];
  const ranked = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  return ranked
    .slice(0, TOOLTIP_READINGS)
    .map(([label, value]) =>
      h(
        "span",
        { className: "tooltip-line" },
        swatch(label),
        labelOf(label),
        h("b", { textContent: formatPercent(value) }),
      ),
    );
}

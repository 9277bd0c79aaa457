// The timeline: tracks over one time axis, the moments and the current time. Hovering shows a reading; a click or a key
// seeks.

import { drawTrack } from "../lib/area-chart.js";
import { h } from "../lib/dom.js";
import { readingText, topReading } from "../lib/emotions.js";
import { formatTime } from "../lib/format.js";
import { lastIndexUntil } from "../lib/intervals.js";
import { STRINGS } from "../lib/strings.js";
import { clamp, panned, shareOf, ticks, viewBetween, viewShowing, zoomed } from "../lib/time-view.js";
import { MomentMarks } from "./moment-marks.js";
import { TimelineOverview } from "./timeline-overview.js";
import { TimelineToolbar } from "./timeline-toolbar.js";
import { TimelineTooltip } from "./timeline-tooltip.js";

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
/** Share of the view below which a drag on the axis is a click. */
const MIN_SELECTION_SHARE = 0.01;
/** Share of the axis from which on a label would be cut. */
const LAST_LABEL_SHARE = 0.97;
/** @typedef {import("../lib/timeline-tracks.js").TimelineTrack} TimelineTrack */

export class Timeline {
  #view;
  /** Time of the playback when the view last followed it. */
  #followed = 0;
  /** @type {number | null} Time at which a selection on the axis began. */
  #selectionStart = null;

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
   *   onMoment?: (moment: Api.Moment) => void,
   *   onView?: (view: import("../lib/time-view.js").TimeView) => void,
   * }} settings `duration`: seconds of the axis; `step`: seconds that an arrow key moves; `onView`: another part is shown
   */
  constructor(settings) {
    const { tracks, labels, playback, duration, moments, step, signal } = settings;
    const { name = STRINGS.timeline.emotionTimeline, onMoment, onView } = settings;
    this.labels = labels;
    this.playback = playback;
    this.duration = duration;
    this.step = step;
    this.onView = onView;
    this.#view = { start: 0, end: duration };
    this.tracks = tracks.map((track) => ({
      ...track,
      canvas: h("canvas", { className: "track-canvas" }),
    }));
    this.toolbar = new TimelineToolbar({
      labels,
      groups: tracks.map(({ group }) => group),
      onStyle: () => this.draw(),
      onGroup: (group, shown) => void this.element.classList.toggle(`without-${group}`, !shown),
      onZoom: (direction) => this.#onZoom(direction),
    });
    this.playhead = h("div", { className: "playhead" });
    this.pointer = h("div", { className: "pointer", hidden: true });
    this.selection = h("div", { className: "selection", hidden: true });
    this.tooltip = new TimelineTooltip();
    this.axis = h("div", { className: "axis", ariaHidden: "true", title: STRINGS.timeline.dragToZoom });
    this.marks = new MomentMarks(moments, onMoment ?? (({ time }) => playback.seek(time)));
    this.overview = new TimelineOverview({
      points: this.tracks[0].points,
      labels,
      duration,
      onView: (view) => this.#show(view),
    });
    this.plot = this.#plot(name);
    this.element = h(
      "div",
      { className: "timeline" },
      h("div", { className: "timeline-body" }, this.plot, this.marks.element),
      this.overview.element,
      this.toolbar.element,
    );
    this.#listen(signal);
  }

  /** @param {string} name */
  #plot(name) {
    const rows = this.tracks.map(trackRow);
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
      h("div", { className: "time-marks" }, this.selection, this.playhead, this.pointer),
      this.tooltip.element,
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
    plot.addEventListener("pointerdown", (event) => this.#onPress(event));
    plot.addEventListener("pointermove", (event) => this.#onMove(event));
    plot.addEventListener("pointerup", (event) => this.#onRelease(event));
    plot.addEventListener("dblclick", (event) => {
      if (this.#isOnAxis(event)) this.#show({ start: 0, end: this.duration });
    });
    plot.addEventListener("pointerleave", () => this.#hideTooltip());
    plot.addEventListener("keydown", (event) => this.#onKey(event));
    plot.addEventListener("wheel", (event) => this.#onWheel(event), { passive: false });
  }

  /**
   * Seek, or begin a selection on the axis; the names of tracks do nothing.
   * @param {PointerEvent} event
   */
  #onPress(event) {
    const isName = event.target instanceof Element && event.target.closest(".track-name");
    if (event.button !== 0 || isName) return;
    this.plot.setPointerCapture(event.pointerId);
    if (this.#isOnAxis(event)) this.#selectionStart = this.#timeAt(event);
    else this.playback.seek(this.#timeAt(event));
  }

  /** @param {PointerEvent} event */
  #onMove(event) {
    this.#showTooltip(event);
    if (!this.plot.hasPointerCapture(event.pointerId)) return;
    if (this.#selectionStart === null) this.playback.seek(this.#timeAt(event));
    else this.#drawSelection(this.#timeAt(event));
  }

  /** @param {PointerEvent} event */
  #onRelease(event) {
    const from = this.#selectionStart;
    if (from === null) return;
    const to = this.#timeAt(event);
    this.#selectionStart = null;
    this.selection.hidden = true;
    const isDrag = Math.abs(to - from) > MIN_SELECTION_SHARE * (this.#view.end - this.#view.start);
    if (isDrag) this.#show(viewBetween(from, to, this.duration));
    else this.playback.seek(to);
  }

  /** @param {number} time */
  #drawSelection(time) {
    const [start, end] = [this.#selectionStart ?? time, time].sort((a, b) => a - b);
    this.selection.hidden = false;
    this.selection.style.left = this.#percentAt(start);
    this.selection.style.width = `${(shareOf(this.#view, end) - shareOf(this.#view, start)) * 100}%`;
  }

  /** @param {MouseEvent} event */
  #isOnAxis(event) {
    return event.clientY >= this.axis.getBoundingClientRect().top;
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

  /** @param {"in" | "out" | "all"} direction */
  #onZoom(direction) {
    if (direction === "all") this.#show({ start: 0, end: this.duration });
    else this.#zoom(direction === "in" ? ZOOM_IN : ZOOM_OUT);
  }

  /**
   * @param {number} factor
   * @param {number} [around] time that keeps its place
   */
  #zoom(factor, around = this.playback.time) {
    this.#show(zoomed(this.#view, factor, around, this.duration));
  }

  /** @param {number} start */
  #pan(start) {
    this.#show(panned(this.#view, start, this.duration));
  }

  /** The part of the time axis that is shown. */
  get view() {
    return this.#view;
  }

  /** @param {import("../lib/time-view.js").TimeView} view */
  #show(view) {
    this.#view = view;
    this.draw();
    this.onView?.(view);
  }

  /**
   * Show other readings in the tracks of the same ids.
   * @param {TimelineTrack[]} tracks
   */
  setTracks(tracks) {
    for (const track of this.tracks) track.points = tracks.find(({ id }) => id === track.id)?.points ?? track.points;
    this.overview.points = this.tracks[0].points;
    this.draw();
  }

  /**
   * Show the lanes of raters below all others, in place of those before.
   * @param {TimelineTrack[]} lanes
   */
  setRaters(lanes) {
    for (const row of this.plot.querySelectorAll(".track-rater")) row.remove();
    const added = lanes.map((lane) => ({ ...lane, canvas: h("canvas", { className: "track-canvas" }) }));
    this.tracks = [...this.tracks.filter(({ group }) => group !== "rater"), ...added];
    this.axis.before(...added.map(trackRow));
    this.draw();
  }

  draw() {
    if (!this.plot.clientWidth) return;
    const style = {
      labels: this.labels,
      ...this.toolbar.style,
      gapColour: getComputedStyle(this.plot).color,
    };
    for (const { canvas, points } of this.tracks) {
      if (canvas.clientWidth) drawTrack(canvas, points, this.#view, style);
    }
    this.#drawAxis();
    this.marks.draw(this.#view);
    this.overview.draw(this.#view, style);
    this.toolbar.showAll.disabled = this.#view.end - this.#view.start >= this.duration;
    this.#followPlayback();
  }

  #drawAxis() {
    const maxCount = Math.max(this.#axisBox().width / MIN_TICK_DISTANCE, 2);
    const times = ticks(this.#view, maxCount).filter((time) => shareOf(this.#view, time) < LAST_LABEL_SHARE);
    const labels = times.map((time) => {
      const label = h("span", { textContent: formatTime(time, 0) });
      label.style.left = this.#percentAt(time);
      return label;
    });
    this.axis.replaceChildren(...labels);
  }

  #followPlayback() {
    const { time, playing } = this.playback;
    const { start, end } = this.#view;
    const isOutside = time > end || time < start;
    const hasMoved = time !== this.#followed;
    this.#followed = time;
    if (isOutside && playing) return this.#pan(time);
    if (isOutside && hasMoved) return this.#show(viewShowing(this.#view, time, this.duration));
    this.playhead.hidden = time < start || time > end;
    this.playhead.style.left = this.#percentAt(time);
    this.plot.ariaValueNow = time.toFixed(1);
    const reading = topReading(probabilitiesAt(this.tracks[0], time));
    this.plot.ariaValueText = `${formatTime(time)}, ${readingText(reading)}`;
  }

  #hideTooltip() {
    this.pointer.hidden = true;
    this.tooltip.hide();
  }

  /** @param {PointerEvent} event */
  #showTooltip(event) {
    this.pointer.hidden = false;
    const time = this.#timeAt(event);
    this.pointer.style.left = this.#percentAt(time);
    const row = event.target instanceof Element ? event.target.closest(".track") : null;
    const id = row instanceof HTMLElement ? row.dataset.track : undefined;
    const track = this.tracks.find((candidate) => candidate.id === id) ?? this.tracks[0];
    const reading = { name: track.name, time, probabilities: probabilitiesAt(track, time) };
    this.tooltip.show(reading, event, this.plot.getBoundingClientRect());
  }
}

/** @param {TimelineTrack & { canvas: HTMLCanvasElement }} track */
const trackRow = ({ id, group, name, canvas }) =>
  h(
    "div",
    { className: `track track-${group}`, data: { track: id } },
    h("span", { className: "track-name", textContent: name }),
    canvas,
  );

/**
 * @param {TimelineTrack} track
 * @param {number} time
 */
function probabilitiesAt({ points }, time) {
  const index = lastIndexUntil(points, time, (point) => point.from);
  return points[Math.max(index, 0)]?.probabilities ?? null;
}

// Draws one track of a timeline: stacked areas of probability over time, with hatched gaps for times without a signal.

import { colourOf, patternOf, stackOrder } from "./emotions.js";

/** Side of a pattern tile, pixels. */
const TILE_SIZE = 8;
/** Distance of the lines that hatch a gap, pixels. */
const HATCH_DISTANCE = 8;

/** Width of a line, pixels, and its dashes for each pattern. */
const LINE_WIDTH = 2;
/** @type {Record<string, number[]>} */
const DASHES = { lines: [8, 3], rising: [2, 3], falling: [6, 2, 2, 2], cross: [12, 3], dots: [3, 3] };

/** @type {Record<string, [x: number, y: number, toX: number, toY: number][]>} */
const PATTERN_STROKES = {
  lines: [[0, 4, 8, 4]],
  rising: [[0, 8, 8, 0]],
  falling: [[0, 0, 8, 8]],
  cross: [
    [0, 0, 8, 8],
    [0, 8, 8, 0],
  ],
  dots: [[3, 4, 5, 4]],
};

/** @typedef {import("./timeline-tracks.js").ChartPoint} ChartPoint */
/** @typedef {ChartPoint & { probabilities: Record<string, number> }} ReadPoint */

/**
 * How a track is drawn. `patterns`: hatch the areas as well; `lines`: a line for each emotion in place of stacked areas;
 * `only`: the one emotion that is shown, from the bottom up; `gapColour`: colour of gaps.
 * @typedef {{
 *   labels: string[], patterns?: boolean, lines?: boolean, only?: string | null, gapColour?: string,
 * }} ChartStyle
 */

/**
 * Fit a canvas to its size on the screen and clear it. Return its context, which draws in CSS pixels, and that size.
 * @param {HTMLCanvasElement} canvas
 */
export function fitCanvas(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

/**
 * Draw the points of a track in a view.
 * @param {HTMLCanvasElement} canvas
 * @param {ChartPoint[]} points ordered by time
 * @param {import("./time-view.js").TimeView} view
 * @param {ChartStyle} style
 */
export function drawTrack(canvas, points, view, style) {
  const { labels, patterns = false, lines = false, only = null, gapColour = "#888" } = style;
  const { context, width, height } = fitCanvas(canvas);
  /** @param {number} time */
  const x = (time) => ((time - view.start) / (view.end - view.start)) * width;
  const shown = only ? [only] : stackOrder(labels);
  for (const run of runsOf(visiblePoints(points, view, width))) {
    if (isRead(run) && lines) drawLines(context, run, { x, height, shown });
    else if (isRead(run)) drawAreas(context, run, { x, height, shown, patterns });
    else drawGap(context, x(run[0].from), x(run[run.length - 1].to), height, gapColour);
  }
}

/**
 * Return the points in a view, thinned out, and the neighbour on either side, so that areas continue beyond the border.
 * @param {ChartPoint[]} points
 * @param {import("./time-view.js").TimeView} view
 * @param {number} width pixels
 */
export function visiblePoints(points, view, width) {
  const visible = thinOut(
    points.filter((point) => point.to >= view.start && point.from <= view.end),
    width,
  );
  if (!visible.length) return [];
  const first = points.indexOf(visible[0]);
  const last = points.indexOf(visible[visible.length - 1]);
  return [points[first - 1], ...visible, points[last + 1]].filter(Boolean);
}

/**
 * Leave out points beyond two per pixel, but none at the border of a gap.
 * @param {ChartPoint[]} points
 * @param {number} width pixels
 */
function thinOut(points, width) {
  const stride = Math.ceil(points.length / Math.max(width * 2, 1));
  if (stride <= 1) return points;
  return points.filter((point, index) => {
    const next = points[index + 1];
    return index % stride === 0 || !next || (point.probabilities === null) !== (next.probabilities === null);
  });
}

/**
 * Group neighbours that all have a signal, or all have none.
 * @param {ChartPoint[]} points
 */
export function runsOf(points) {
  /** @type {ChartPoint[][]} */
  const runs = [];
  for (const point of points) {
    const run = runs[runs.length - 1];
    if (run && (run[0].probabilities === null) === (point.probabilities === null)) run.push(point);
    else runs.push([point]);
  }
  return runs;
}

/**
 * @param {ChartPoint[]} run
 * @returns {run is ReadPoint[]}
 */
const isRead = (run) => run[0].probabilities !== null;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ReadPoint[]} run
 * @param {{ x: (time: number) => number, height: number, shown: string[], patterns: boolean }} style
 */
function drawAreas(context, run, { x, height, shown, patterns }) {
  const last = run[run.length - 1];
  const times = [run[0].from, ...run.map((point) => point.time), last.to];
  const values = [run[0], ...run, last].map((point) => point.probabilities);
  let bottoms = times.map(() => 0);
  for (const label of shown) {
    const tops = bottoms.map((bottom, index) => bottom + (values[index][label] ?? 0));
    const area = new Path2D();
    times.forEach((time, index) => area.lineTo(x(time), height * (1 - tops[index])));
    for (let index = times.length - 1; index >= 0; index--) {
      area.lineTo(x(times[index]), height * (1 - bottoms[index]));
    }
    area.closePath();
    context.fillStyle = colourOf(label);
    context.fill(area);
    const pattern = patterns ? patternOf(label) : "none";
    if (pattern !== "none") {
      context.fillStyle = patternFill(context, pattern);
      context.fill(area);
    }
    context.strokeStyle = "rgb(255 255 255 / 55%)";
    context.lineWidth = 0.75;
    context.stroke(area);
    bottoms = tops;
  }
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {ReadPoint[]} run
 * @param {{ x: (time: number) => number, height: number, shown: string[] }} style
 */
function drawLines(context, run, { x, height, shown }) {
  const last = run[run.length - 1];
  const times = [run[0].from, ...run.map((point) => point.time), last.to];
  const values = [run[0], ...run, last].map((point) => point.probabilities);
  context.lineWidth = LINE_WIDTH;
  context.lineJoin = "round";
  for (const label of shown) {
    context.strokeStyle = colourOf(label);
    context.setLineDash(DASHES[patternOf(label)] ?? []);
    context.beginPath();
    const room = height - LINE_WIDTH;
    times.forEach((time, index) => context.lineTo(x(time), LINE_WIDTH / 2 + room * (1 - (values[index][label] ?? 0))));
    context.stroke();
  }
  context.setLineDash([]);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {number} left
 * @param {number} right
 * @param {number} height
 * @param {string} colour
 */
function drawGap(context, left, right, height, colour) {
  context.save();
  context.beginPath();
  context.rect(left, 0, right - left, height);
  context.clip();
  context.strokeStyle = colour;
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.beginPath();
  const start = Math.floor(left / HATCH_DISTANCE) * HATCH_DISTANCE - height;
  for (let x = start; x < right; x += HATCH_DISTANCE) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.stroke();
  context.restore();
}

/**
 * Return a fill that repeats dark strokes.
 * @param {CanvasRenderingContext2D} context
 * @param {string} name
 */
function patternFill(context, name) {
  const canvas = new OffscreenCanvas(TILE_SIZE, TILE_SIZE);
  const tile = /** @type {OffscreenCanvasRenderingContext2D} */ (canvas.getContext("2d"));
  tile.strokeStyle = "rgb(0 0 0 / 60%)";
  tile.lineWidth = name === "dots" ? 2 : 1;
  for (const [x, y, toX, toY] of PATTERN_STROKES[name]) {
    tile.beginPath();
    tile.moveTo(x, y);
    tile.lineTo(toX, toY);
    tile.stroke();
  }
  return /** @type {CanvasPattern} */ (context.createPattern(canvas, "repeat"));
}

// Draws a lane: stacked areas of probability over time.

import { colour, pattern, stacked } from "./emotions.js";

const TILE = 8; // pixels of a pattern

/** Fits a canvas to its box on the screen; gives its context in CSS pixels, with its size. */
export function fitted(canvas) {
  const { clientWidth: width, clientHeight: height } = canvas;
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

/**
 * Draws points (`{time, from, to, probabilities or null}`) for the seconds `start` … `end`.
 * `patterns`: hatch the areas too; `only`: the one emotion that is shown, from the bottom; `gap`: the colour of no reading.
 */
export function drawLane(canvas, points, { start, end, labels, patterns = false, only = null, gap = "#888" }) {
  const { context, width, height } = fitted(canvas);
  context.clearRect(0, 0, width, height);
  const x = (time) => ((time - start) / (end - start)) * width;
  const seen = thinned(points.filter((point) => point.to >= start && point.from <= end), width);
  const around = withNeighbours(points, seen);
  for (const run of runsOf(around)) {
    if (run[0].probabilities === null) drawGap(context, x(run[0].from), x(run.at(-1).to), height, gap);
    else drawRun(context, run, { x, height, labels, patterns, only });
  }
}

/** The points, and those right before and after them, so that areas run on beyond the border. */
function withNeighbours(points, seen) {
  if (!seen.length) return [];
  const first = points.indexOf(seen[0]);
  const last = points.indexOf(seen.at(-1));
  return [points[first - 1], ...seen, points[last + 1]].filter(Boolean);
}

/** No more than two points a pixel; of those that are left out, none is the border of a gap. */
function thinned(points, width) {
  const stride = Math.ceil(points.length / Math.max(width * 2, 1));
  if (stride <= 1) return points;
  const isBorder = (point, index) => (point.probabilities === null) !== (points[index + 1]?.probabilities === null);
  return points.filter((point, index) => index % stride === 0 || index === points.length - 1 || isBorder(point, index));
}

/** Neighbours that are all read, or all not. */
function runsOf(points) {
  const runs = [];
  for (const point of points) {
    const run = runs.at(-1);
    if (run && (run[0].probabilities === null) === (point.probabilities === null)) run.push(point);
    else runs.push([point]);
  }
  return runs;
}

function drawRun(context, run, { x, height, labels, patterns, only }) {
  const shown = only ? [only] : stacked(labels);
  const knots = [[run[0].from, run[0]], ...run.map((point) => [point.time, point]), [run.at(-1).to, run.at(-1)]];
  let floor = knots.map(() => 0);
  for (const label of shown) {
    const roof = floor.map((below, index) => below + (knots[index][1].probabilities[label] ?? 0));
    const area = new Path2D();
    knots.forEach(([time], index) => area.lineTo(x(time), height * (1 - roof[index])));
    for (let index = knots.length - 1; index >= 0; index--) area.lineTo(x(knots[index][0]), height * (1 - floor[index]));
    area.closePath();
    context.fillStyle = colour(label);
    context.fill(area);
    if (patterns && pattern(label) !== "none") {
      context.fillStyle = tile(context, pattern(label));
      context.fill(area);
    }
    context.strokeStyle = "rgb(255 255 255 / 55%)";
    context.lineWidth = 0.75;
    context.stroke(area);
    floor = roof;
  }
}

function drawGap(context, left, right, height, tone) {
  context.save();
  context.beginPath();
  context.rect(left, 0, right - left, height);
  context.clip();
  context.strokeStyle = tone;
  context.globalAlpha = 0.5;
  context.lineWidth = 1;
  context.beginPath();
  for (let across = Math.floor(left / 8) * 8 - height; across < right; across += 8) {
    context.moveTo(across, height);
    context.lineTo(across + height, 0);
  }
  context.stroke();
  context.restore();
}

const STROKES = {
  lines: [[0, 4, 8, 4]],
  rising: [[0, 8, 8, 0]],
  falling: [[0, 0, 8, 8]],
  cross: [[0, 0, 8, 8], [0, 8, 8, 0]],
  dots: [[3, 4, 5, 4]],
};

/** A small repeating picture of dark strokes. */
function tile(context, name) {
  const canvas = new OffscreenCanvas(TILE, TILE);
  const drawn = canvas.getContext("2d");
  drawn.strokeStyle = "rgb(0 0 0 / 60%)";
  drawn.lineWidth = name === "dots" ? 2 : 1;
  for (const [x, y, toX, toY] of STROKES[name]) {
    drawn.beginPath();
    drawn.moveTo(x, y);
    drawn.lineTo(toX, toY);
    drawn.stroke();
  }
  return context.createPattern(canvas, "repeat");
}

/** Round seconds for marks on an axis, at most `most` of them. */
export function ticks(start, end, most) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];
  const step = steps.find((each) => (end - start) / each <= most) ?? 7200;
  const marks = [];
  for (let mark = Math.ceil(start / step) * step; mark <= end; mark += step) marks.push(mark);
  return marks;
}

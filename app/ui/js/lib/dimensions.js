// Valence and arousal over time, as points of a plane.

/**
 * A point of the plane, 0 … 1 from the left and from the top. `time`: the middle of its window.
 * @typedef {{ x: number, y: number, time: number }} PlanePoint
 */

/**
 * Return where dimensions lie in the plane: pleasant at the right, excited at the top.
 * @param {Pick<Api.Dimensions, "valence" | "arousal">} dimensions
 */
export const placeOf = ({ valence, arousal }) => ({ x: (valence + 1) / 2, y: (1 - arousal) / 2 });

/**
 * Return the path of windows in order of time. Windows without dimensions are left out.
 * @param {Pick<Api.Window, "start" | "end" | "dimensions">[]} windows
 * @returns {PlanePoint[]}
 */
export const pathOf = (windows) =>
  windows.flatMap(({ start, end, dimensions }) =>
    dimensions ? [{ ...placeOf(dimensions), time: (start + end) / 2 }] : [],
  );

/**
 * Return a dimension with its sign, as it is read: `+0.25`, `−0.10`.
 * @param {number} value
 */
export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

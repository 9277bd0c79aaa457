// Keys of the player, as in other players: J K L, space, arrows, comma and period.

/** Seconds of a short and of a long jump. */
const SHORT_JUMP = 5;
const LONG_JUMP = 10;
/** Seconds of a frame of media that does not say how long its frames are. */
const DEFAULT_FRAME = 1 / 25;

/**
 * What a key does: `jump` moves by seconds, `frames` by frames; the others are switches.
 * @typedef {{ jump: number } | { frames: number } | "toggle" | "mute" | "full-screen" | "captions" | "loop" | "help"} KeyAction
 */

/** @type {Record<string, KeyAction>} */
const ACTIONS = {
  " ": "toggle",
  k: "toggle",
  j: { jump: -LONG_JUMP },
  l: { jump: LONG_JUMP },
  arrowleft: { jump: -SHORT_JUMP },
  arrowright: { jump: SHORT_JUMP },
  ",": { frames: -1 },
  ".": { frames: 1 },
  m: "mute",
  f: "full-screen",
  c: "captions",
  r: "loop",
  "?": "help",
};

/** Elements that use keys themselves. */
const OWN_KEYS = "input, select, textarea, [contenteditable], [role=slider], dialog";
/** Elements that the space key presses. */
const PRESSED = "button, a, summary, label";

/**
 * Return what a key does; null if nothing, or if the element that has the focus uses it.
 * @param {Pick<KeyboardEvent, "key" | "ctrlKey" | "metaKey" | "altKey">} event
 * @param {{ matches: (selector: string) => boolean, closest: (selector: string) => unknown } | null} target
 * @returns {KeyAction | null}
 */
export function keyAction({ key, ctrlKey, metaKey, altKey }, target) {
  if (ctrlKey || metaKey || altKey || target?.closest(OWN_KEYS)) return null;
  if (key === " " && target?.closest(PRESSED)) return null;
  return ACTIONS[key.toLowerCase()] ?? null;
}

/**
 * Return the seconds by which a key moves.
 * @param {{ jump: number } | { frames: number }} action
 * @param {number | null} frameRate frames per second of the media
 */
export const secondsOf = (action, frameRate) =>
  "jump" in action ? action.jump : action.frames * (frameRate ? 1 / frameRate : DEFAULT_FRAME);

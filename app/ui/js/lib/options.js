// Names of the options of an analysis, and the options that a form asks for.

import { STRINGS } from "./strings.js";
import { MODALITY_LABELS, OPTIONS } from "./tables.js";

/** @type {Record<string, string>} */
export const OPTION_LABELS = {
  modalities: STRINGS.options.analyse,
  window_seconds: STRINGS.options.windowLengthS,
  hop_seconds: STRINGS.options.stepS,
  frame_rate: STRINGS.options.faceSamplesPerSecond,
  classes: STRINGS.options.emotions,
  prior: STRINGS.options.prior,
  channels: STRINGS.options.audioChannels,
  audio_track: STRINGS.options.audioTrack,
  language: STRINGS.options.spokenLanguage,
  max_faces: STRINGS.options.facesPerFrameAtMost,
  crops: STRINGS.options.faceCrops,
  landmarks: STRINGS.options.faceLandmarks,
  heatmaps: STRINGS.options.heatmaps,
  annotate: STRINGS.options.annotatedVideo,
  thumbnails: STRINGS.options.thumbnails,
  words: STRINGS.options.timesOfWords,
  bursts: STRINGS.options.bursts,
  movements: STRINGS.options.movements,
  people: STRINGS.options.people,
  min_people: STRINGS.options.peopleAtLeast,
  max_people: STRINGS.options.peopleAtMost,
  keep_media: STRINGS.options.keepTheFileOnThe,
};

/** @type {Record<string, Record<string, string>>} */
export const CHOICE_LABELS = {
  classes: { full: STRINGS.options.n7Emotions, simplified: STRINGS.options.n5Grouped },
  prior: { natural: STRINGS.options.asCommonAsInOrdinary, uniform: STRINGS.options.allAlikeCommon },
  channels: { mix: STRINGS.options.mixed, separate: STRINGS.options.separateOneSpeakerPerChannel },
};

/** Options that are on or off and that the page offers, each with what it gives. */
export const SWITCH_HINTS = {
  heatmaps: STRINGS.options.regionsThatTheFaceModel,
  annotate: STRINGS.options.withBoxesAndLabels,
  thumbnails: STRINGS.options.aSmallImageOfEach,
  crops: STRINGS.options.eachPictureIsOneFace,
  movements: STRINGS.options.smilesBrowsAndWhere,
  people: STRINGS.options.whoIsSeenAndWho,
  keep_media: STRINGS.options.soItCanBePlayed,
};

/** @typedef {keyof typeof OPTIONS} OptionName */
/**
 * @typedef {{ default: unknown, minimum?: number, maximum?: number, enum?: readonly string[], maxLength?: number }} Option
 */

/**
 * Return default, bounds and choices of an option.
 * @param {OptionName} name
 * @returns {Option}
 */
export const optionOf = (name) => OPTIONS[name];

/**
 * Return the options that the service uses if none are sent.
 * @returns {Api.Options}
 */
export const defaultOptions = () =>
  /** @type {any} */ (Object.fromEntries(Object.entries(OPTIONS).map(([name, option]) => [name, option.default])));

/**
 * Values of the fields of a form, as they were typed.
 * @typedef {object} FormValues
 * @property {string[]} modalities those that are checked
 * @property {string} windowSeconds
 * @property {string} hopSeconds
 * @property {string} frameRate
 * @property {string} classes
 * @property {string} prior
 * @property {string} channels
 * @property {string} audioTrack empty for all tracks with sound
 * @property {string} language
 * @property {string} minPeople empty: as many as are found
 * @property {string} maxPeople
 * @property {Record<string, boolean>} switches
 */

/**
 * Return the options to send. No modality means all; the step is at most the window length, so that no gap is left.
 * @param {FormValues} values
 */
export function optionsFromForm(values) {
  const all = Object.keys(MODALITY_LABELS).length;
  const { modalities } = values;
  const windowSeconds = Number(values.windowSeconds);
  return {
    ...(modalities.length && modalities.length < all ? { modalities } : {}),
    window_seconds: windowSeconds,
    hop_seconds: Math.min(Number(values.hopSeconds), windowSeconds),
    frame_rate: Number(values.frameRate),
    classes: values.classes,
    prior: values.prior,
    channels: values.channels,
    audio_track: values.audioTrack.trim() ? Number(values.audioTrack) : "auto",
    language: values.language.trim() || null,
    min_people: peopleCount(values.minPeople),
    max_people: peopleCount(values.maxPeople),
    ...values.switches,
  };
}

/** @param {string} text */
const peopleCount = (text) => (text.trim() ? Number(text) : null);

/**
 * Return the tags in a text that separates them by commas.
 * @param {string} text
 */
export const parseTags = (text) =>
  text
    .split(",")
    .map((tag) => tag.trim())
    .filter(Boolean);

/**
 * Return the options of a job as pairs of name and value, without those that are off or not set.
 * @param {Api.Options} options
 */
export const describeOptions = (options) =>
  Object.entries(options)
    .filter(([, value]) => value !== null && value !== false)
    .map(([name, value]) => ({
      name: OPTION_LABELS[name] ?? name.replaceAll("_", " "),
      value: describeValue(name, value),
    }));

/**
 * @param {string} name
 * @param {unknown} value
 */
function describeValue(name, value) {
  if (value === true) return STRINGS.options.yes;
  if (name === "modalities") {
    return /** @type {(keyof typeof MODALITY_LABELS)[]} */ (value).map((one) => MODALITY_LABELS[one]).join(", ");
  }
  return CHOICE_LABELS[name]?.[String(value)] ?? String(value);
}

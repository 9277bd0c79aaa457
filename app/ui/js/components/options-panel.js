// The form with the options of an analysis.

import { checkbox, h, select } from "../lib/dom.js";
import {
  CHOICE_LABELS,
  OPTION_LABELS,
  SWITCH_HINTS,
  defaultOptions,
  optionOf,
  optionsFromForm,
  parseTags,
} from "../lib/options.js";
import { STRINGS } from "../lib/strings.js";
import { MODALITY_LABELS } from "../lib/tables.js";

const NUMBER_STEP = "0.25";
const TRANSCRIPT_HINT = STRINGS.optionsPanel.pasteATranscriptOrCaptions;

/** @typedef {import("../lib/options.js").OptionName} OptionName */

/** Form fields for the options and tags of one or several jobs. */
export class OptionsPanel {
  /**
   * @param {Api.Options} [options] shown at first
   * @param {string[]} [tags]
   */
  constructor(options = defaultOptions(), tags = []) {
    this.modalities = Object.entries(MODALITY_LABELS).map(([value, name]) => {
      const checked = !options.modalities || /** @type {string[]} */ (options.modalities).includes(value);
      return checkbox(name, { value, checked });
    });
    this.switches = Object.entries(SWITCH_HINTS).map(([value, hint]) => {
      const checked = options[/** @type {keyof typeof SWITCH_HINTS} */ (value)];
      return checkbox(OPTION_LABELS[value], { value, hint, checked });
    });
    this.windowSeconds = numberInput("window_seconds", options.window_seconds);
    this.hopSeconds = numberInput("hop_seconds", options.hop_seconds);
    this.frameRate = numberInput("frame_rate", options.frame_rate);
    this.classes = choice("classes", options.classes);
    this.prior = choice("prior", options.prior);
    this.channels = choice("channels", options.channels);
    this.audioTrack = textInput(STRINGS.optionsPanel.allWithSoundOr0, {
      inputMode: "numeric",
      pattern: "[0-9]{0,3}",
      value: options.audio_track === "auto" ? "" : String(options.audio_track),
    });
    this.language = textInput(STRINGS.optionsPanel.autoDetectOrEnEnglish, {
      maxLength: optionOf("language").maxLength,
      value: options.language ?? "",
    });
    this.minPeople = countInput("min_people", options.min_people);
    this.maxPeople = countInput("max_people", options.max_people);
    this.tags = textInput("e.g. study-7", { value: tags.join(", ") });
    this.transcript = h("textarea", { placeholder: TRANSCRIPT_HINT, rows: 3 });
    this.fields = h(
      "div",
      { className: "fields" },
      fieldset(OPTION_LABELS.modalities, this.modalities),
      field(OPTION_LABELS.classes, this.classes),
      field(OPTION_LABELS.prior, this.prior),
      field(OPTION_LABELS.channels, this.channels),
      field(OPTION_LABELS.audio_track, this.audioTrack),
      field(OPTION_LABELS.window_seconds, this.windowSeconds),
      field(OPTION_LABELS.hop_seconds, this.hopSeconds),
      field(OPTION_LABELS.frame_rate, this.frameRate),
      field(OPTION_LABELS.language, this.language),
      field(OPTION_LABELS.min_people, this.minPeople),
      field(OPTION_LABELS.max_people, this.maxPeople),
      fieldset(STRINGS.optionsPanel.alsoCreate, this.switches),
      field(STRINGS.optionsPanel.tagsSeparatedByCommas, this.tags, "field wide"),
      field(STRINGS.optionsPanel.transcript, this.transcript, "field wide"),
    );
  }

  /** The fields in a box that is closed at first. */
  get panel() {
    return h(
      "details",
      { className: "options" },
      h("summary", { textContent: STRINGS.optionsPanel.options }),
      this.fields,
    );
  }

  /**
   * Return a form to submit, to which the media is still to be added.
   * @param {{ single?: boolean }} [upload] `single`: only one file is sent, so the transcript belongs to it
   */
  form({ single = true } = {}) {
    const form = new FormData();
    form.append("options", JSON.stringify(this.value()));
    for (const tag of parseTags(this.tags.value)) form.append("tag", tag);
    const transcript = this.transcript.value.trim();
    if (single && transcript) form.append("transcript", transcript);
    return form;
  }

  /** Return the options as the API takes them. */
  value() {
    return optionsFromForm({
      modalities: this.modalities.filter(({ control }) => control.checked).map(({ control }) => control.value),
      windowSeconds: this.windowSeconds.value,
      hopSeconds: this.hopSeconds.value,
      frameRate: this.frameRate.value,
      classes: this.classes.value,
      prior: this.prior.value,
      channels: this.channels.value,
      audioTrack: this.audioTrack.value,
      language: this.language.value,
      minPeople: this.minPeople.value,
      maxPeople: this.maxPeople.value,
      switches: Object.fromEntries(this.switches.map(({ control }) => [control.value, control.checked])),
    });
  }
}

/**
 * @param {OptionName} name
 * @param {number} value
 */
function numberInput(name, value) {
  const { minimum, maximum } = optionOf(name);
  return h("input", {
    type: "number",
    value: String(value),
    min: String(minimum),
    max: String(maximum),
    step: NUMBER_STEP,
    required: true,
  });
}

/**
 * Create a field for a whole number, which may be empty.
 * @param {OptionName} name
 * @param {number | null | undefined} value
 */
function countInput(name, value) {
  const { minimum, maximum } = optionOf(name);
  return h("input", {
    type: "number",
    value: typeof value === "number" ? String(value) : "",
    min: String(minimum),
    max: String(maximum),
    step: "1",
  });
}

/**
 * @param {string} placeholder
 * @param {import("../lib/dom.js").Properties<HTMLInputElement>} properties
 */
const textInput = (placeholder, properties) =>
  h("input", { type: "text", placeholder, autocomplete: "off", ...properties });

/**
 * @param {OptionName} name
 * @param {string} value
 */
const choice = (name, value) =>
  select(
    (optionOf(name).enum ?? []).map((option) => [option, CHOICE_LABELS[name][option] ?? option]),
    { value },
  );

/**
 * @param {string} name
 * @param {HTMLElement} control
 * @param {string} [className]
 */
const field = (name, control, className = "field") => h("label", { className }, name, control);

/**
 * @param {string} name
 * @param {{ label: HTMLElement }[]} boxes
 */
const fieldset = (name, boxes) =>
  h(
    "fieldset",
    { className: "wide" },
    h("legend", { textContent: name }),
    boxes.map(({ label }) => label),
  );

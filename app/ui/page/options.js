// How the next files are to be read.

import { make } from "./dom.js";
import { MODALITIES } from "./emotions.js";

const DEFAULTS = { modalities: null, window_seconds: 4, hop_seconds: 2, frame_rate: 4, classes: "full", channels: "mix", language: null };
const SWITCHES = {
  heatmaps: ["Heatmaps", "what the models looked at"],
  annotate: ["Annotated video", "boxes and labels drawn in"],
  thumbnails: ["Thumbnails", "a small picture of each face"],
  keep_media: ["Keep the media", "to play it here later"],
};

/** Fields, and a panel that holds them; `form()` gives what they say. Without `options` they stand as the service has them. */
export class OptionsPanel {
  constructor(options = DEFAULTS, tags = []) {
    const read = (modality) => options.modalities === null || options.modalities.includes(modality);
    this.modalities = Object.entries(MODALITIES).map(([value, name]) => this.#box(value, name, "", read(value)));
    this.switches = Object.entries(SWITCHES).map(([value, [name, about]]) => this.#box(value, name, about, options[value] ?? false));
    this.window = this.#number("Window, seconds", options.window_seconds, 0.5, 60);
    this.hop = this.#number("A window every, seconds", options.hop_seconds, 0.25, 60);
    this.rate = this.#number("Faces a second", options.frame_rate, 0.5, 30);
    this.classes = this.#select("Emotions", { full: "seven", simplified: "five" }, options.classes);
    this.channels = this.#select("Sound channels", { mix: "mixed", separate: "apart (calls)" }, options.channels);
    this.language = this.#text("Language of the speech", "found out", { maxLength: 3, pattern: "[a-z]{2,3}", value: options.language ?? "" });
    this.tagged = this.#text("Tags, by comma", "none", { value: tags.join(", ") });
    this.said = make("textarea", { placeholder: "Text, SRT or WebVTT instead of speech recognition (one file only)", rows: 3 });
    this.fields = make("div", { className: "fields" },
      make("fieldset", { className: "wide" }, make("legend", { textContent: "Read" }), this.modalities.map(({ label }) => label)),
      this.classes.label, this.channels.label, this.window.label, this.hop.label, this.rate.label, this.language.label,
      make("fieldset", { className: "wide" }, make("legend", { textContent: "Make too" }), this.switches.map(({ label }) => label)),
      this.tagged.label, make("label", { className: "field wide" }, "Transcript", this.said));
  }

  /** Folded away until it is wanted. */
  get panel() {
    return make("details", { className: "options" }, make("summary", { textContent: "Options" }), this.fields);
  }

  /** A form to post; what is to be read is still to be appended. `alone`: it is one medium, so that a transcript may go along. */
  form({ alone = true } = {}) {
    const form = new FormData();
    form.append("options", JSON.stringify(this.value()));
    for (const tag of this.#tags()) form.append("tag", tag);
    if (alone && this.said.value.trim()) form.append("transcript", this.said.value.trim());
    return form;
  }

  value() {
    const wanted = this.modalities.filter(({ control }) => control.checked).map(({ control }) => control.value);
    const hop = Math.min(Number(this.hop.control.value), Number(this.window.control.value));
    return {
      ...(wanted.length && wanted.length < this.modalities.length ? { modalities: wanted } : {}),
      window_seconds: Number(this.window.control.value),
      hop_seconds: hop,
      frame_rate: Number(this.rate.control.value),
      classes: this.classes.control.value,
      channels: this.channels.control.value,
      language: this.language.control.value.trim() || null,
      ...Object.fromEntries(this.switches.map(({ control }) => [control.value, control.checked])),
    };
  }

  #tags() {
    return this.tagged.control.value.split(",").map((tag) => tag.trim()).filter(Boolean);
  }

  #box(value, name, about, checked) {
    const control = make("input", { type: "checkbox", value, checked });
    return { control, label: make("label", { className: "toggle" }, control, make("span", {}, name, about ? make("small", { textContent: ` ${about}` }) : null)) };
  }

  #number(name, value, min, max) {
    return this.#labelled(name, make("input", { type: "number", value, min, max, step: 0.25, required: true }));
  }

  #text(name, placeholder, properties = {}) {
    return this.#labelled(name, make("input", { type: "text", placeholder, autocomplete: "off", ...properties }));
  }

  #select(name, choices, chosen) {
    return this.#labelled(name, make("select", {}, Object.entries(choices).map(([value, textContent]) => make("option", { value, textContent, selected: value === chosen }))));
  }

  #labelled(name, control) {
    return { control, label: make("label", { className: "field" }, name, control) };
  }
}

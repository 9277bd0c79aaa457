// How the next files are to be read.

import { make } from "./dom.js";
import { MODALITIES } from "./emotions.js";

const SWITCHES = {
  heatmaps: ["Heatmaps", "what the models looked at"],
  annotate: ["Annotated video", "boxes and labels drawn in"],
  thumbnails: ["Thumbnails", "a small picture of each face"],
  keep_media: ["Keep the media", "to play it here later"],
};

/** A panel; `value()` gives the options, `transcript()` a text in place of speech recognition, `tags()` the tags. */
export class OptionsPanel {
  constructor() {
    this.modalities = Object.entries(MODALITIES).map(([value, name]) => this.#box(value, name, "", true));
    this.switches = Object.entries(SWITCHES).map(([value, [name, about]]) => this.#box(value, name, about, false));
    this.window = this.#number("Window, seconds", 4, 0.5, 60);
    this.hop = this.#number("Every, seconds", 2, 0.25, 60);
    this.rate = this.#number("Faces a second", 4, 0.5, 30);
    this.classes = this.#select("Emotions", { full: "seven", simplified: "five" });
    this.channels = this.#select("Sound channels", { mix: "mixed", separate: "apart (calls)" });
    this.language = this.#text("Language of the speech", "found out", { maxLength: 3, pattern: "[a-z]{2,3}" });
    this.tagged = this.#text("Tags, by comma", "none");
    this.said = make("textarea", { placeholder: "Text, SRT or WebVTT instead of speech recognition (one file only)", rows: 3 });
    this.element = make("details", { className: "options" }, make("summary", { textContent: "Options" }),
      make("div", { className: "fields" },
        make("fieldset", { className: "wide" }, make("legend", { textContent: "Read" }), this.modalities.map(({ label }) => label)),
        this.classes.label, this.channels.label, this.window.label, this.hop.label, this.rate.label, this.language.label,
        make("fieldset", { className: "wide" }, make("legend", { textContent: "Make too" }), this.switches.map(({ label }) => label)),
        this.tagged.label, make("label", { className: "field wide" }, "Transcript", this.said)));
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

  transcript() {
    return this.said.value.trim();
  }

  tags() {
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

  #select(name, choices) {
    return this.#labelled(name, make("select", {}, Object.entries(choices).map(([value, textContent]) => make("option", { value, textContent }))));
  }

  #labelled(name, control) {
    return { control, label: make("label", { className: "field" }, name, control) };
  }
}

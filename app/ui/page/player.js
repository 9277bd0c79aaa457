// Picture or sound beside its timeline, with the faces drawn over it.

import { button, icon, make } from "./dom.js";
import { clock } from "./format.js";
import { Overlay } from "./overlay.js";
import { Waveform } from "./waveform.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2];

export class Player {
  #media = null;
  #original = null;

  constructor({ result, playback, name }) {
    const { kind, width, height } = result.media;
    Object.assign(this, { kind, playback, name });
    this.overlay = kind === "audio" ? null : new Overlay({ size: { width, height }, playback, faces: result.faces });
    this.waveform = kind === "audio" ? new Waveform({ result, playback }) : null;
    this.message = make("p", { className: "stage-message" });
    this.screen = make("div", { className: "screen" }, this.message);
    this.stage = make("div", { className: `stage ${kind}` }, this.screen, this.overlay?.canvas, this.waveform?.canvas);
    if (width) this.stage.style.aspectRatio = `${width} / ${height}`;
    this.element = make("section", { className: "player", ariaLabel: "Player" }, this.stage, kind === "image" ? this.#imageControls() : this.#controls());
    this.playback.addEventListener("time", () => this.#show());
    this.playback.addEventListener("state", () => this.#show());
    this.#show();
  }

  /** Shows the media of an address; `address()` gives it, anew when the one before no longer holds. */
  async load(address, { annotated = false } = {}) {
    this.message.textContent = "";
    if (!annotated) this.#original = address;
    this.overlay?.hide(annotated);
    const url = await address();
    if (this.kind === "image") return this.#picture(url);
    const media = make(this.kind, { src: url, preload: "auto", playsInline: true });
    let proved = false;
    media.addEventListener("error", () => (proved ? this.load(address, { annotated }) : this.#unplayable()));
    media.addEventListener("loadedmetadata", () => {
      proved = true;
      this.overlay?.over(media);
      if (this.kind === "video" && !media.videoWidth) this.say("This browser plays the sound, but cannot show pictures of this format.");
    });
    if (this.#media) Object.assign(media, { playbackRate: this.#media.playbackRate, muted: this.#media.muted });
    this.#media = media;
    this.screen.replaceChildren(media, this.message);
    this.sound.disabled = this.speed.disabled = false;
    this.playback.attach(media);
    this.waveform?.load(url);
  }

  #picture(url) {
    const picture = make("img", { src: url, alt: this.name });
    picture.addEventListener("load", () => this.overlay.over(picture));
    picture.addEventListener("error", () => this.say("This browser cannot show the picture."));
    this.screen.replaceChildren(picture, this.message);
  }

  say(...content) {
    this.message.replaceChildren(...content);
  }

  #unplayable() {
    this.playback.attach(null);
    this.#media = null;
    this.overlay?.over(null);
    this.say("This browser cannot play the format. The faces and the timeline stand all the same.");
  }

  #controls() {
    this.toggle = button("Play", () => this.playback.toggle(), { icon: "play", bare: true, kind: "round" });
    this.position = make("input", { type: "range", min: 0, max: this.playback.duration, step: 0.01, value: 0, className: "seek", ariaLabel: "Position" });
    this.position.addEventListener("input", () => this.playback.seek(Number(this.position.value)));
    this.time = make("span", { className: "time" });
    this.sound = button("Sound off", () => this.#mute(), { icon: "sound", bare: true, kind: "quiet", disabled: true });
    this.speed = make("select", { ariaLabel: "Speed", disabled: true }, SPEEDS.map((speed) => make("option", { value: speed, textContent: `${speed}×`, selected: speed === 1 })));
    this.speed.addEventListener("change", () => (this.#media.playbackRate = Number(this.speed.value)));
    const wide = this.kind === "video" ? this.#wide() : null;
    return make("div", { className: "controls" }, this.toggle, this.position, this.time, this.sound, this.speed, ...this.#overlayControls(), wide);
  }

  #imageControls() {
    return make("div", { className: "controls" }, ...this.#overlayControls());
  }

  #overlayControls() {
    if (!this.overlay) return [];
    this.faces = this.#toggle("Faces", true, (shown) => this.overlay.show(shown));
    this.more = make("span", { className: "tools" });
    return [this.faces, this.more];
  }

  #toggle(name, checked, listener) {
    const box = make("input", { type: "checkbox", checked, on: { change: () => listener(box.checked) } });
    return make("label", { className: "toggle" }, box, name);
  }

  /** Offers a heatmap corner: the picture of the moment, over the picture that it is of. */
  offerCorner(corner) {
    this.stage.append(corner.element);
    this.more.append(this.#toggle("Heatmaps", true, (shown) => corner.show(shown)));
  }

  /** Offers the video with all drawn in, in place of the original; at once where there is no original. */
  offerAnnotated(address) {
    if (!this.#original) return this.load(address, { annotated: true });
    this.more.append(this.#toggle("Annotated", false, (annotated) => this.load(annotated ? address : this.#original, { annotated })));
  }

  #wide() {
    const toggle = () => (document.fullscreenElement ? document.exitFullscreen() : this.stage.requestFullscreen());
    return button("Full screen", toggle, { icon: "wide", bare: true, kind: "quiet" });
  }

  #mute() {
    this.#media.muted = !this.#media.muted;
    const name = this.#media.muted ? "Sound on" : "Sound off";
    Object.assign(this.sound, { ariaLabel: name, title: name });
    this.sound.replaceChildren(icon(this.#media.muted ? "silent" : "sound"));
  }

  #show() {
    if (this.kind === "image") return;
    const { time, duration, playing } = this.playback;
    this.position.value = time;
    this.position.ariaValueText = clock(time);
    this.time.textContent = `${clock(time)} / ${clock(duration)}`;
    const name = playing ? "Pause" : "Play";
    if (this.toggle.ariaLabel === name && this.toggle.dataset.shown) return;
    Object.assign(this.toggle, { ariaLabel: name, title: name });
    this.toggle.dataset.shown = "yes";
    this.toggle.replaceChildren(icon(playing ? "pause" : "play"));
  }
}

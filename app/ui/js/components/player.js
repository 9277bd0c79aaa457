// The player: picture or waveform, the faces drawn over it, and its controls.

import { button, checkbox, h, select, setIconButton } from "../lib/dom.js";
import { formatSpan, formatTime } from "../lib/format.js";
import { notify } from "../lib/notices.js";
import { peopleNames } from "../lib/people.js";
import { secondsOf } from "../lib/player-keys.js";
import { STRINGS } from "../lib/strings.js";
import { Captions } from "./captions.js";
import { FaceOverlay } from "./face-overlay.js";
import { showKeyHelp } from "./key-help.js";
import { Waveform } from "./waveform.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2];

/** @typedef {() => string | Promise<string>} UrlSource Gives a URL, and a new one if the last has become invalid. */

export class Player {
  /** @type {HTMLMediaElement | null} */
  #media = null;
  /** @type {UrlSource | null} */
  #original = null;
  /** What R repeats: the part that the timeline shows. */
  #span = { start: 0, end: 0 };

  /**
   * @param {{
   *   result: Api.Result,
   *   playback: import("../lib/playback.js").Playback,
   *   name: string,
   *   onCopyLink?: () => void,
   * }} settings `name`: of the file
   */
  constructor({ result, playback, name, onCopyLink }) {
    const { kind, width, height, frame_rate: frameRate } = result.media;
    this.kind = kind;
    this.frameRate = frameRate;
    this.#span.end = playback.duration;
    const { segments } = result.transcript;
    this.captions = kind === "video" && segments.length ? new Captions(segments, playback) : null;
    this.captionsToggle = this.captions ? this.#captionsToggle(this.captions) : null;
    this.onCopyLink = onCopyLink;
    this.playback = playback;
    this.name = name;
    const size = { width: width ?? 0, height: height ?? 0 };
    const names = peopleNames(result.people ?? []);
    this.overlay = kind === "audio" ? null : new FaceOverlay({ size, playback, faces: result.faces, names });
    this.waveform = kind === "audio" ? new Waveform({ result, playback }) : null;
    this.message = h("p", { className: "stage-message" });
    this.screen = h("div", { className: "screen" }, this.message);
    this.stage = h(
      "div",
      { className: `stage ${kind}` },
      this.screen,
      this.overlay?.canvas,
      this.waveform?.canvas,
      this.captions?.element,
    );
    if (kind === "video") this.screen.addEventListener("click", (event) => this.#onClick(event));
    if (width) this.stage.style.aspectRatio = `${width} / ${height}`;
    this.overlayTools = h("span", { className: "tools" });
    this.toggle = button(STRINGS.player.play, () => playback.toggle(), {
      icon: "play",
      iconOnly: true,
      kind: "round",
    });
    this.position = this.#positionSlider();
    this.time = h("span", { className: "time" });
    this.mute = button(STRINGS.player.mute, () => this.#toggleMute(), {
      icon: "volume",
      iconOnly: true,
      kind: "quiet",
      disabled: true,
    });
    this.speed = select(
      SPEEDS.map((speed) => [String(speed), `${speed}×`]),
      { value: "1", ariaLabel: STRINGS.player.speed, disabled: true },
    );
    this.speed.addEventListener("change", () => {
      if (this.#media) this.#media.playbackRate = Number(this.speed.value);
    });
    this.volume = this.#volumeSlider();
    const controls = h(
      "div",
      { className: "controls" },
      this.#timeControls(),
      this.#overlayControls(),
      this.captionsToggle?.label,
      this.#moreButtons(),
    );
    this.element = h("section", { className: "player", ariaLabel: STRINGS.player.player }, this.stage, controls);
    playback.addEventListener("time", () => this.#update());
    playback.addEventListener("state", () => this.#update());
    this.#update();
  }

  /**
   * Show the media of a URL.
   * @param {UrlSource} source
   * @param {{ annotated?: boolean }} [options] `annotated`: boxes and labels are part of the picture
   */
  async load(source, { annotated = false } = {}) {
    this.message.textContent = "";
    if (!annotated) this.#original = source;
    this.overlay?.setSuppressed(annotated);
    const url = await source();
    if (this.kind === "image") this.#loadImage(url);
    else this.#loadMedia(this.kind, url, () => this.load(source, { annotated }));
  }

  /** @param {string} url */
  #loadImage(url) {
    const image = h("img", { src: url, alt: this.name });
    image.addEventListener("load", () => this.overlay?.setPicture(image));
    image.addEventListener("error", () => this.showMessage(STRINGS.player.yourBrowserCantDisplayThis));
    this.screen.replaceChildren(image, this.message);
  }

  /**
   * @param {"audio" | "video"} kind
   * @param {string} url
   * @param {() => void} reload called if the URL becomes invalid
   */
  #loadMedia(kind, url, reload) {
    const media = h(kind, { src: url, preload: "auto" });
    const video = media instanceof HTMLVideoElement ? media : null;
    if (video) video.playsInline = true;
    let loaded = false;
    media.addEventListener("error", () => (loaded ? reload() : this.#showUnplayable()));
    media.addEventListener("loadedmetadata", () => {
      loaded = true;
      if (!video) return;
      this.overlay?.setPicture(video);
      if (!video.videoWidth) this.showMessage(STRINGS.player.yourBrowserCanPlayThis);
    });
    if (this.#media) {
      media.playbackRate = this.#media.playbackRate;
      media.muted = this.#media.muted;
    }
    this.#media = media;
    this.screen.replaceChildren(media, this.message);
    media.volume = Number(this.volume.value);
    this.mute.disabled = this.speed.disabled = this.volume.disabled = false;
    this.playback.attach(media);
    this.waveform?.load(url);
  }

  /** @param {...(Node | string)} content */
  showMessage(...content) {
    this.message.replaceChildren(...content);
  }

  #showUnplayable() {
    this.playback.attach(null);
    this.#media = null;
    this.overlay?.setPicture(null);
    this.showMessage(STRINGS.player.yourBrowserCantPlayThis);
  }

  #positionSlider() {
    const slider = h("input", {
      type: "range",
      min: "0",
      max: String(this.playback.duration),
      step: "0.01",
      className: "position",
      ariaLabel: STRINGS.player.position,
    });
    slider.addEventListener("input", () => this.playback.seek(Number(slider.value)));
    return slider;
  }

  #timeControls() {
    return this.kind === "image" ? [] : [this.toggle, this.position, this.time, this.mute, this.volume, this.speed];
  }

  #overlayControls() {
    const { overlay } = this;
    if (!overlay) return [];
    const faces = checkbox(STRINGS.player.faces, {
      checked: true,
      onChange: (shown) => overlay.setEnabled(shown),
    });
    return [faces.label, this.overlayTools];
  }

  /**
   * Offer heatmaps in a corner of the picture that they explain.
   * @param {import("./heatmap-inset.js").HeatmapInset} inset
   */
  offerHeatmaps(inset) {
    this.stage.append(inset.element);
    const heatmaps = checkbox(STRINGS.player.heatmaps, {
      checked: true,
      onChange: (shown) => inset.setEnabled(shown),
    });
    this.overlayTools.append(heatmaps.label);
  }

  /**
   * Offer the version with boxes and labels drawn in; show it at once if the original is not available.
   * @param {UrlSource} source
   */
  offerAnnotated(source) {
    const original = this.#original;
    if (!original) return this.load(source, { annotated: true });
    const annotated = checkbox(STRINGS.player.annotatedVersion, {
      onChange: (checked) => this.load(checked ? source : original, { annotated: checked }),
    });
    this.overlayTools.append(annotated.label);
  }

  #moreButtons() {
    if (this.kind === "image") return [];
    /**
     * @param {string} label
     * @param {string} icon
     * @param {() => unknown} onClick
     */
    const small = (label, icon, onClick) => button(label, onClick, { icon, iconOnly: true, kind: "quiet" });
    const isVideo = this.kind === "video";
    const { onCopyLink } = this;
    return [
      onCopyLink ? small(STRINGS.player.copyLink, "link", onCopyLink) : null,
      isVideo && document.pictureInPictureEnabled
        ? small(STRINGS.player.pictureInPicture, "picture-in-picture", () => this.#togglePictureInPicture())
        : null,
      isVideo ? small(STRINGS.player.fullScreen, "full-screen", () => this.#toggleFullScreen()) : null,
      onCopyLink ? small(STRINGS.player.keys, "keyboard", showKeyHelp) : null,
    ];
  }

  #toggleFullScreen() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen();
  }

  async #togglePictureInPicture() {
    if (document.pictureInPictureElement) await document.exitPictureInPicture();
    else if (this.#media instanceof HTMLVideoElement) await this.#media.requestPictureInPicture();
  }

  /** @param {Captions} captions */
  #captionsToggle(captions) {
    return checkbox(STRINGS.player.captions, {
      checked: captions.enabled,
      onChange: (shown) => captions.setEnabled(shown),
    });
  }

  #volumeSlider() {
    const slider = h("input", {
      type: "range",
      className: "volume",
      min: "0",
      max: "1",
      step: "0.05",
      value: "1",
      ariaLabel: STRINGS.player.volume,
      disabled: true,
    });
    slider.addEventListener("input", () => {
      if (this.#media) this.#media.volume = Number(slider.value);
    });
    return slider;
  }

  /**
   * Play or pause at a click on the picture; the message over it has buttons of its own.
   * @param {Event} event
   */
  #onClick(event) {
    if (event.target instanceof HTMLVideoElement) this.playback.toggle();
  }

  /**
   * Set what R repeats: the part that the timeline shows.
   * @param {{ start: number, end: number }} span seconds
   */
  setSpan(span) {
    this.#span = span;
    if (this.playback.repeated) this.playback.repeat(span);
  }

  #toggleRepeat() {
    const span = this.playback.repeated ? null : this.#span;
    this.playback.repeat(span);
    notify(span ? STRINGS.player.repeats(formatSpan(span)) : STRINGS.player.repeatsNoMore);
  }

  /**
   * Do what a key asks for.
   * @param {import("../lib/player-keys.js").KeyAction} action
   */
  act(action) {
    if (typeof action === "object") {
      this.playback.seek(this.playback.time + secondsOf(action, this.frameRate));
      return;
    }
    const actions = {
      toggle: () => this.playback.toggle(),
      mute: () => this.#toggleMute(),
      "full-screen": () => this.kind === "video" && this.#toggleFullScreen(),
      captions: () => this.captionsToggle?.control.click(),
      loop: () => this.#toggleRepeat(),
      help: showKeyHelp,
    };
    actions[action]();
  }

  #toggleMute() {
    if (!this.#media) return;
    this.#media.muted = !this.#media.muted;
    const [label, iconName] = this.#media.muted
      ? [STRINGS.player.unmute, "volume-off"]
      : [STRINGS.player.mute, "volume"];
    setIconButton(this.mute, label, iconName);
  }

  #update() {
    if (this.kind === "image") return;
    const { time, duration, playing } = this.playback;
    this.position.value = String(time);
    this.position.ariaValueText = formatTime(time);
    this.time.textContent = `${formatTime(time)} / ${formatTime(duration)}`;
    const [label, iconName] = playing ? [STRINGS.player.pause, "pause"] : [STRINGS.player.play, "play"];
    if (this.toggle.ariaLabel !== label) setIconButton(this.toggle, label, iconName);
  }
}

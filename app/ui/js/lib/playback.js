// The one playback time that player, timeline and readings share.

/** Seconds before the end at which `play` starts from the beginning. */
const END_TOLERANCE = 0.05;

/**
 * Follows a media element, or its own clock while it has no media element. Events: `time` (also on every frame while
 * playing) and `state` (playing or not).
 */
export class Playback extends EventTarget {
  /** @type {HTMLMediaElement | null} */
  #media = null;
  /** Time of the own clock when it was last set, seconds. */
  #time = 0;
  /** @type {number | null} When the own clock was started (`performance.now()`); null while it stands still. */
  #startedAt = null;
  #frameRequest = 0;
  /** @type {{ start: number, end: number } | null} What is played again and again. */
  #repeated = null;
  /** @type {number | null} Where the stretch ends that is played once. */
  #stopAt = null;

  /** @param {number | null} duration seconds */
  constructor(duration) {
    super();
    this.duration = duration ?? 0;
  }

  /**
   * Follow another media element from the current time on; null uses the own clock.
   * @param {HTMLMediaElement | null} media
   */
  attach(media) {
    const { time } = this;
    this.pause();
    this.#media = media;
    this.#time = time;
    if (!media) return;
    media.currentTime = time;
    media.addEventListener("play", () => this.#onStarted());
    for (const event of ["pause", "ended"]) media.addEventListener(event, () => this.#onStopped());
    for (const event of ["seeking", "seeked", "timeupdate"]) {
      media.addEventListener(event, () => this.#emit("time"));
    }
  }

  get time() {
    if (this.#media) return this.#media.currentTime;
    if (this.#startedAt === null) return this.#time;
    return Math.min(this.#time + (performance.now() - this.#startedAt) / 1000, this.duration);
  }

  get playing() {
    return this.#media ? !this.#media.paused && !this.#media.ended : this.#startedAt !== null;
  }

  /** @param {number} time seconds */
  seek(time) {
    const bounded = Math.min(Math.max(time, 0), this.duration);
    this.#stopAt = null;
    if (this.#media) this.#media.currentTime = bounded;
    this.#time = bounded;
    if (this.#startedAt !== null) this.#startedAt = performance.now();
    this.#emit("time");
  }

  play() {
    if (this.time >= this.duration - END_TOLERANCE) this.seek(0);
    if (this.#media) {
      this.#media.play().catch(() => this.#onStopped());
      return;
    }
    this.#startedAt = performance.now();
    this.#onStarted();
  }

  pause() {
    if (this.#media) {
      this.#media.pause();
      return;
    }
    this.#time = this.time;
    this.#startedAt = null;
    this.#onStopped();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  get repeated() {
    return this.#repeated;
  }

  /**
   * Play a stretch again and again; null plays on to the end.
   * @param {{ start: number, end: number } | null} span seconds
   */
  repeat(span) {
    this.#repeated = span;
    this.#emit("state");
  }

  /**
   * Play a stretch once, from its start to its end.
   * @param {{ start: number, end: number }} span seconds
   */
  playSpan({ start, end }) {
    this.seek(start);
    this.#stopAt = end;
    this.play();
  }

  /** Return to the start of what is repeated, or stop at the end of what is played once. */
  #turnAtEnd() {
    if (this.#repeated && this.time >= this.#repeated.end) this.seek(this.#repeated.start);
    if (this.#stopAt === null || this.time < this.#stopAt) return;
    this.#stopAt = null;
    this.pause();
  }

  /** @param {"time" | "state"} name */
  #emit(name) {
    this.dispatchEvent(new Event(name));
  }

  #onStarted() {
    this.#emit("state");
    cancelAnimationFrame(this.#frameRequest);
    const onFrame = () => {
      if (this.playing) this.#turnAtEnd();
      this.#emit("time");
      if (!this.#media && this.time >= this.duration) this.pause();
      else if (this.playing) this.#frameRequest = requestAnimationFrame(onFrame);
    };
    this.#frameRequest = requestAnimationFrame(onFrame);
  }

  #onStopped() {
    cancelAnimationFrame(this.#frameRequest);
    this.#emit("state");
    this.#emit("time");
  }
}

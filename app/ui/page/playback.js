// One time for all that moves: the player's where there is one, else a clock of its own.

/** Events: `time` (also while playing, each frame), `state` (playing or not), `source` (another medium). */
export class Playback extends EventTarget {
  #media = null;
  #time = 0;
  #since = null; // when the clock of one's own was started, where it stood
  #loop = 0;

  constructor(duration) {
    super();
    this.duration = duration ?? 0;
  }

  /** Follows an audio or video element, from where time stands; null follows none. */
  attach(media) {
    const stood = this.time;
    this.pause();
    this.#media = media;
    this.#time = stood;
    if (media) {
      media.currentTime = stood;
      media.addEventListener("play", () => this.#started());
      for (const event of ["pause", "ended"]) media.addEventListener(event, () => this.#stopped());
      for (const event of ["seeking", "seeked", "timeupdate"]) media.addEventListener(event, () => this.#tell("time"));
    }
    this.#tell("source");
  }

  get time() {
    if (this.#media) return this.#media.currentTime;
    if (this.#since === null) return this.#time;
    return Math.min(this.#time + (performance.now() - this.#since) / 1000, this.duration);
  }

  get playing() {
    return this.#media ? !this.#media.paused && !this.#media.ended : this.#since !== null;
  }

  seek(time) {
    const bounded = Math.min(Math.max(time, 0), this.duration);
    if (this.#media) this.#media.currentTime = bounded;
    this.#time = bounded;
    if (this.#since !== null) this.#since = performance.now();
    this.#tell("time");
  }

  play() {
    if (this.time >= this.duration - 0.05) this.seek(0);
    if (this.#media) {
      this.#media.play().catch(() => this.#stopped());
      return;
    }
    this.#since = performance.now();
    this.#started();
  }

  pause() {
    if (this.#media) return void this.#media.pause();
    this.#time = this.time;
    this.#since = null;
    this.#stopped();
  }

  toggle() {
    if (this.playing) this.pause();
    else this.play();
  }

  #tell(name) {
    this.dispatchEvent(new Event(name));
  }

  #started() {
    this.#tell("state");
    cancelAnimationFrame(this.#loop);
    const step = () => {
      this.#tell("time");
      if (!this.#media && this.time >= this.duration) return this.pause();
      if (this.playing) this.#loop = requestAnimationFrame(step);
    };
    this.#loop = requestAnimationFrame(step);
  }

  #stopped() {
    cancelAnimationFrame(this.#loop);
    this.#tell("state");
    this.#tell("time");
  }
}

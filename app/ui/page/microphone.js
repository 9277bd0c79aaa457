// Runs in the audio thread: what the microphone hears as PCM s16le, 16 kHz mono, a tenth of a second at a time.

const RATE = 16_000;
const BLOCK = 1_600;

class Microphone extends AudioWorkletProcessor {
  #block = new Int16Array(BLOCK);
  #filled = 0;
  #sum = 0;
  #count = 0;
  #phase = 0;

  process([[samples]]) {
    for (const sample of samples ?? []) this.#take(sample);
    return true;
  }

  /** Means over the samples that one of ours stands for; as they are where the rate is ours already. */
  #take(sample) {
    this.#sum += sample;
    this.#count += 1;
    this.#phase += RATE / sampleRate;
    if (this.#phase < 1) return;
    this.#phase -= 1;
    const mean = this.#sum / this.#count;
    this.#sum = this.#count = 0;
    this.#block[this.#filled++] = Math.max(-1, Math.min(1, mean)) * 32767;
    if (this.#filled < BLOCK) return;
    this.port.postMessage(this.#block.buffer, [this.#block.buffer]);
    this.#block = new Int16Array(BLOCK);
    this.#filled = 0;
  }
}

registerProcessor("microphone", Microphone);

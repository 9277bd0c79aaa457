// Runs in the audio thread: converts the microphone's samples to PCM s16le, 16 kHz, mono, in blocks of 0.1 s.

const SAMPLE_RATE = 16_000;
const BLOCK_SAMPLES = 1_600;

class Microphone extends AudioWorkletProcessor {
  #block = new Int16Array(BLOCK_SAMPLES);
  #filled = 0;
  #sum = 0;
  #count = 0;
  #phase = 0;

  /** @param {Float32Array[][]} inputs */
  process([[samples]]) {
    for (const sample of samples ?? []) this.#add(sample);
    return true;
  }

  /**
   * Add one sample of the microphone. An output sample is the mean of those it covers.
   * @param {number} sample
   */
  #add(sample) {
    this.#sum += sample;
    this.#count += 1;
    this.#phase += SAMPLE_RATE / sampleRate;
    if (this.#phase < 1) return;
    this.#phase -= 1;
    const mean = this.#sum / this.#count;
    this.#sum = this.#count = 0;
    this.#block[this.#filled++] = Math.max(-1, Math.min(1, mean)) * 32767;
    if (this.#filled < BLOCK_SAMPLES) return;
    this.port.postMessage(this.#block.buffer, [this.#block.buffer]);
    this.#block = new Int16Array(BLOCK_SAMPLES);
    this.#filled = 0;
  }
}

registerProcessor("microphone", Microphone);

// Loudness of audio at a glance.

/** Peak that silence is compared with, so that noise does not look loud. */
const MIN_LOUDEST = 1e-4;

/**
 * Return the greatest amplitude of each of `count` equal stretches, relative to the greatest of all.
 * @param {ArrayLike<number>} samples
 * @param {number} count
 */
export function peaks(samples, count) {
  const length = samples.length / count;
  const values = Array.from({ length: count }, (_, stretch) => {
    let peak = 0;
    for (let index = Math.floor(stretch * length); index < (stretch + 1) * length; index++) {
      peak = Math.max(peak, Math.abs(samples[index] ?? 0));
    }
    return peak;
  });
  const loudest = Math.max(...values, MIN_LOUDEST);
  return values.map((value) => value / loudest);
}

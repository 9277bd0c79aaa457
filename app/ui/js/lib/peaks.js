// Loudness of audio at a glance.

/** Peak that silence is compared with, so that noise does not look loud. */
const MIN_LOUDEST = 1e-4;

/**
 * Return the greatest amplitude of each of `count` equal stretches of each channel, relative to the greatest of all.
 * @param {ArrayLike<number>[]} channels
 * @param {number} count
 */
export function peaks(channels, count) {
  const values = channels.map((samples) => stretchPeaks(samples, count));
  const loudest = values.flat().reduce((most, value) => Math.max(most, value), MIN_LOUDEST);
  return values.map((channel) => channel.map((value) => value / loudest));
}

/**
 * @param {ArrayLike<number>} samples
 * @param {number} count
 */
function stretchPeaks(samples, count) {
  const length = samples.length / count;
  return Array.from({ length: count }, (_, stretch) => {
    let peak = 0;
    for (let index = Math.floor(stretch * length); index < (stretch + 1) * length; index++) {
      peak = Math.max(peak, Math.abs(samples[index] ?? 0));
    }
    return peak;
  });
}

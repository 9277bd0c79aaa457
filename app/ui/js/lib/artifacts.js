// The files that a job made in addition to its result: heatmaps, thumbnails, an annotated video.

import { getJson } from "../api.js";

const INDEX_NAME = "index.json";

/**
 * An artifact with what the index says of it.
 * @typedef {Api.Artifact & {
 *   title: string,
 *   kind?: string,
 *   time?: number | null,
 *   track?: number | null,
 *   person?: number | null,
 *   emotion?: string | null,
 *   words?: { word: string, weight: number }[] | null,
 * }} IndexedArtifact
 */

/**
 * Return the artifacts of a job, each with its entry of the index.
 * @param {Api.Job} job
 * @param {AbortSignal} signal
 * @returns {Promise<IndexedArtifact[]>}
 */
export async function listArtifacts(job, signal) {
  /** @type {Api.ArtifactList} */
  const { artifacts } = await getJson(job.links.artifacts, { signal });
  const index = artifacts.find(({ name }) => name === INDEX_NAME);
  return withIndex(
    artifacts.filter((artifact) => artifact !== index),
    index ? await getJson(index.link, { signal }) : [],
  );
}

/**
 * Join artifacts with the entries of the same name; the title of one without an entry is its name.
 * @param {Api.Artifact[]} artifacts
 * @param {{ name: string }[]} entries
 * @returns {IndexedArtifact[]}
 */
export function withIndex(artifacts, entries) {
  const byName = new Map(entries.map((entry) => [entry.name, entry]));
  return artifacts.map((artifact) => ({
    title: artifact.name,
    ...byName.get(artifact.name),
    ...artifact,
  }));
}

// The files beside a result: pictures of why, thumbnails, an annotated video.

import { Problem, call, read } from "./api.js";
import { make } from "./dom.js";

const INDEX = "index.json";
const NOTHING = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="; // a pixel, until it is seen

/** Each as `{name, media_type, size, link}`, and with what the index says: kind, title, time, track, emotion, words. */
export async function artifactsOf(job, signal) {
  const { artifacts } = await read(job.links.artifacts, { signal });
  const index = artifacts.find(({ name }) => name === INDEX);
  const entries = index ? await read(index.link, { signal }) : [];
  const told = new Map(entries.map((entry) => [entry.name, entry]));
  return artifacts.filter((artifact) => artifact !== index).map((artifact) => ({ title: artifact.name, ...told.get(artifact.name), ...artifact }));
}

/** A picture of an artifact, fetched when it comes into view; with the key, which a plain address cannot carry. */
export function pictureOf(artifact, signal) {
  const picture = make("img", { alt: artifact.title, className: "artifact", src: NOTHING });
  const seen = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    seen.disconnect();
    try {
      const url = URL.createObjectURL(await (await call(artifact.link, { signal })).blob());
      signal.addEventListener("abort", () => URL.revokeObjectURL(url));
      picture.src = url;
    } catch (error) {
      if (error.name !== "AbortError") picture.alt = `${artifact.title} (${Problem.of(error).title})`;
    }
  });
  seen.observe(picture);
  return picture;
}

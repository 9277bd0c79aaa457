// An image that a job made, downloaded when it comes into view.

import { call } from "../api.js";
import { h } from "../lib/dom.js";
import { objectUrl } from "../lib/local-files.js";
import { Problem, isAbort } from "../lib/problem.js";

/** A transparent pixel, shown until the image is downloaded. */
const PLACEHOLDER = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";

/**
 * Create the image of an artifact. It is fetched by script, as an `img` cannot send the API key.
 * @param {import("../lib/artifacts.js").IndexedArtifact} artifact
 * @param {AbortSignal} signal
 */
export function artifactImage(artifact, signal) {
  const image = h("img", { alt: artifact.title, className: "artifact", src: PLACEHOLDER });
  const observer = new IntersectionObserver(async (entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    observer.disconnect();
    try {
      const response = await call(artifact.link, { signal });
      image.src = objectUrl(await response.blob(), signal);
    } catch (error) {
      if (!isAbort(error)) image.alt = `${artifact.title} (${Problem.fromError(error).title})`;
    }
  });
  observer.observe(image);
  return image;
}

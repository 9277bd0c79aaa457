// Files that are dropped on any view are uploaded from the start view; leaving during an upload asks first.

/** @type {File[]} */
let dropped = [];
let uploads = 0;

/** Return the files that were dropped on another view, once. */
export function takeDropped() {
  const files = dropped;
  dropped = [];
  return files;
}

/**
 * Run an upload; while one runs, the browser asks before it leaves the page.
 * @param {() => Promise<unknown>} upload
 */
export async function whileUploading(upload) {
  uploads += 1;
  try {
    await upload();
  } finally {
    uploads -= 1;
  }
}

/** Listen to the whole page: a file that is dropped outside the start view goes there. */
export function setUpDropping() {
  addEventListener("beforeunload", (event) => {
    if (uploads) event.preventDefault();
  });
  addEventListener("dragover", (event) => {
    if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    if (document.querySelector(".upload-form") || !event.dataTransfer?.files.length) return;
    event.preventDefault();
    dropped = [...event.dataTransfer.files];
    location.hash = "#/";
  });
}

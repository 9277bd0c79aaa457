// Position of a picture, and of boxes in it, on the screen.

/** @typedef {{ x: number, y: number, width: number, height: number }} Rectangle */
/** @typedef {{ width: number, height: number }} Size */

/**
 * Return where a picture is shown in an area that it fits whole (`object-fit: contain`).
 * @param {Size} picture
 * @param {Size} area
 * @returns {Rectangle}
 */
export function containedRectangle(picture, area) {
  const scale = Math.min(area.width / picture.width, area.height / picture.height);
  const [width, height] = [picture.width * scale, picture.height * scale];
  return { x: (area.width - width) / 2, y: (area.height - height) / 2, width, height };
}

/**
 * Return the size at which a video or an image is meant to be shown; `fallback` until it has loaded.
 * @param {HTMLVideoElement | HTMLImageElement | null} picture
 * @param {Size} fallback
 * @returns {Size}
 */
export function displaySize(picture, fallback) {
  const size =
    picture && "videoWidth" in picture
      ? { width: picture.videoWidth, height: picture.videoHeight }
      : { width: picture?.naturalWidth ?? 0, height: picture?.naturalHeight ?? 0 };
  return size.width && size.height ? size : fallback;
}

/**
 * Map a box of a frame to the screen. Pixels of a frame need not be square.
 * @param {Rectangle} box pixels of the frame
 * @param {Size} frame
 * @param {Rectangle} shown where the frame is on the screen
 * @returns {Rectangle}
 */
export function boxOnScreen(box, frame, shown) {
  const [scaleX, scaleY] = [shown.width / frame.width, shown.height / frame.height];
  return {
    x: shown.x + box.x * scaleX,
    y: shown.y + box.y * scaleY,
    width: box.width * scaleX,
    height: box.height * scaleY,
  };
}

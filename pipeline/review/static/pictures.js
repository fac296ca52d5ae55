// Hides how pictures come: ahead of time, decoded, tried again where the server was away.

import { backoff, get } from "./api.js";
import { pause } from "./dom.js";

/** Where a crop is. */
export const cropUrl = (sha256) => `/crops/${sha256}`;

/** Where the whole image of a crop is. */
export const contextUrl = (sha256) => `/contexts/${sha256}`;

/**
 * Load a picture into an element until it is there; resolves to "shown", or to "missing" where the server has none.
 * @param {HTMLImageElement} image
 */
export async function load(image, url, isWanted = () => true) {
  for (let tries = 0; !tries || isWanted(); tries++) {
    image.src = tries ? `${url}?again=${tries}` : url;
    try {
      await image.decode();
      return "shown";
    } catch {
      if (await isGone(url)) return "missing";
    }
    await pause(backoff(tries));
  }
  return "unwanted";
}

async function isGone(url) {
  try {
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(10_000) });
    // A picture that comes and yet cannot be decoded is as good as none.
    return answer.ok ? (await answer.blob()).size > 0 && (await isBroken(url)) : answer.status === 404 || answer.status === 410;
  } catch {
    return false;
  }
}

async function isBroken(url) {
  const second = new Image();
  second.src = `${url}?whole=1`;
  return second.decode().then(() => false, () => true);
}

/**
 * Ask for all pictures of a page at once, which is much quicker than one by one.
 * Gives crop -> address; a crop that did not come with the others has its own.
 */
export async function together(batch) {
  const came = await get(`batches/${batch}/pictures`).catch(() => ({}));
  return (crop) => (crop in came ? `data:image/png;base64,${came[crop]}` : cropUrl(crop));
}

/** Have a picture in the browser's cache. */
export function warm(url) {
  const image = new Image();
  image.src = url;
  return image.decode().catch(() => {});
}

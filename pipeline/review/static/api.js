// Hides how the server is asked: headers, time limits, and what an answer that is none means.

import { reviewer } from "./settings.js";

const PATIENCE_MS = 20_000;
const MOST_KEPT_ALIVE = 50_000; // bytes; browsers refuse more than 64 KiB in all
const PASSING = new Set([0, 401, 403, 408, 425, 429]);

/** An answer that is an error; status 0 means that there was no answer. */
export class ApiError extends Error {
  constructor(status, message, body = {}) {
    super(message);
    Object.assign(this, { status, body });
  }

  /** Whether the same may work later. */
  get passing() {
    return PASSING.has(this.status) || this.status >= 500;
  }

  /** Whether the browser is not let in. */
  get locked() {
    return this.status === 401 || this.status === 403;
  }
}

/** Read something. */
export const get = (path, query = "") => ask(query ? `${path}?${query}` : path, {});

/** Send something; `as` names who did it, where that is not who is here now. */
export function post(path, body, { as = reviewer() } = {}) {
  const text = JSON.stringify(body);
  const options = { method: "POST", body: text, keepalive: text.length < MOST_KEPT_ALIVE };
  return ask(path, { ...options, headers: { "Content-Type": "application/json", "X-Kaoset": "1" } }, as);
}

async function ask(path, { headers = {}, ...options }, as = reviewer()) {
  const named = as ? { "X-Kaoset-Reviewer": encodeURIComponent(as) } : {};
  const full = { ...options, headers: { ...headers, ...named }, signal: AbortSignal.timeout(PATIENCE_MS), cache: "no-store" };
  let answer;
  try {
    answer = await fetch(`/api/${path}`, full);
  } catch {
    throw new ApiError(0, "the server does not answer");
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new ApiError(answer.status, body.error ?? `the server answered ${answer.status}`, body);
  return body;
}

/** Milliseconds to wait before trying for the nth time (from 0): 250 ms to 2 s, never all at once. */
export const backoff = (tries) => Math.min(2000, 250 * 2 ** tries) * (0.75 + Math.random() / 2);

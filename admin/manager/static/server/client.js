/**
 * An answer that says no. Status 0 is no answer at all.
 */
export class Refusal extends Error {
  /**
   * @param {number} status
   * @param {string} message
   * @param {Record<string, unknown>} body
   */
  constructor(status, message, body = {}) {
    super(message);
    this.name = "Refusal";
    this.status = status;
    this.body = body;
  }

  /** What is wrong with which field: the Admin API's `fields`. */
  get fields() {
    const { fields } = this.body;
    return /** @type {Record<string, unknown>} */ (typeof fields === "object" && fields !== null ? fields : {});
  }
}

/** @type {() => Promise<void>} */
let login = () => Promise.reject(new Refusal(401, "A login is needed"));

/**
 * What to do when an answer asks for a login; the request is repeated when it has been done.
 *
 * @param {() => Promise<void>} ask
 */
export function onLogin(ask) {
  login = ask;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, type?: string, signal?: AbortSignal }} [options] a body without a type is JSON
 * @returns {Promise<Response>} only answers below 400
 */
export async function request(method, path, { body, type, signal } = {}) {
  return attempt(method, path, { body, type, signal }, true);
}

/**
 * @param {string} method
 * @param {string} path
 * @param {{ body?: unknown, type?: string, signal?: AbortSignal }} options
 * @param {boolean} mayAsk whether a login may be asked for
 * @returns {Promise<Response>}
 */
async function attempt(method, path, { body, type, signal }, mayAsk) {
  /** @type {RequestInit} */
  const init = { method, signal, credentials: "same-origin", headers: { Accept: "application/json" } };
  if (body !== undefined) {
    init.headers = { Accept: "application/json", "Content-Type": type ?? "application/json" };
    init.body = type === undefined ? JSON.stringify(body) : /** @type {BodyInit} */ (body);
  }
  let response;
  try {
    response = await fetch(path, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refusal(0, "No answer from the sidecar");
  }
  if (response.ok) return response;
  if (response.status === 401 && mayAsk && path !== "/api/login") {
    await login();
    return attempt(method, path, { body, type, signal }, false);
  }
  throw await refusal(response);
}

/** @param {Response} response */
async function refusal(response) {
  const text = await response.text();
  try {
    const parsed = JSON.parse(text);
    return new Refusal(response.status, String(parsed.message ?? response.statusText), parsed);
  } catch {
    return new Refusal(response.status, `${response.status} ${response.statusText || text.slice(0, 200)}`);
  }
}

/**
 * @template T
 * @param {string} path
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 */
export async function get(path, signal) {
  return (await request("GET", path, { signal })).json();
}

/**
 * @template T
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<T>}
 */
export async function send(method, path, body) {
  const response = await request(method, path, { body });
  return response.status === 204 ? /** @type {T} */ (undefined) : response.json();
}

import { byId, fill, h } from "./dom.js";
import { Refusal } from "../server/client.js";

/**
 * Where the address points: `#/traces/4bf9…?filter=x` is path ["traces", "4bf9…"] and a query.
 *
 * @typedef {object} Place
 * @property {string[]} path
 * @property {URLSearchParams} query
 */

/**
 * A view fills the element that it is given. What it starts ends with the signal.
 *
 * @typedef {(root: HTMLElement, place: Place, signal: AbortSignal) => Promise<void> | void} View
 */

/** @type {Record<string, { title: string, styles: string[], load: () => Promise<{ open: View }> }>} */
const rooms = {
  traces: { title: "Traces", styles: [], load: () => import("../traces/view.js") },
  trace: { title: "Trace", styles: ["trace"], load: () => import("../trace/view.js") },
  overview: { title: "Overview", styles: ["trace", "overview"], load: () => import("../overview/view.js") },
  manager: { title: "Manager", styles: ["manager"], load: () => import("../manager/view.js") },
  inventory: { title: "Inventory", styles: ["trace", "inventory"], load: () => import("../inventory/view.js") },
};

/** @type {Map<string, Promise<void>>} */
const styles = new Map();

/**
 * Loads a style sheet, once. One that cannot be had is done without.
 *
 * @param {string} name
 * @returns {Promise<void>}
 */
function styled(name) {
  const loading = styles.get(name) ?? new Promise((resolve) => {
    const done = () => resolve();
    document.head.append(h("link", { rel: "stylesheet", href: `style/${name}.css`, onload: done, onerror: done }));
  });
  styles.set(name, loading);
  return loading;
}

/** @param {string} hash @returns {Place} */
export function parse(hash) {
  const [path, ...query] = hash.replace(/^#\/?/, "").split("?");
  return {
    path: path.split("/").filter(Boolean).map(decode),
    query: new URLSearchParams(query.join("?")),
  };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * The address of a place; empty values of the query are left away.
 *
 * @param {string[]} path
 * @param {Record<string, string | number | undefined>} [query]
 */
export function address(path, query = {}) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") params.set(name, String(value));
  }
  const text = params.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** @param {string} hash */
export function go(hash) {
  location.hash = hash;
}

/**
 * Changes the address without opening the place again: what the view shows already is now shareable.
 *
 * @param {string} hash
 */
export function note(hash) {
  const { path } = parse(hash);
  if (path[0] === "traces" && path.length === 1) list = hash;
  history.replaceState(null, "", hash);
}

let list = "#/traces";

/** The address of the list of traces as it was last seen, with its filter. */
export function lastList() {
  return list;
}

let ending = new AbortController();
let first = true;

/** Opens what the address says, now and whenever it changes. */
export function start() {
  addEventListener("hashchange", () => void show());
  return show();
}

/** Opens the place that the address names once more. */
export async function show() {
  const place = parse(location.hash);
  let name = place.path[0] ?? "traces";
  if (name === "traces" && place.path[1]) name = "trace";
  const room = rooms[name] ?? rooms.traces;

  ending.abort();
  ending = new AbortController();
  const signal = ending.signal;

  for (const link of document.querySelectorAll(".rooms a")) {
    const here = link.getAttribute("href") === `#/${place.path[0] ?? "traces"}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${room.title} – Sidekong`;
  const main = byId("main");
  try {
    const [{ open }] = await Promise.all([room.load(), ...room.styles.map(styled)]);
    if (signal.aborted) return;
    const root = h("div", { class: "room" });
    fill(main, root);
    main.scrollTop = 0;
    // Whoever uses a keyboard or a screen reader goes on in the new place.
    if (!first) main.focus({ preventScroll: true });
    first = false;
    await open(root, place, signal);
  } catch (error) {
    if (signal.aborted) return;
    fill(main, failure(error));
  }
}

/**
 * What stands where a view could not be shown.
 *
 * @param {unknown} error
 */
export function failure(error) {
  const text = error instanceof Error ? error.message : String(error);
  const hint = error instanceof Refusal && error.status === 0
    ? "The sidecar does not answer. Is it running?" : "";
  return h("div", { class: "empty" },
    h("h1", {}, "This cannot be shown"),
    h("p", {}, text),
    hint && h("p", { class: "quiet" }, hint),
    h("p", {}, h("button", { type: "button", onclick: () => void show() }, "Try again")));
}

/**
 * Where the address points: `#/traces/4bf9…?filter=x` is path ["traces", "4bf9…"] and a query.
 *
 * @typedef {object} Place
 * @property {string[]} path
 * @property {URLSearchParams} query
 */

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

/** Has the place that the address names opened once more. */
export function again() {
  dispatchEvent(new Event("hashchange"));
}

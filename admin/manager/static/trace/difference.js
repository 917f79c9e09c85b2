/** @typedef {import("../server/model.js").Header} Header */

/**
 * What became of one header on the way through the gateway.
 *
 * @typedef {object} Change
 * @property {string} name
 * @property {string | null} before null: it did not come in
 * @property {string | null} after null: it did not go out
 * @property {"same" | "changed" | "added" | "removed"} kind
 */

/**
 * @param {Header[]} before
 * @param {Header[]} after
 * @returns {Change[]} by name
 */
export function headerChanges(before, after) {
  const values = (/** @type {Header[]} */ headers, /** @type {string} */ name) => {
    const found = headers.filter((header) => header.name === name).map((header) => header.value);
    return found.length > 0 ? found.join(", ") : null;
  };
  const names = [...new Set([...before, ...after].map((header) => header.name))].sort();
  return names.map((name) => {
    const was = values(before, name);
    const is = values(after, name);
    const kind = was === is ? "same" : was === null ? "added" : is === null ? "removed" : "changed";
    return { name, before: was, after: is, kind };
  });
}

/**
 * The parts of a value, each with whether the other one has something else in its place.
 *
 * @param {string} value
 * @param {string | null} other
 * @returns {{ text: string, changed: boolean }[]}
 */
export function parts(value, other) {
  const cut = (/** @type {string} */ text) => text.split(/(?<=[-;,=:@/])/);
  const others = other === null ? null : cut(other);
  return cut(value).map((text, i) => ({ text, changed: others !== null && others[i] !== text }));
}

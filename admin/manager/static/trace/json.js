import { h } from "../shell/dom.js";

/**
 * JSON as people read it, made from the text itself: figures keep all their digits, and what is cut off or wrong is
 * shown as far as it goes.
 *
 * @typedef {{ kind: "key" | "string" | "number" | "word" | "mark" | "space" | "other", text: string }} Token
 */

const lexical = /("(?:[^"\\]|\\[\s\S])*"?)|(-?\d[\d.eE+-]*)|(true|false|null)|([{}[\],:])|(\s+)|([^\s{}[\],:"]+)/g;

/** Longer texts are shown as they are: colours would cost more than they tell. */
const most = 400_000;

/**
 * @param {string} text
 * @returns {Token[]}
 */
export function tokens(text) {
  /** @type {Token[]} */
  const found = [];
  for (const [all, string, number, word, mark, space] of text.matchAll(lexical)) {
    if (space) continue;
    if (mark === ":") {
      const before = found[found.length - 1];
      if (before?.kind === "string") before.kind = "key";
    }
    found.push({ kind: string ? "string" : number ? "number" : word ? "word" : mark ? "mark" : "other", text: all });
  }
  return found;
}

/**
 * The tokens with line breaks and indentation between them.
 *
 * @param {string} text
 * @returns {Token[]}
 */
export function indented(text) {
  /** @type {Token[]} */
  const result = [];
  let depth = 0;
  const all = tokens(text);
  const newLine = () => result.push({ kind: "space", text: `\n${"  ".repeat(depth)}` });
  all.forEach((token, i) => {
    const next = all[i + 1]?.text;
    if (token.text === "}" || token.text === "]") {
      depth = Math.max(0, depth - 1);
      const opened = all[i - 1]?.text;
      if (opened !== "{" && opened !== "[") newLine();
    }
    result.push(token);
    if (token.text === "{" || token.text === "[") {
      depth = Math.min(depth + 1, 60);
      if (next !== "}" && next !== "]" && next !== undefined) newLine();
    } else if (token.text === ",") newLine();
    else if (token.text === ":") result.push({ kind: "space", text: " " });
    else if (depth === 0 && next !== undefined && ![",", ":"].includes(next)) newLine();
  });
  return result;
}

/** @param {string} text @param {string} [type] content type */
export function looksLikeJSON(text, type = "") {
  return /[/+]json\b/i.test(type) || /^\s*[{[]/.test(text);
}

/** What stands where a secret was: as the gateway masks it. */
const masked = /(\[?REDACTED\]?|\[MASKED\]|\*{3,}|\[redacted[^\]]*\]|\[masked[^\]]*\])/g;

/**
 * Text with its masks marked.
 *
 * @param {string} text
 * @returns {(string | HTMLElement)[]}
 */
export function withMasks(text) {
  return text.split(masked).map((part, i) => (i % 2 === 1 ? h("mark", { class: "mask", title: "Masked by the gateway" }, part) : part));
}

const classes = /** @type {Record<string, string>} */ ({ key: "k", string: "s", number: "n", word: "c" });

/**
 * A body or value as an element: JSON indented and coloured, everything else as it is.
 *
 * @param {string} text
 * @param {{ type?: string, raw?: boolean, label?: string }} [options]
 */
export function codeBlock(text, { type = "", raw = false, label = "Content" } = {}) {
  const attributes = { class: "code wrap", tabindex: "0", role: "region", "aria-label": label };
  if (raw || text.length > most || !looksLikeJSON(text, type)) return h("pre", attributes, withMasks(text));
  return h("pre", attributes, indented(text).map((token) => {
    const name = classes[token.kind];
    return name ? h("span", { class: name }, ...withMasks(token.text)) : token.text;
  }));
}

/**
 * An attribute's value as text.
 *
 * @param {unknown} value
 */
export function shown(value) {
  return typeof value === "string" ? value : JSON.stringify(value);
}

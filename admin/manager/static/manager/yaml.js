/** Values as YAML: block style, and quotes wherever a plain word could be read as something else. */

const plain = /^[A-Za-z_/][A-Za-z0-9_./+@-]*( [A-Za-z0-9_./+@-]+)*$/;
const words = /^(?:y|n|yes|no|on|off|true|false|null|nan|inf)$/i;

/**
 * @param {unknown} value of JSON
 * @returns {string} ending with a line break
 */
export function toYAML(value) {
  return `${block(value, 0).replace(/^\n/, "")}\n`;
}

/**
 * What stands behind "key:" or "-": on the same line with a space before, or on lines of its own.
 *
 * @param {unknown} value
 * @param {number} depth of those lines
 * @returns {string}
 */
function block(value, depth) {
  const pad = `\n${"  ".repeat(depth)}`;
  if (Array.isArray(value)) {
    if (value.length === 0) return " []";
    return value.map((item) => `${pad}-${listed(item, depth)}`).join("");
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).filter(([, v]) => v !== undefined);
    if (entries.length === 0) return " {}";
    return entries.map(([key, v]) => `${pad}${scalar(key)}:${block(v, Array.isArray(v) ? depth : depth + 1)}`).join("");
  }
  if (typeof value === "string" && value.includes("\n") && !/[^\P{C}\n]/u.test(value) && !/^[\s]|[ \t]$|[ \t]\n/.test(value)) {
    const lines = value.replace(/\n+$/, "").split("\n");
    const kept = /\n\n+$/.test(value) ? "+" : value.endsWith("\n") ? "" : "-";
    const end = kept === "+" ? "\n".repeat(value.length - value.replace(/\n+$/, "").length - 1) : "";
    return ` |${kept}${lines.map((line) => (line ? `\n${"  ".repeat(Math.max(1, depth))}${line}` : "\n")).join("")}${end}`;
  }
  return ` ${scalar(value)}`;
}

/** @param {unknown} item @param {number} depth @returns {string} */
function listed(item, depth) {
  const text = block(item, depth + 1);
  // The first line of what is nested stands beside the dash.
  return text.startsWith("\n") ? ` ${text.trimStart()}` : text;
}

/** @param {unknown} value */
function scalar(value) {
  if (typeof value === "string") return plain.test(value) && !words.test(value) ? value : JSON.stringify(value);
  return String(value);
}

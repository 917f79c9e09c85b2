/** @typedef {import("../server/model.js").Span} Span */

/**
 * For each span the place behind its last descendant: spans are depth first, so that a subtree is a stretch.
 *
 * @param {Span[]} spans
 * @returns {number[]}
 */
export function subtreeEnds(spans) {
  const ends = new Array(spans.length).fill(spans.length);
  /** @type {number[]} */
  const open = [];
  spans.forEach((span, i) => {
    while (open.length > 0 && spans[open[open.length - 1]].depth >= span.depth) ends[/** @type {number} */ (open.pop())] = i;
    open.push(i);
  });
  return ends;
}

/**
 * The places of the spans that are seen when some are folded.
 *
 * @param {Span[]} spans
 * @param {number[]} ends
 * @param {Set<string>} folded ids
 */
export function unfolded(spans, ends, folded) {
  const seen = [];
  for (let i = 0; i < spans.length;) {
    seen.push(i);
    i = folded.has(spans[i].id) ? ends[i] : i + 1;
  }
  return seen;
}

/**
 * Steps for a ruler: round figures, about `wanted` of them.
 *
 * @param {number} from
 * @param {number} to
 * @param {number} wanted
 */
export function ticks(from, to, wanted) {
  const raw = (to - from) / Math.max(1, wanted);
  if (!(raw > 0)) return [];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw) ?? 10 * power;
  const result = [];
  for (let k = Math.ceil(from / step - 1e-9); k * step <= to + step * 1e-9 && result.length < 100; k++) result.push(k === 0 ? 0 : k * step);
  return result;
}

import { fill, h, s } from "../shell/dom.js";
import { clock } from "../shell/format.js";
import { line, roundUp } from "./scale.js";

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {string} tone class of its colour
 * @property {number[]} values
 * @property {boolean} [area] filled down to the axis
 * @property {boolean} [gaps] 0 is no value
 *
 * @typedef {object} ChartData
 * @property {number} start
 * @property {number} step
 * @property {Line[]} lines
 */

const height = 150;
const margin = { top: 8, right: 8, bottom: 20, left: 52 };

/**
 * Lines over time. The pointer, or the arrow keys, tell the values at a point.
 *
 * @param {string} title
 * @param {(value: number) => string} format
 * @param {AbortSignal} signal
 */
export function chart(title, format, signal) {
  /** @type {ChartData} */
  let data = { start: 0, step: 1, lines: [] };
  let at = -1;
  const picture = s("svg", { height, "aria-hidden": "true" });
  const told = h("span", { class: "told", role: "status" });
  const plot = h("div", {
    class: "plot", tabindex: "0", role: "group",
    onpointermove: (/** @type {PointerEvent} */ event) => point(event.offsetX),
    onpointerleave: () => choose(-1), onblur: () => choose(-1),
    onkeydown: (/** @type {KeyboardEvent} */ event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      choose(Math.max(0, Math.min(length() - 1, at < 0 ? length() - 1 : at + step)));
    },
  }, picture);
  const element = h("figure", { class: "panel chart" },
    h("header", {}, h("h2", {}, title), told), plot);
  const resized = new ResizeObserver(() => draw());
  resized.observe(plot);
  signal.addEventListener("abort", () => resized.disconnect());

  const length = () => data.lines[0]?.values.length ?? 0;
  const width = () => Math.max(120, plot.clientWidth);
  const x = (/** @type {number} */ i) => margin.left + (width() - margin.left - margin.right) * (length() > 1 ? i / (length() - 1) : 0.5);

  /** @param {number} offset */
  function point(offset) {
    const share = (offset - margin.left) / (width() - margin.left - margin.right);
    choose(Math.max(0, Math.min(length() - 1, Math.round(share * (length() - 1)))));
  }

  /** @param {number} index */
  function choose(index) {
    if (index === at) return;
    at = index;
    draw();
  }

  function draw() {
    const most = roundUp(Math.max(...data.lines.flatMap((one) => one.values), 0));
    const bottom = height - margin.bottom;
    const y = (/** @type {number} */ value) => bottom - (bottom - margin.top) * (value / most);
    picture.setAttribute("width", String(width()));
    const marks = [0, 0.5, 1].map((share) => {
      const level = y(share * most);
      return [
        s("line", { class: "grid", x1: margin.left, x2: width() - margin.right, y1: level, y2: level }),
        s("text", { x: margin.left - 8, y: level + 4, "text-anchor": "end" }, format(share * most)),
      ];
    });
    const times = [0, 0.5, 1].map((share) => {
      const i = Math.round(share * (length() - 1));
      return s("text", { x: x(i), y: height - 5, "text-anchor": ["start", "middle", "end"][share * 2] }, clock(data.start + i * data.step).slice(0, data.step < 60_000 ? 8 : 5));
    });
    const lines = data.lines.map((one) => {
      const path = line(one.values, x, y, one.gaps ?? false);
      return s("g", { class: one.tone },
        one.area && path && s("path", { class: "area", d: `${path}L${x(length() - 1)} ${bottom}L${x(0)} ${bottom}Z` }),
        s("path", { class: "line", d: path }));
    });
    fill(picture, marks.flat(), length() > 0 ? times : [], lines,
      at >= 0 && s("line", { class: "cross", x1: x(at), x2: x(at), y1: margin.top, y2: bottom }));
    tell();
  }

  function tell() {
    const i = at >= 0 ? at : -1;
    fill(told, i >= 0 && h("span", { class: "quiet" }, clock(data.start + i * data.step).slice(0, 8)),
      data.lines.map((one) => h("span", { class: `key ${one.tone}` }, i >= 0 ? `${one.name} ${format(one.values[i])}` : one.name)));
  }

  /** @param {ChartData} next */
  function show(next) {
    data = next;
    const last = data.lines.map((one) => `${one.name} ${format(one.values.at(-2) ?? one.values.at(-1) ?? 0)}`);
    plot.setAttribute("aria-label", `${title}, now ${last.join(", ")}. Arrow keys tell earlier values.`);
    draw();
  }

  return { element, show };
}

/**
 * A line without axes, beside a row.
 *
 * @param {number[]} values
 */
export function spark(values) {
  const most = Math.max(...values, 1);
  const path = line(values, (i) => i * 96 / Math.max(1, values.length - 1) + 2, (value) => 20 - value / most * 18, false);
  return s("svg", { class: "spark", width: 100, height: 22, "aria-hidden": "true" }, s("path", { class: "line", d: path }));
}

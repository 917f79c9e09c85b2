import { fill, h, s } from "../shell/dom.js";
import { count, duration, percent } from "../shell/format.js";
import { address, go } from "../shell/address.js";
import { quote } from "../traces/filter.js";
import { columns } from "./scale.js";

/**
 * @typedef {import("../server/model.js").ServiceMap} ServiceMap
 * @typedef {import("../server/model.js").MapNode} MapNode
 */

const box = { width: 176, height: 48, gapX: 92, gapY: 18 };
const kinds = { client: "callers", gateway: "gateway", service: "service", database: "database", external: "outside" };

/**
 * Who calls whom.
 *
 * @param {ServiceMap} map
 */
export function serviceMap(map) {
  if (map.nodes.length === 0) return h("p", { class: "empty" }, "No traces to draw it from yet.");
  const busiest = [...map.nodes].sort((a, b) => b.requests - a.requests).slice(0, 80);
  const nodes = new Map(busiest.map((node) => [node.id, node]));
  const edges = map.edges.filter((edge) => nodes.has(edge.from) && nodes.has(edge.to));
  const order = columns([...nodes.keys()], edges);
  const tallest = Math.max(...order.map((column) => column.length));
  const height = tallest * (box.height + box.gapY);
  const width = order.length * (box.width + box.gapX) - box.gapX;
  /** @type {Map<string, { x: number, y: number }>} */
  const places = new Map();
  order.forEach((column, i) => column.forEach((id, j) => places.set(id, {
    x: i * (box.width + box.gapX), y: (height - column.length * (box.height + box.gapY) + box.gapY) / 2 + j * (box.height + box.gapY),
  })));
  const most = Math.max(...edges.map((edge) => edge.requests), 1);

  const picture = s("svg", { width: width + 4, height: height + 4, viewBox: `-2 -2 ${width + 4} ${height + 4}`, role: "group", "aria-label": "Service map" });
  fill(picture,
    s("defs", {}, ["", "bad"].map((tone) => s("marker", {
      id: `arrow${tone}`, class: `arrow ${tone}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto",
    }, s("path", { d: "M0 0L8 4L0 8Z" })))),
    edges.map((edge) => {
      const from = places.get(edge.from);
      const to = places.get(edge.to);
      if (!from || !to) return null;
      const back = to.x <= from.x;
      const [x1, y1] = [from.x + box.width, from.y + box.height / 2];
      const [x2, y2] = back ? [to.x + box.width / 2, to.y + box.height] : [to.x - 2, to.y + box.height / 2];
      const bend = back ? 60 : (x2 - x1) / 2;
      const bad = edge.errors > 0;
      const path = s("path", {
        class: `edge ${bad ? "bad" : ""}`, "stroke-width": (1 + 3 * edge.requests / most).toFixed(1), "marker-end": `url(#arrow${bad ? "bad" : ""})`,
        d: back ? `M${x1} ${y1}C${x1 + bend} ${y1} ${x2} ${y2 + bend} ${x2} ${y2}` : `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}`,
      });
      const what = `${nodes.get(edge.from)?.name} → ${nodes.get(edge.to)?.name}: ${count(edge.requests)} calls, ${count(edge.errors)} failed, ${duration(edge.mean)} on average`;
      return s("g", {}, s("title", {}, what), path);
    }),
    busiest.map((node) => nodeBox(node, places.get(node.id) ?? { x: 0, y: 0 })));
  return h("div", { class: "scroll-x map", tabindex: "0", role: "region", "aria-label": "Service map" }, picture);
}

/** @param {MapNode} node @param {{ x: number, y: number }} at */
function nodeBox(node, at) {
  const failing = node.errors > 0;
  const told = `${count(node.requests)} · ${failing ? `${percent(node.errors / Math.max(1, node.requests))} failed · ` : ""}${duration(node.mean)}`;
  const inside = [
    s("rect", { width: box.width, height: box.height, rx: 5 }),
    s("rect", { class: "side", width: 4, height: box.height, rx: 2 }),
    s("text", { class: "name", x: 14, y: 20 }, node.name.length > 22 ? `${node.name.slice(0, 21)}…` : node.name),
    s("text", { x: 14, y: 38 }, told),
  ];
  const attributes = { class: `node-box ${node.kind} ${failing ? "bad" : ""}`, transform: `translate(${at.x} ${at.y})` };
  if (node.kind !== "service" && node.kind !== "gateway") return s("g", attributes, s("title", {}, `${node.name} (${kinds[node.kind]})`), inside);
  const href = address(["traces"], { filter: `service.name=${quote(node.name)}` });
  return s("a", { ...attributes, href, onclick: (/** @type {Event} */ event) => { event.preventDefault(); go(href); } }, inside);
}

import { get } from "../server/client.js";
import { fill, h } from "../shell/dom.js";
import { count, duration, percent } from "../shell/format.js";
import { address, note } from "../shell/address.js";
import { quote } from "../traces/filter.js";
import { chart, spark } from "./chart.js";
import { exporters } from "./exporters.js";
import { serviceMap } from "./map.js";

/**
 * @typedef {import("../server/model.js").Overview} Overview
 * @typedef {import("../server/model.js").Series} Series
 */

const windows = /** @type {[string, string][]} */ ([["300", "5 min"], ["900", "15 min"], ["3600", "1 h"], ["21600", "6 h"]]);

/** How requests go, as a whole. @type {import("../shell/router.js").View} */
export async function open(root, place, signal) {
  let wanted = place.query.get("window") ?? "300";
  const rate = chart("Requests per second", (value) => (value < 10 && value > 0 ? value.toFixed(1) : count(Math.round(value))), signal);
  const errors = chart("Errors", percent, signal);
  const latency = chart("Duration", duration, signal);
  const routes = h("div");
  const services = h("div");
  const map = h("div", {}, h("p", { class: "empty" }, "Loading …"));
  const exporting = h("div");
  const choice = h("div", { class: "joined", role: "group", "aria-label": "Time" }, windows.map(([seconds, title]) =>
    h("button", { type: "button", "data-window": seconds, onclick: () => { wanted = seconds; note(address(["overview"], { window: seconds })); void draw(); } }, title)));

  fill(root, h("div", { class: "page overview" },
    h("div", { class: "page-head" }, h("h1", {}, "Overview"), choice),
    h("div", { class: "charts" }, rate.element, errors.element, latency.element),
    h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Routes")), routes),
    h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Services")), services),
    h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Service map"), h("span", { class: "quiet" }, "from the newest traces")), map),
    h("section", { class: "panel" }, h("header", {}, h("h2", {}, "Exporters")), exporting)));

  async function draw() {
    for (const button of choice.children) button.setAttribute("aria-pressed", String(button.getAttribute("data-window") === wanted));
    const overview = /** @type {Overview} */ (await get(`/api/overview?window=${wanted}`, signal));
    const { start, step, total } = overview;
    const perSecond = (/** @type {number} */ n) => n / (step / 1000);
    rate.show({ start, step, lines: [{ name: "requests", tone: "tone-0", area: true, values: total.points.requests.map(perSecond) }] });
    errors.show({ start, step, lines: [{
      name: "share of requests", tone: "tone-bad", area: true,
      values: total.points.errors.map((n, i) => n / Math.max(1, total.points.requests[i])),
    }] });
    latency.show({ start, step, lines: [
      { name: "p50", tone: "tone-0", gaps: true, values: total.points.p50 },
      { name: "p95", tone: "tone-1", gaps: true, values: total.points.p95 },
      { name: "p99", tone: "tone-3", gaps: true, values: total.points.p99 }] });
    fill(routes, table("Route", overview.routes, overview, "route_name"));
    fill(services, table("Service", overview.services, overview, "service"));
  }

  async function drawMap() {
    fill(map, serviceMap(await get("/api/services", signal)));
  }

  async function drawExporters() {
    fill(exporting, exporters(await get("/api/exporters", signal)));
  }

  await draw();
  let round = 0;
  const again = async () => {
    if (signal.aborted) return;
    if (!document.hidden) {
      try {
        await Promise.all([round > 0 && draw(), round % 5 === 0 && drawMap(), drawExporters()]);
        round++;
      } catch {
        // The next round tries again, and what is shown stays.
      }
    }
    if (!signal.aborted) setTimeout(again, 2000);
  };
  void again();
}

/**
 * @param {string} title
 * @param {Series[]} series
 * @param {Overview} overview
 * @param {string} field of the filter that chooses one
 */
function table(title, series, overview, field) {
  if (series.length === 0) return h("p", { class: "empty" }, "No requests in this time.");
  const seconds = overview.step / 1000 * Math.max(1, overview.total.points.requests.length);
  return h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": `${title}s` }, h("table", {},
    h("thead", {}, h("tr", {}, h("th", { scope: "col" }, title), h("th", { scope: "col" }, "Over time"),
      ["Requests", "Per second", "Errors", "p50", "p95", "p99"].map((name) => h("th", { scope: "col", class: "number" }, name)))),
    h("tbody", {}, series.map((one) => h("tr", {},
      h("td", {}, one.name === "other" || one.name === "" ? h("span", { class: "quiet" }, one.name || "none")
        : h("a", { href: address(["traces"], { filter: `${field}=${quote(one.name)}` }) }, one.name),
      one.service && h("span", { class: "quiet" }, ` ${one.service}`)),
      h("td", {}, spark(one.points.requests)),
      h("td", { class: "number" }, count(one.requests)),
      h("td", { class: "number" }, (one.requests / seconds).toFixed(one.requests / seconds < 10 ? 2 : 0)),
      h("td", { class: "number" }, one.errors > 0 ? h("span", { class: "bad-text" }, percent(one.errors / Math.max(1, one.requests))) : "0 %"),
      h("td", { class: "number" }, duration(one.p50)), h("td", { class: "number" }, duration(one.p95)), h("td", { class: "number" }, duration(one.p99)))))));
}

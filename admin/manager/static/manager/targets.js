import { notify } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";

/**
 * @typedef {import("./admin.js").Admin} Admin
 * @typedef {import("../server/model.js").Entity} Entity
 *
 * @typedef {object} TargetHealth
 * @property {string} id
 * @property {string} target
 * @property {number} weight
 * @property {string} health
 * @property {{ addresses?: { ip: string, port: number, health: string }[] }} [data]
 */

const signs = /** @type {Record<string, string>} */ ({ HEALTHY: "good", UNHEALTHY: "bad", DNS_ERROR: "bad", HEALTHCHECKS_OFF: "" });

/**
 * An upstream's targets with their health, kept up to date.
 *
 * @param {Admin} admin
 * @param {Entity} upstream
 * @param {AbortSignal} signal
 */
export async function targets(admin, upstream, signal) {
  const path = `/upstreams/${upstream.id}`;
  const body = h("tbody");
  const target = h("input", { type: "text", placeholder: "host:port", "aria-label": "Target" });
  const weight = h("input", { type: "text", inputmode: "numeric", value: "100", "aria-label": "Weight", class: "short" });
  const element = h("section", { class: "panel" },
    h("header", {}, h("h2", {}, "Targets")),
    h("div", { class: "scroll-x", tabindex: "0", role: "region", "aria-label": "Targets" }, h("table", {},
      h("thead", {}, h("tr", {}, ["Target", "Weight", "Health", "Actions"].map((name) => h("th", { scope: "col" }, name)))), body)),
    !admin.readOnly && h("form", { class: "row add-target", onsubmit: add }, target, weight, h("button", {}, "+ Add")));

  async function draw() {
    const { data } = /** @type {{ data: TargetHealth[] }} */ (await admin.get(`${path}/health?size=1000`, signal));
    fill(body, data.length === 0 && h("tr", {}, h("td", { colspan: 4, class: "quiet" }, "There are no targets.")), data.map((one) => h("tr", {},
      h("td", {}, h("code", {}, one.target),
        (one.data?.addresses ?? []).map((a) => h("div", { class: "quiet mono" }, `${a.ip}:${a.port} ${a.health === one.health ? "" : a.health}`))),
      h("td", {}, String(one.weight)),
      h("td", {}, h("span", { class: `tag ${signs[one.health] ?? ""}` }, one.health.toLowerCase().replaceAll("_", " "))),
      h("td", {}, h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => act("PUT", `/targets/${one.id}/${one.health === "UNHEALTHY" ? "healthy" : "unhealthy"}`) },
          one.health === "UNHEALTHY" ? "Mark healthy" : "Mark unhealthy"),
        h("button", { type: "button", class: "danger", disabled: admin.readOnly, onclick: () => act("DELETE", `/targets/${one.id}`) }, "Delete"))))));
  }

  /** @param {string} method @param {string} rest @param {unknown} [sent] */
  async function act(method, rest, sent) {
    try {
      await admin.send(method, path + rest, sent);
      await draw();
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
    }
  }

  /** @param {Event} event */
  function add(event) {
    event.preventDefault();
    void act("POST", "/targets", { target: target.value.trim(), weight: Number(weight.value) });
  }

  await draw();
  const timer = setInterval(() => { if (!document.hidden) draw().catch(() => {}); }, 3000);
  signal.addEventListener("abort", () => clearInterval(timer));
  return element;
}

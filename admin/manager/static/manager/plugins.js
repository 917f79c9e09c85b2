import { Refusal } from "../server/client.js";
import { confirmed, notify } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { address, again } from "../shell/address.js";
import { addShortcuts } from "../shell/shortcuts.js";
import { nameOf } from "./admin.js";
import { title } from "./fields.js";
import { summaryOf } from "./help.js";
import { scopes } from "./scope.js";

/**
 * @typedef {import("./admin.js").Admin} Admin
 * @typedef {import("../server/model.js").Entity} Entity
 */

/**
 * The plugins that are configured.
 *
 * @param {HTMLElement} root
 * @param {Admin} admin
 * @param {AbortSignal} signal
 */
export async function pluginList(root, admin, signal) {
  const plugins = await admin.all("/plugins", signal);
  const names = await scopeNames(admin, plugins, signal);
  addShortcuts(signal, "Manager", { n: ["New plugin", () => { location.hash = "#/manager/plugins/new"; }] });
  fill(root,
    h("div", { class: "page-head" }, h("h1", {}, "Plugins"),
      h("a", { class: "button main", href: "#/manager/plugins/new" }, "New plugin")),
    plugins.length === 0 ? h("div", { class: "panel empty" }, h("h2", {}, "No plugin is configured"),
      h("p", {}, "The OpenTelemetry plugin exports what this page shows to a collector."),
      h("p", {}, h("a", { class: "button", href: "#/manager/plugins/new/opentelemetry" }, "Set up OpenTelemetry")))
      : h("div", { class: "panel scroll-x", tabindex: "0", role: "region", "aria-label": "Plugins" }, h("table", {},
        h("thead", {}, h("tr", {}, ["Plugin", "Status", "Scope", "Tags", "Actions"].map((name) => h("th", { scope: "col" }, name)))),
        h("tbody", {}, plugins.sort((a, b) => String(a.name).localeCompare(String(b.name))).map((plugin) => row(plugin))))));

  /** @param {Entity} plugin */
  function row(plugin) {
    const enabled = plugin.enabled === true;
    const label = String(plugin.instance_name ?? plugin.name);
    return h("tr", { "data-plugin": String(plugin.name) },
      h("td", {}, h("a", { href: address(["manager", "plugins", plugin.id]) }, title(String(plugin.name))),
        plugin.instance_name ? h("span", { class: "quiet" }, ` ${plugin.instance_name}`) : null),
      h("td", {}, h("span", { class: `tag ${enabled ? "good" : ""}` }, enabled ? "Enabled" : "Disabled")),
      h("td", {}, scopeOf(plugin)),
      h("td", {}, tags(plugin.tags)),
      h("td", {}, h("div", { class: "buttons" },
        h("a", { class: "button", href: address(["manager", "plugins", plugin.id]), "aria-label": `${admin.readOnly ? "View" : "Edit"} ${label}` }, admin.readOnly ? "View" : "Edit"),
        h("button", { type: "button", disabled: admin.readOnly, "aria-label": `${enabled ? "Disable" : "Enable"} ${label}`, onclick: () => turn(plugin) }, enabled ? "Disable" : "Enable"),
        h("button", { type: "button", class: "danger", disabled: admin.readOnly, "aria-label": `Delete ${label}`, onclick: () => remove(plugin) }, "Delete"))));
  }

  /** @param {Entity} plugin */
  function scopeOf(plugin) {
    const parts = scopes.filter((field) => plugin[field]).map((field) => {
      const { id } = /** @type {Entity} */ (plugin[field]);
      return h("span", {}, `${field} `, h("a", { href: address(["manager", `${field}s`, id]) }, names.get(id) ?? id), " ");
    });
    return parts.length > 0 ? parts : "Global";
  }

  /** @param {Entity} plugin */
  async function turn(plugin) {
    await attempt(`${plugin.name} ${plugin.enabled ? "disabled" : "enabled"}`,
      () => admin.send("PATCH", `/plugins/${plugin.id}`, { enabled: !plugin.enabled }));
  }

  /** @param {Entity} plugin */
  async function remove(plugin) {
    if (!await confirmed(`Delete ${plugin.instance_name ?? plugin.name}?`, "Its configuration is gone then.", "Delete")) return;
    await attempt(`${plugin.name} deleted`, () => admin.send("DELETE", `/plugins/${plugin.id}`));
  }
}

/**
 * Does something that changes the configuration, says so, and shows the place anew.
 *
 * @param {string} done
 * @param {() => Promise<unknown>} act
 */
export async function attempt(done, act) {
  try {
    await act();
    notify(done);
    again();
  } catch (error) {
    notify(error instanceof Error ? error.message : String(error), "bad");
  }
}

/** @param {unknown} value */
export function tags(value) {
  return (Array.isArray(value) ? value : []).map((tag) => h("span", { class: "tag" }, String(tag)));
}

/**
 * The names of what plugins are limited to, by id.
 *
 * @param {Admin} admin
 * @param {Entity[]} plugins
 * @param {AbortSignal} signal
 */
async function scopeNames(admin, plugins, signal) {
  const wanted = scopes.flatMap((field) => plugins.flatMap((plugin) => {
    const ref = /** @type {Entity | null} */ (plugin[field] ?? null);
    return ref ? [`/${field}s/${ref.id}`] : [];
  }));
  const found = await Promise.all([...new Set(wanted)].slice(0, 200).map(async (path) => {
    try {
      const entity = /** @type {Entity} */ (await admin.get(path, signal));
      return /** @type {const} */ ([entity.id, nameOf(entity)]);
    } catch (error) {
      if (error instanceof Refusal) return null;
      throw error;
    }
  }));
  return new Map(found.filter((one) => one !== null));
}

/**
 * The plugins there are, to choose one.
 *
 * @param {HTMLElement} root
 * @param {Admin} admin
 * @param {AbortSignal} signal
 */
export async function choosePlugin(root, admin, signal) {
  const { plugins } = /** @type {{ plugins: { available_on_server: Record<string, { runs?: boolean, priority?: number }> } }} */ (await admin.get("/", signal));
  // What this gateway runs comes first, and of that tracing.
  const order = (/** @type {string} */ name) => (name === "opentelemetry" ? 0 : name === "sidekong-capture" ? 1 : 2);
  const all = Object.entries(plugins.available_on_server)
    .sort(([a, x], [b, y]) => Number(y.runs !== false) - Number(x.runs !== false) || order(a) - order(b) || a.localeCompare(b));
  fill(root,
    h("div", { class: "page-head" }, h("h1", {}, "New plugin")),
    h("ul", { class: "cards" }, all.map(([name, { runs }]) => h("li", {},
      h("a", { class: "card", href: address(["manager", "plugins", "new", name]) },
        h("strong", {}, title(name)), h("span", {}, summaryOf(name) || name),
        runs === false && h("span", { class: "tag warn" }, "checked, but does not run here"))))));
}

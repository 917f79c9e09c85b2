import { copy, tabbed } from "../shell/dialog.js";
import { fill, h } from "../shell/dom.js";
import { codeBlock } from "../trace/json.js";
import { toYAML } from "./yaml.js";

/**
 * @typedef {object} Change what saving would do
 * @property {string} method
 * @property {string} path of the Admin API
 * @property {Record<string, unknown>} body
 * @property {string} kind
 * @property {Record<string, unknown>} entity as it is to be, without defaults
 */

/**
 * An entity as kong.yaml has it: references by name.
 *
 * @param {string} kind
 * @param {Record<string, unknown>} entity
 */
export function asKongYAML(kind, entity) {
  const flat = Object.fromEntries(Object.entries(entity).map(([name, value]) => {
    const ref = ["service", "route", "consumer"].includes(name) && value && typeof value === "object"
      ? /** @type {Record<string, unknown>} */ (value) : null;
    return [name, ref ? ref.name ?? ref.username ?? ref.id : value];
  }));
  return toYAML({ "_format_version": "3.0", [kind]: [flat] });
}

/**
 * The request that saves it, for a shell.
 *
 * @param {Change} change
 * @param {string} base address of the Admin API
 */
export function asCurl({ method, path, body }, base) {
  const json = JSON.stringify(body, null, 2).replaceAll("'", "'\\''");
  return `curl -sS -X ${method} '${base}${path}' \\\n  -H 'Content-Type: application/json' \\\n  -d '${json}'`;
}

/**
 * What the form stands for, as JSON, YAML and curl.
 *
 * @param {() => Change} change
 * @param {string} base
 */
export function configurationView(change, base) {
  let form = "json";
  const texts = /** @type {Record<string, () => string>} */ ({
    json: () => JSON.stringify(change().entity, null, 2),
    yaml: () => asKongYAML(change().kind, change().entity),
    curl: () => asCurl(change(), base),
  });
  const places = Object.fromEntries(Object.keys(texts).map((name) => [name, h("div", { class: `as-${name}` })]));
  const tabs = tabbed("Configuration", [
    { name: "json", title: "JSON", panel: () => places.json },
    { name: "yaml", title: "YAML", panel: () => places.yaml },
    { name: "curl", title: "curl", panel: () => places.curl },
  ], form, (name) => { form = name; update(); });
  function update() {
    const text = texts[form]();
    fill(places[form], codeBlock(text, { raw: form !== "json", label: `Configuration as ${form}` }));
  }
  update();
  const element = h("section", { class: "panel view-configuration" },
    h("header", {}, h("h2", {}, "View configuration"),
      h("button", { type: "button", onclick: () => copy(texts[form](), form === "yaml" ? "kong.yaml" : "Configuration") }, "Copy")),
    tabs.list, tabs.place);
  return { element, update };
}

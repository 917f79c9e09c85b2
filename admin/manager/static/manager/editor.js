import { Refusal } from "../server/client.js";
import { confirmed, copy, notify } from "../shell/dialog.js";
import { fill, freshId, h } from "../shell/dom.js";
import { go } from "../shell/address.js";
import { nameOf } from "./admin.js";
import { asKongYAML, configurationView } from "./configuration.js";
import { connectionTest } from "./connection.js";
import { group, text, title } from "./fields.js";
import { firstFields, helpFor, summaryOf } from "./help.js";
import { kindOf } from "./kinds.js";
import { essential, fieldOf, fieldsOf } from "./schema.js";
import { scopePickers, scopes } from "./scope.js";
import { targets } from "./targets.js";

/**
 * @typedef {import("./admin.js").Admin} Admin
 * @typedef {import("../server/model.js").Entity} Entity
 * @typedef {import("./schema.js").Schema} Schema
 * @typedef {import("./schema.js").Field} Field
 *
 * @typedef {object} Subject what is edited
 * @property {string} kind
 * @property {string} [id] of what exists
 * @property {string} [plugin] name of a new plugin
 * @property {URLSearchParams} [query] scope of a new one
 */

/** Fields that the Admin API writes itself, or that have a place of their own in the form. */
const own = new Set(["id", "created_at", "updated_at", "name", "enabled", "config", "service", "route", "consumer", "consumer_group"]);

/**
 * A form made from a schema: checked while it is filled in, shown as what it stands for, saved through the Admin API.
 *
 * @param {HTMLElement} root
 * @param {Admin} admin
 * @param {Subject} subject
 * @param {AbortSignal} signal
 */
export async function editor(root, admin, subject, signal) {
  const { kind, id } = subject;
  const isPlugin = kind === "plugins";
  const entity = id ? /** @type {Entity} */ (await admin.get(`/${kind}/${encodeURIComponent(id)}`, signal)) : null;
  const plugin = isPlugin ? String(entity?.name ?? subject.plugin) : "";
  const schema = /** @type {Schema} */ (await admin.get(`/schemas/${isPlugin ? `plugins/${encodeURIComponent(plugin)}` : kind}`, signal));
  const described = kindOf(kind);
  let touched = entity !== null;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ let timer;

  const context = {
    changed, disabled: false,
    help: (/** @type {string} */ path) => helpFor(plugin, path),
    multiline: (/** @type {string} */ path) => /^(pre|post)-function$/.test(plugin) && path.startsWith("config.") && path.endsWith("[]"),
  };
  const limits = isPlugin ? scopes.filter((name) => fieldOf(schema, name)?.eq !== null) : kind === "routes" ? ["service"] : [];
  const scope = await scopePickers(admin, limits, (name) => (entity ? referred(entity, name) : subject.query?.get(name) ?? ""), { global: isPlugin, changed }, signal);
  const config = fieldOf(schema, "config");
  const values = /** @type {Record<string, unknown>} */ (entity ?? {});
  const configValues = asObject(values.config);
  const configFields = isPlugin && config ? fieldsOf(config.fields) : [];
  const [main, advanced] = firstFields(plugin).length > 0 ? split(configFields, firstFields(plugin)) : [arranged(configFields), []];
  const mainControl = group(main, "config", configValues, context);
  const advancedControl = group(arranged(advanced), "config", configValues, context);
  const allFields = isPlugin ? fieldsOf(schema.fields).filter(([name]) => !own.has(name))
    : fieldsOf(schema.fields).filter(([name, field]) => !["id", "created_at", "updated_at"].includes(name) && field.type !== "foreign");
  const [first, rest] = isPlugin ? [[], allFields] : split(allFields, described?.first ?? []);
  const firstControl = group(first, "", values, context);
  const restControl = group(rest, "", values, context);
  const enabled = h("input", { type: "checkbox", id: freshId("enabled"), checked: entity?.enabled !== false, onchange: changed });
  const above = h("div", { class: "note bad", role: "alert", hidden: true });
  const save = h("button", { type: "submit", class: "main", disabled: admin.readOnly, title: admin.readOnly ? admin.reason : undefined }, "Save");
  const connection = plugin === "opentelemetry" ? connectionTest(configuration) : null;
  const view = configurationView(change, `${location.origin}${admin.base}`);

  const form = h("form", { class: "editor-form", novalidate: true, onsubmit: submit },
    above,
    isPlugin && h("section", { class: "panel" }, h("header", {}, h("h2", {}, "General")),
      h("div", { class: "fields-pad" },
        h("div", { class: "field flag" }, h("label", { for: enabled.id }, "Enabled"), enabled,
          h("p", { class: "help" }, "A plugin that is not enabled does not run.")),
        scope.element)),
    isPlugin ? h("section", { class: "panel" }, h("header", {}, h("h2", {}, title(plugin)), h("div", { class: "buttons" }, connection?.button)),
      h("div", { class: "fields-pad" }, connection?.told, mainControl.element,
        advanced.length > 0 && h("details", { class: "record" }, h("summary", {}, "Advanced"), advancedControl.element)))
      : h("section", { class: "panel" }, h("header", {}, h("h2", {}, title(described?.one ?? kind))),
        h("div", { class: "fields-pad" }, limits.length > 0 && scope.element, firstControl.element)),
    restControl.element.hasChildNodes() && h("details", { class: "panel more" }, h("summary", {}, "More settings"),
      h("div", { class: "fields-pad" }, restControl.element)),
    h("div", { class: "save-bar" },
      save, h("a", { class: "button", href: `#/manager/${kind}` }, "Cancel"),
      admin.readOnly && h("button", { type: "button", onclick: () => copy(asKongYAML(kind, change().entity), "kong.yaml") }, "Copy as kong.yaml"),
      entity && h("button", { type: "button", class: "danger", disabled: admin.readOnly, onclick: remove }, "Delete")));

  const heading = entity ? `${isPlugin ? title(plugin) : nameOf(entity)}` : `New ${isPlugin ? title(plugin) : described?.one}`;
  fill(root,
    h("div", { class: "page-head" }, h("div", {}, h("h1", {}, heading), isPlugin && h("p", { class: "quiet" }, summaryOf(plugin)))),
    h("div", { class: "editor" }, form,
      h("div", { class: "editor-side" }, kind === "upstreams" && entity && await targets(admin, entity, signal), view.element)));
  document.title = `${heading} – Sidekong`;

  function configuration() {
    return { ...asObject(mainControl.read()), ...asObject(advancedControl.read()) };
  }

  /** The whole entity as the form has it. */
  function whole() {
    /** @type {Record<string, unknown>} */
    const result = { ...asObject(firstControl.read()), ...asObject(restControl.read()), ...scope.read() };
    if (isPlugin) {
      result.name = plugin;
      result.enabled = enabled.checked;
      result.config = configuration();
    }
    return result;
  }

  /** What saving would do. @returns {import("./configuration.js").Change} */
  function change() {
    const now = whole();
    const fields = new Map(fieldsOf(schema.fields));
    const brief = Object.fromEntries(Object.entries(now).flatMap(([name, value]) => {
      const field = fields.get(name);
      if (name === "name") return [[name, value]];
      if (name === "enabled") return value === false ? [[name, value]] : [];
      if (value === null || value === undefined) return [];
      if (!field || field.type === "foreign") return [[name, value]];
      const left = essential(field, value);
      return left === undefined ? [] : [[name, left]];
    }));
    const ordered = /** @type {Record<string, unknown>} */ ({ name: brief.name, ...brief });
    if (ordered.name === undefined || ordered.name === null) delete ordered.name;
    return {
      kind, entity: ordered,
      method: entity ? "PATCH" : "POST",
      path: entity ? `/${kind}/${entity.id}` : `/${kind}`,
      body: entity ? now : ordered,
    };
  }

  function changed() {
    touched = true;
    clearTimeout(timer);
    timer = setTimeout(check, 300);
    view.update();
  }

  /** Has the Admin API look at it, and shows what it has to say where it belongs. */
  async function check() {
    if (signal.aborted || !touched) return true;
    const { entity: asked } = change();
    // References are resolved when it is saved.
    for (const name of scopes) delete asked[name];
    try {
      const refusal = await admin.validate(kind, asked);
      tell(refusal);
      return refusal === null;
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
      return false;
    }
  }

  /** @param {Refusal | null} refusal */
  function tell(refusal) {
    const faults = refusal?.fields ?? {};
    const inConfig = /** @type {Record<string, unknown>} */ (typeof faults.config === "object" && faults.config !== null ? faults.config : {});
    mainControl.tell(inConfig);
    advancedControl.tell(inConfig);
    firstControl.tell(faults);
    restControl.tell(faults);
    scope.tell(faults);
    const general = [faults["@entity"], inConfig["@entity"], typeof faults.config === "string" ? faults.config : null].filter(Boolean).map(text);
    // What no field of the form shows is told above it.
    if (refusal && general.length === 0 && !form.querySelector(".fault:not(:empty)")) general.push(refusal.message);
    above.hidden = general.length === 0;
    fill(above, general.map((one) => h("p", {}, one)));
  }

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    clearTimeout(timer);
    touched = true;
    save.disabled = true;
    try {
      const { method, path, body } = change();
      await admin.send(method, path, body);
      notify(`${heading.replace(/^New /, "")} saved, in force`);
      go(`#/manager/${kind}`);
    } catch (error) {
      if (error instanceof Refusal && error.status === 400) tell(error);
      else {
        above.hidden = false;
        fill(above, error instanceof Error ? error.message : String(error));
      }
      const faulty = form.querySelector("[aria-invalid=true]") ?? above;
      faulty.closest("details")?.setAttribute("open", "");
      faulty.scrollIntoView({ block: "center" });
      if (faulty instanceof HTMLElement) faulty.focus();
    } finally {
      save.disabled = admin.readOnly;
    }
  }

  async function remove() {
    if (!entity || !await confirmed(`Delete ${heading}?`, "Its configuration is gone then.", "Delete")) return;
    try {
      await admin.send("DELETE", `/${kind}/${entity.id}`);
      notify(`${heading} deleted`);
      go(`#/manager/${kind}`);
    } catch (error) {
      notify(error instanceof Error ? error.message : String(error), "bad");
    }
  }
}

/** @param {Entity} entity @param {string} field */
function referred(entity, field) {
  return /** @type {Entity | null | undefined} */ (entity[field])?.id ?? "";
}

/** @param {unknown} value */
function asObject(value) {
  return /** @type {Record<string, unknown>} */ (value ?? {});
}

/**
 * Simple fields first, as they stand; records after them.
 *
 * @param {[string, Field][]} fields
 */
function arranged(fields) {
  return [...fields.filter(([, field]) => field.type !== "record"), ...fields.filter(([, field]) => field.type === "record")];
}

/**
 * @param {[string, Field][]} fields
 * @param {string[]} names
 * @returns {[[string, Field][], [string, Field][]]}
 */
function split(fields, names) {
  const chosen = names.flatMap((name) => fields.filter(([one]) => one === name));
  return [chosen, fields.filter(([name]) => !names.includes(name))];
}

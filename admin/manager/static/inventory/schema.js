import { h } from "../shell/dom.js";

/**
 * JSON Schema as the inventory infers it.
 *
 * @typedef {SchemaFields & { "x-sensitive"?: unknown }} Schema
 *
 * @typedef {object} SchemaFields
 * @property {string | string[]} [type]
 * @property {string} [format]
 * @property {Record<string, Schema>} [properties]
 * @property {string[]} [required]
 * @property {Schema} [items]
 * @property {Schema | boolean} [additionalProperties]
 * @property {unknown[]} [enum]
 * @property {Schema[]} [anyOf]
 */

/**
 * A schema as a tree.
 *
 * @param {Schema} schema
 * @param {string} label
 */
export function schemaTree(schema, label) {
  return h("div", { class: "schema", tabindex: "0", role: "region", "aria-label": label }, ...inside(schema, 0));
}

/** @param {Schema} schema @param {number} depth @returns {import("../shell/dom.js").Child[]} */
function inside(schema, depth) {
  if (depth > 12) return ["…"];
  const properties = Object.entries(schema.properties ?? {});
  return [
    h("span", { class: "type" }, typeOf(schema)),
    schema.enum ? h("small", {}, ` ${schema.enum.map((one) => JSON.stringify(one)).join(" | ")}`) : null,
    schema["x-sensitive"] ? h("span", { class: "tag warn", title: schema["x-sensitive"] }, "sensitive") : null,
    properties.length > 0 ? h("ul", {}, properties.map(([name, sub]) => h("li", {},
      h("span", { class: "k" }, name), (schema.required ?? []).includes(name) ? ": " : "?: ", ...inside(sub, depth + 1)))) : null,
    schema.items ? h("ul", {}, h("li", {}, ...inside(schema.items, depth + 1))) : null,
    typeof schema.additionalProperties === "object"
      ? h("ul", {}, h("li", {}, h("span", { class: "quiet" }, "any name: "), ...inside(schema.additionalProperties, depth + 1))) : null,
    schema.anyOf ? h("ul", {}, schema.anyOf.map((one) => h("li", {}, "or ", ...inside(one, depth + 1)))) : null,
  ];
}

/** @param {Schema} schema */
export function typeOf(schema) {
  const type = Array.isArray(schema.type) ? schema.type.join(" | ") : schema.type ?? "any";
  return schema.format ? `${type} (${schema.format})` : type;
}

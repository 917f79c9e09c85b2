/**
 * The kinds of entities that the page manages besides plugins.
 *
 * @typedef {object} Kind
 * @property {string} name in addresses and of the Admin API
 * @property {string} title
 * @property {string} one
 * @property {[string, string][]} columns field, title
 * @property {string[]} first fields that a form shows first
 */

/** @type {Kind[]} */
export const kinds = [
  {
    name: "services", title: "Services", one: "service",
    columns: [["protocol", "Protocol"], ["host", "Host"], ["port", "Port"], ["path", "Path"], ["tags", "Tags"]],
    first: ["name", "protocol", "host", "port", "path", "enabled", "tags"],
  },
  {
    name: "routes", title: "Routes", one: "route",
    columns: [["methods", "Methods"], ["hosts", "Hosts"], ["paths", "Paths"], ["service", "Service"], ["tags", "Tags"]],
    first: ["name", "service", "paths", "methods", "hosts", "protocols", "strip_path", "preserve_host", "tags"],
  },
  {
    name: "consumers", title: "Consumers", one: "consumer",
    columns: [["custom_id", "Custom id"], ["tags", "Tags"]],
    first: ["username", "custom_id", "tags"],
  },
  {
    name: "upstreams", title: "Upstreams", one: "upstream",
    columns: [["algorithm", "Algorithm"], ["slots", "Slots"], ["tags", "Tags"]],
    first: ["name", "algorithm", "tags"],
  },
];

/** @param {string} name */
export function kindOf(name) {
  return kinds.find((kind) => kind.name === name);
}

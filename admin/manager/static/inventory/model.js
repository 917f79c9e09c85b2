/**
 * The inventory, as GET /api/inventory gives it.
 *
 * @typedef {import("./schema.js").Schema} Schema
 *
 * @typedef {object} View
 * @property {Endpoint[]} endpoints
 *
 * @typedef {object} Endpoint
 * @property {string} method
 * @property {string} host
 * @property {string} path template, with parameters in braces
 * @property {string[]} services
 * @property {string[]} routes
 * @property {number} first_seen
 * @property {number} last_seen
 * @property {number} calls
 * @property {Record<string, number>} statuses
 * @property {{ p50: number, p95: number, p99: number }} latency
 * @property {Record<string, number>} authentication calls by scheme, "" without
 * @property {string[]} consumers
 * @property {string[]} request_types
 * @property {string[]} response_types
 * @property {Parameter[]} parameters
 * @property {Schema | null} request
 * @property {Record<string, Schema>} responses by status
 * @property {string[]} sensitive what is sensitive in it, in words
 *
 * @typedef {object} Parameter
 * @property {string} in path, query or header
 * @property {string} name
 * @property {boolean} required
 * @property {Schema} schema
 * @property {boolean} sensitive
 *
 * @typedef {object} Comparison
 * @property {{ method: string, path: string, host?: string, detail?: string }[]} undocumented
 * @property {{ method: string, path: string, host?: string, detail?: string }[]} unseen
 */
export {};

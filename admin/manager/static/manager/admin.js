import { Refusal, get, send } from "../server/client.js";
import { nodeInfo } from "../shell/node.js";

/**
 * @typedef {import("../server/model.js").Entity} Entity
 * @typedef {import("../server/model.js").EntityPage} EntityPage
 */

/** How the Admin API is reached, and what it allows. */
export class Admin {
  /** @param {import("../server/model.js").Node} node */
  constructor(node) {
    this.base = node.admin;
    this.readOnly = node.read_only;
    this.reason = node.reason;
    this.database = node.database;
  }

  static async open() {
    const node = await nodeInfo();
    if (!node.admin) throw new Error("This sidecar has no Admin API.");
    return new Admin(node);
  }

  /**
   * @template T
   * @param {string} path
   * @param {AbortSignal} [signal]
   * @returns {Promise<T>}
   */
  get(path, signal) {
    return get(this.base + path, signal);
  }

  /** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<Entity>} */
  send(method, path, body) {
    return send(method, this.base + path, body);
  }

  /**
   * The entities of a kind, page after page.
   *
   * @param {string} path
   * @param {AbortSignal} signal
   * @param {number} [most]
   */
  async all(path, signal, most = 5000) {
    /** @type {Entity[]} */
    const found = [];
    let next = `${path}?size=1000`;
    while (next && found.length < most) {
      const page = /** @type {EntityPage} */ (await this.get(next, signal));
      found.push(...page.data);
      next = page.next && page.offset ? `${path}?size=1000&offset=${encodeURIComponent(page.offset)}` : "";
    }
    return found;
  }

  /**
   * What the Admin API has against an entity; null where nothing.
   *
   * @param {string} kind
   * @param {Record<string, unknown>} entity
   * @returns {Promise<Refusal | null>}
   */
  async validate(kind, entity) {
    try {
      await this.send("POST", `/schemas/${kind}/validate`, entity);
      return null;
    } catch (error) {
      if (error instanceof Refusal && error.status === 400) return error;
      throw error;
    }
  }
}

/**
 * What people call an entity.
 *
 * @param {Entity} entity
 */
export function nameOf(entity) {
  return String(entity.name || entity.username || entity.custom_id || entity.target || entity.instance_name || entity.id);
}

/**
 * How an entity names another one: as kong.yaml does, and as the Admin API takes it.
 *
 * @param {string} field service, route or consumer
 * @param {string} text name or id
 */
export function reference(field, text) {
  if (/^[0-9a-f]{8}-[0-9a-f-]{27}$/i.test(text)) return { id: text };
  return { [field === "consumer" ? "username" : "name"]: text };
}

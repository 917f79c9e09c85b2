import { get } from "../server/client.js";

/** @type {Promise<import("../server/model.js").Node> | null} */
let asked = null;

/** What the sidecar says of itself; asked once. */
export function nodeInfo() {
  asked ??= /** @type {Promise<import("../server/model.js").Node>} */ (get("/api/node")).catch((error) => {
    asked = null;
    throw error;
  });
  return asked;
}

import { Refusal, onLogin, request } from "../server/client.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";

/** @type {Promise<void> | null} */
let asking = null;

/** Asks for the admin token wherever an answer wants one; requests that wait for it share one dialog. */
export function startLogin() {
  onLogin(() => {
    asking ??= ask().finally(() => { asking = null; });
    return asking;
  });
}

/** @returns {Promise<void>} */
function ask() {
  return new Promise((resolve, reject) => {
    let done = false;
    const token = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
    const wrong = h("p", { class: "note bad", role: "alert", hidden: true });
    const form = h("form", {
      onsubmit: async (/** @type {Event} */ event) => {
        event.preventDefault();
        try {
          await request("POST", "/api/login", { body: { token: token.value } });
          done = true;
          dialog.close();
        } catch (error) {
          wrong.textContent = error instanceof Refusal ? error.message : String(error);
          wrong.hidden = false;
          token.select();
        }
      },
    },
    h("div", { class: "body" },
      h("p", {}, "This address is open to others, so it wants the admin token (setting ", h("code", {}, "admin_token"), ")."),
      h("label", { for: "token" }, "Admin token"), token, wrong),
    h("footer", {}, h("button", { class: "main" }, "Log in")));
    const dialog = openDialog("Log in", form);
    dialog.addEventListener("close", () => (done ? resolve() : reject(new Refusal(401, "A login is needed"))));
  });
}

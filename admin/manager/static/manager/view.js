import { fill, h } from "../shell/dom.js";
import { Admin } from "./admin.js";
import { editor } from "./editor.js";
import { entityList } from "./list.js";
import { kindOf, kinds } from "./kinds.js";
import { choosePlugin, pluginList } from "./plugins.js";

/** The configuration. @type {import("../shell/router.js").View} */
export async function open(root, place, signal) {
  const [, section = "plugins", what, name] = place.path;
  const admin = await Admin.open();
  const kind = kindOf(section);
  const content = h("div", { class: "manager-content" });
  const sections = [{ name: "plugins", title: "Plugins" }, ...kinds];
  root.className = "room manager";
  fill(root,
    h("nav", { class: "sections", "aria-label": "Manager" }, sections.map((one) =>
      h("a", { href: `#/manager/${one.name}`, "aria-current": one.name === section ? "page" : undefined }, one.title))),
    h("div", { class: "page" },
      admin.readOnly && h("p", { class: "note" }, h("strong", {}, "Read-only. "), admin.reason),
      content));
  document.title = `${sections.find((one) => one.name === section)?.title ?? "Manager"} – Sidekong`;

  if (section === "plugins") {
    if (!what) return pluginList(content, admin, signal);
    if (what !== "new") return editor(content, admin, { kind: "plugins", id: what }, signal);
    if (!name) return choosePlugin(content, admin, signal);
    return editor(content, admin, { kind: "plugins", plugin: name, query: place.query }, signal);
  }
  if (!kind) throw new Error(`There is no section ${section}.`);
  if (!what) return entityList(content, admin, kind, signal);
  return editor(content, admin, { kind: kind.name, id: what === "new" ? undefined : what, query: place.query }, signal);
}

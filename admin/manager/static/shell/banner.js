import { get } from "../server/client.js";
import { byId, fill, h } from "./dom.js";

/** Keeps a banner at the top for as long as exporting is in trouble. */
export function startBanner() {
  let shown = "";
  const look = async () => {
    if (!document.hidden) {
      try {
        const { problem } = /** @type {import("../server/model.js").Exporters} */ (await get("/api/exporters"));
        if (problem !== shown) {
          shown = problem;
          fill(byId("banner"), problem && h("div", { class: "banner" },
            h("strong", {}, "Export: "), h("span", {}, problem), h("a", { href: "#/overview" }, "Details")));
        }
      } catch {
        // Whatever view is open says that the sidecar does not answer.
      }
    }
    setTimeout(look, 5000);
  };
  void look();
}

// Takes the pictures of docs/screenshots: node screenshots.js
import { mkdirSync } from "node:fs";
import { request } from "node:http";
import { fileURLToPath } from "node:url";
import { startBackend, startReceiver } from "./backend.js";
import { launch, openPage } from "./browser.js";
import { startSidecar } from "./sidecar.js";

const folder = fileURLToPath(new URL("../../docs/screenshots/", import.meta.url));
mkdirSync(folder, { recursive: true });

const receiver = { url: "" };
const collector = await startReceiver();
const sidecar = await startSidecar();
receiver.url = sidecar.page;
const backends = [];
const routes = /** @type {[string, string, string[]][]} */ ([
  ["shop", "orders", ["/orders"]], ["shop", "carts", ["/carts", "/slow/carts"]], ["users", "users", ["/users"]], ["payments", "payments", ["/payments", "/fails/payments"]],
]);
for (const service of ["shop", "users", "payments"]) {
  const backend = await startBackend(receiver, service);
  backends.push(backend);
  await sidecar.admin("POST", "/services", { name: service, url: backend.url });
}
for (const [service, name, paths] of routes) await sidecar.admin("POST", `/services/${service}/routes`, { name, paths, strip_path: false });
await sidecar.admin("POST", "/plugins", { name: "sidekong-capture", config: {} });
await sidecar.admin("POST", "/plugins", { name: "opentelemetry", config: { traces_endpoint: `${collector.url}/v1/traces` } });

/**
 * A request for a host that leads nowhere but here.
 *
 * @param {string} method @param {string} path @param {unknown} [body]
 */
function send(method, path, body) {
  const text = body === undefined ? undefined : JSON.stringify(body);
  const headers = { "Host": "shop.example", "Authorization": "Bearer abcdef", ...(text ? { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(text) } : {}) };
  return new Promise((resolve, reject) => {
    const sent = request(sidecar.proxy + path, { method, headers }, (response) => {
      response.resume();
      response.on("end", () => resolve(undefined));
    });
    sent.on("error", reject);
    sent.end(text);
  });
}

const order = { customer: 42, email: "ada@shop.example", items: [{ sku: "lamp-1", amount: 2 }], card: "4111111111111111" };
for (let i = 0; i < 14; i++) {
  await send("GET", `/orders/${4711 + i}`);
  await send("GET", `/users/${100 + i * 7}?fields=name`);
  if (i % 2 === 0) await send("POST", "/orders", order);
  if (i % 3 === 1) await send("PUT", `/carts/${300 + i}/items`, order.items);
  if (i % 4 === 2) await send("GET", `/slow/carts/${300 + i}`);
  if (i % 5 === 3) await send("POST", "/fails/payments", { order: 4711, card: order.card });
  if (i % 6 === 4) await send("GET", "/favicon.ico");
}

const browser = await launch();
for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  const { page, context } = await openPage(browser, { colorScheme, viewport: { width: 1280, height: 760 } });
  const shoot = async (/** @type {string} */ name) => {
    await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement)?.blur());
    await page.screenshot({ path: `${folder}${name}-${colorScheme}.png` });
  };
  await page.goto(sidecar.page);
  await page.locator(".trace-row").nth(19).waitFor();
  await shoot("traces");

  await page.goto(`${sidecar.page}/#/traces?filter=${encodeURIComponent("path~slow")}`);
  await page.locator(".trace-row").first().click();
  await page.locator(".span-row").filter({ hasText: "SELECT orders" }).click();
  await shoot("trace");

  await page.goto(`${sidecar.page}/#/manager/plugins/new/opentelemetry`);
  await page.getByLabel("Traces endpoint").fill(`${collector.url}/v1/traces`.replace("127.0.0.1", "localhost"));
  await page.locator('[data-path="config.resource_attributes"]').getByRole("button", { name: "+ Add" }).click();
  await page.locator('[data-path="config.resource_attributes"]').getByLabel("Name").fill("service.name");
  await page.locator('[data-path="config.resource_attributes"]').getByLabel("Value").fill("kong-dev");
  await page.getByRole("tab", { name: "YAML" }).click();
  await page.getByRole("button", { name: "Test connection" }).click();
  await page.getByText(/answers 200 after/).waitFor();
  await page.locator("main").evaluate((main) => { main.scrollTop = 0; });
  await shoot("plugin");

  await page.goto(`${sidecar.page}/#/inventory`);
  await page.locator("tr.opens").nth(4).waitFor();
  await shoot("inventory");
  await context.close();
}
await browser.close();
await sidecar.stop();
await Promise.all([...backends, collector].map((server) => server.stop()));

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import * as espree from "espree";
import { openPage, startStage, until } from "../browser.js";

const files = fileURLToPath(new URL("../../../admin/manager/static", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** @type {Awaited<ReturnType<typeof startStage>>} */
let stage;
/** @type {string} */
let trace;
before(async () => {
  stage = await startStage();
  await stage.sidecar.admin("POST", "/plugins", { name: "opentelemetry", config: { traces_endpoint: "http://127.0.0.1:9/v1/traces" } });
  await stage.sidecar.admin("POST", "/plugins", { name: "sidekong-capture", config: {} });
  await stage.sidecar.admin("POST", "/upstreams", { name: "pool" });
  await stage.sidecar.admin("POST", "/upstreams/pool/targets", { target: "127.0.0.1:9" });
  for (let i = 0; i < 12; i++) await stage.send(`/orders/${i}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ amount: i, card: "4111111111111111" }) });
  await stage.send("/fails/1");
  const { traces } = await (await fetch(`${stage.sidecar.page}/api/traces`)).json();
  trace = traces[0].id;
});
after(() => stage?.stop());

const places = () => /** @type {[string, string][]} */ ([
  ["traces", "#/traces"], ["waterfall", `#/traces/${trace}`], ["messages", `#/traces/${trace}?tab=messages`], ["context", `#/traces/${trace}?tab=context`],
  ["logs", `#/traces/${trace}?tab=logs`], ["overview", "#/overview"], ["plugins", "#/manager"], ["choice", "#/manager/plugins/new"],
  ["form", "#/manager/plugins/new/opentelemetry"], ["services", "#/manager/services"], ["new route", "#/manager/routes/new"], ["inventory", "#/inventory"],
]);

/**
 * The words and signs of a module, with their lines.
 *
 * @param {string} module
 */
function code(module) {
  return espree.tokenize(module, { ecmaVersion: "latest", sourceType: "module", loc: true })
    .map((/** @type {any} */ token) => [token.type, token.value, token.loc.start.line]);
}

/** @param {import("playwright-core").Page} page @param {string} hash */
async function visit(page, hash) {
  await page.goto("about:blank");
  await page.goto(`${stage.sidecar.page}/${hash}`);
  await page.waitForFunction(() => {
    const main = document.querySelector("main");
    return main?.querySelector("h1") && !main.textContent?.includes("Loading …");
  });
}

for (const colorScheme of /** @type {const} */ (["light", "dark"])) {
  test(`axe-core finds nothing serious (${colorScheme})`, async () => {
    const { page, context, complaints } = await openPage(stage.browser, { colorScheme, bypassCSP: true });
    for (const [name, hash] of places()) {
      await visit(page, hash);
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => /** @type {any} */ (globalThis).axe.run(document, { resultTypes: ["violations"] }));
      const serious = violations.filter((/** @type {any} */ one) => ["serious", "critical"].includes(one.impact))
        .map((/** @type {any} */ one) => `${one.id}: ${one.help}\n  ${one.nodes.slice(0, 5).map((/** @type {any} */ node) => `${node.html}\n    ${node.failureSummary}`).join("\n  ")}`);
      assert.deepEqual(serious, [], name);
    }
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard shortcuts" }).waitFor();
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

for (const width of [360, 768, 2560]) {
  test(`nothing is cut off at ${width} pixels`, async () => {
    const { page, context, complaints } = await openPage(stage.browser, { viewport: { width, height: 800 } });
    for (const [name, hash] of places()) {
      await visit(page, hash);
      const beyond = await page.evaluate(() => {
        const main = /** @type {HTMLElement} */ (document.querySelector("main"));
        return Math.max(document.documentElement.scrollWidth - innerWidth, main.scrollWidth - main.clientWidth);
      });
      assert.ok(beyond <= 0, `${name} is ${beyond} pixels wider than the window`);
    }
    assert.deepEqual(complaints, []);
    await context.close();
  });
}

test("everything can be reached with the keyboard, and its focus is seen", async () => {
  const { page, context } = await openPage(stage.browser);
  await visit(page, "#/manager/plugins/new/opentelemetry");
  const seen = new Set();
  for (let i = 0; i < 60; i++) {
    await page.keyboard.press("Tab");
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      if (!element || element === document.body) return null;
      const style = getComputedStyle(element);
      return { name: element.id || element.textContent?.trim().slice(0, 40) || element.tagName, outlined: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 };
    });
    if (!at) continue;
    assert.ok(at.outlined, `the focus on ${at.name} is not seen`);
    seen.add(at.name);
  }
  for (const name of ["Skip to content", "Traces", "Plugins", "Test connection"]) assert.ok(seen.has(name), `${name} was not reached: ${[...seen].join(", ")}`);

  // Shortcuts move between the rooms, not while text is typed.
  await page.keyboard.press("Escape");
  await page.locator("main").focus();
  await page.keyboard.press("g");
  await page.keyboard.press("o");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.keyboard.press("g");
  await page.keyboard.press("t");
  await page.getByRole("combobox", { name: "Filter" }).waitFor();
  await page.keyboard.press("/");
  await page.keyboard.type("go");
  assert.equal(await page.getByRole("combobox", { name: "Filter" }).inputValue(), "go");
  await context.close();
});

test("light, dark, and as the system has it", async () => {
  const { page, context } = await openPage(stage.browser, { colorScheme: "light" });
  await visit(page, "#/traces");
  const paper = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await paper();
  await page.emulateMedia({ colorScheme: "dark" });
  const dark = await paper();
  assert.notEqual(dark, light);
  await page.getByRole("button", { name: /^Theme/ }).click();
  assert.equal(await paper(), light, "light was chosen");
  await page.reload();
  assert.equal(await paper(), light, "and is remembered");
  await page.getByRole("button", { name: "Theme: light" }).click();
  assert.equal(await paper(), dark);
  await context.close();
});

test("headers and bodies side by side, masks visible", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await stage.send("/orders/77", { method: "POST", headers: { "Content-Type": "application/json", "Authorization": "Bearer abcdef" }, body: '{"amount":12345678901234567890,"password":"hunter2"}' });
  await visit(page, `#/traces?filter=${encodeURIComponent("path=/orders/77")}`);
  await page.locator(".trace-row").first().click();
  await page.getByRole("tab", { name: "Headers and bodies" }).click();
  const messages = page.locator(".message");
  await messages.first().waitFor();
  assert.equal(await messages.count(), 2);
  const request = await messages.nth(0).innerText();
  assert.match(request, /"amount": 12345678901234567890/, "figures keep their digits");
  assert.ok(await messages.nth(0).locator(".mask").count() >= 2, "masks are marked");
  assert.ok(!request.includes("hunter2") && !request.includes("abcdef"));
  assert.match(await messages.nth(1).innerText(), /"state": "open"/);
  assert.deepEqual(complaints, []);
  await context.close();
});

test("ten thousand rows", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  const traces = 10_000;
  const start = Date.now() - 60_000;
  for (let from = 0; from < traces; from += 500) {
    const spans = Array.from({ length: 500 }, (_, i) => ({
      traceId: (from + i + 1).toString(16).padStart(32, "0"), spanId: (from + i + 1).toString(16).padStart(16, "0"), name: "GET /many", kind: 2,
      startTimeUnixNano: `${BigInt(start + from + i) * 1_000_000n}`, endTimeUnixNano: `${BigInt(start + from + i + 5) * 1_000_000n}`,
      attributes: [{ key: "http.request.method", value: { stringValue: "GET" } }, { key: "url.path", value: { stringValue: `/many/${from + i}` } }],
    }));
    const response = await fetch(`${stage.sidecar.page}/v1/traces`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ resourceSpans: [{ resource: { attributes: [{ key: "service.name", value: { stringValue: "many" } }] }, scopeSpans: [{ spans }] }] }) });
    assert.equal(response.status, 200);
  }
  await visit(page, "#/traces");
  const list = page.locator(".virtual");
  const count = async () => Number(await list.getAttribute("aria-rowcount"));
  await until(async () => {
    await list.evaluate((element) => { element.scrollTop = element.scrollHeight; });
    return await count() >= traces;
  }, "all rows");
  assert.equal(await count(), traces, "and not more than the page keeps");
  assert.ok(await page.locator(".trace-row").count() < 100, "only what is seen exists");

  const frames = await list.evaluate(async (element) => {
    /** @type {number[]} */
    /** @type {number[]} */
  const times = [];
    let last = await new Promise(requestAnimationFrame);
    for (let i = 0; i < 120; i++) {
      element.scrollTop = i * 2500;
      const now = /** @type {number} */ (await new Promise(requestAnimationFrame));
      times.push(now - last);
      last = now;
    }
    return times.sort((a, b) => a - b);
  });
  // 16.7 ms on a machine with nothing else to do; this one may have.
  assert.ok(frames[60] < 60, `half of all frames take longer than ${frames[60]} ms`);
  await list.focus();
  await page.keyboard.press("End");
  await page.locator('.trace-row[aria-selected="true"]').waitFor();
  await page.keyboard.press("Home");
  await until(async () => await list.evaluate((element) => element.scrollTop) === 0, "the top");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the page is small, whole, and there at once", async () => {
  let weight = 0;
  for (const name of readdirSync(files, { recursive: true, encoding: "utf8" }).filter((one) => /\.(html|css|js|svg)$/.test(one))) {
    const response = await fetch(`${stage.sidecar.page}/${name}`, { headers: { "Accept-Encoding": "identity" } });
    assert.equal(response.status, 200, name);
    const served = await response.text();
    weight += Buffer.byteLength(served);
    // Modules come without their comments; otherwise they are what was written, each line in its place.
    const written = readFileSync(join(files, name), "utf8");
    if (!name.endsWith(".js")) assert.equal(served, written, name);
    else assert.deepEqual(code(served), code(written), name);
  }
  assert.ok(weight < 200 * 1024, `${weight} bytes`);

  const { page, context, complaints } = await openPage(stage.browser);
  /** @type {string[]} */
  const elsewhere = [];
  page.on("request", (request) => { if (!request.url().startsWith(stage.sidecar.page)) elsewhere.push(request.url()); });
  /** @type {number[]} */
  const times = [];
  // A machine that does other things, too, must not fail it: it may try again.
  for (let i = 0; i < 20 && Math.min(...times, Infinity) >= 300; i++) {
    await page.goto("about:blank");
    await page.goto(stage.sidecar.page);
    await page.waitForFunction(() => performance.getEntriesByName("interactive").length > 0);
    times.push(await page.evaluate(() => performance.getEntriesByName("interactive")[0].startTime));
  }
  assert.ok(Math.min(...times) < 300, `interactive after ${times.map(Math.round)} ms`);
  const response = await page.request.get(stage.sidecar.page);
  assert.match(response.headers()["content-security-policy"], /default-src 'none'.*script-src 'self'/);
  assert.deepEqual(elsewhere, []);
  assert.deepEqual(complaints, []);
  await context.close();
});

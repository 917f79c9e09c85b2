import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, startStage, until } from "../browser.js";

/** @type {Awaited<ReturnType<typeof startStage>>} */
let stage;
before(async () => { stage = await startStage(); });
after(() => stage?.stop());

const rows = ".trace-row";

test("a new trace appears without reload, and its waterfall has gateway and backend", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await page.goto(stage.sidecar.page);
  await page.getByText("No traces yet").waitFor();
  await stage.send("/orders/7?color=red");
  await page.locator(rows).first().waitFor();
  const row = page.locator(rows).first();
  assert.match(await row.innerText(), /GET\s+\/orders\/7[\s\S]*200/);
  assert.equal(new URL(page.url()).pathname, "/", "no reload, no other page");

  await row.click();
  await page.getByRole("treegrid", { name: "Spans" }).waitFor();
  const spans = page.locator(".span-row");
  await spans.filter({ hasText: "SELECT orders" }).waitFor();
  const names = await spans.locator(".label").allInnerTexts();
  assert.equal(names[0], "kong");
  for (const name of ["kong.router", "kong.balancer", "GET /orders/7?color=red", "SELECT orders"]) assert.ok(names.includes(name), `${name} in ${names}`);
  assert.ok(names.indexOf("kong.balancer") < names.indexOf("SELECT orders"), "the backend hangs below the balancer");
  assert.ok(await page.locator(".strip .who > i").count() >= 2, "a strip of client, gateway and upstream");
  assert.match(await page.locator(".strip summary").innerText(), /Gateway[\s\S]*Upstream/);

  // The span panel, by keyboard.
  await page.keyboard.press("j");
  await page.locator(".span-panel h2").filter({ hasText: names[1] }).waitFor();
  await page.keyboard.press("k");
  await page.locator(".span-panel h2").filter({ hasText: names[0] }).waitFor();
  await page.locator(".span-panel").getByText("kong.request.id").waitFor();

  // Collapse and expand, by keyboard.
  const all = await spans.count();
  await page.keyboard.press("[");
  await until(async () => await spans.count() < all, "fewer rows when collapsed");
  await page.keyboard.press("]");
  await until(async () => await spans.count() === all, "all rows when expanded");

  // Zoom, by keyboard.
  const tick = () => page.locator(".ruler .tick").last().innerText();
  const whole = await tick();
  await page.keyboard.press("+");
  await page.keyboard.press("+");
  await until(async () => await tick() !== whole, "another scale");
  await page.keyboard.press("0");
  await until(async () => await tick() === whole, "the whole trace again");

  await page.getByRole("tab", { name: /^Logs/ }).click();
  await page.getByText("looked up /orders/7").waitFor();
  await page.getByRole("tab", { name: "Context" }).click();
  await page.locator(".difference").getByText("traceparent").waitFor();
  await page.locator(".applied").getByText("shop", { exact: true }).waitFor();
  assert.match(page.url(), /tab=context/, "the tab is part of the address");
  await page.keyboard.press("Escape");
  await page.locator(rows).first().waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("filters narrow the list, live, and stand in the address", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  for (const path of ["/orders/1", "/fails/2", "/slow/3", "/fails/4", "/orders/5"]) await stage.send(path);
  await page.goto(`${stage.sidecar.page}/#/traces`);
  await page.locator(rows).filter({ hasText: "/orders/5" }).waitFor();

  const filter = page.getByRole("combobox", { name: "Filter" });
  await filter.fill("status>=500");
  await filter.press("Enter");
  await until(async () => (await page.locator(`${rows} .what a`).allInnerTexts()).every((path) => path.startsWith("/fails")), "failed ones only");
  assert.equal(await page.locator(rows).count(), 2);
  assert.match(decodeURIComponent(page.url()), /filter=status>=500/);

  await stage.send("/orders/6");
  await stage.send("/fails/7");
  await page.locator(rows).filter({ hasText: "/fails/7" }).waitFor();
  assert.equal(await page.locator(rows).filter({ hasText: "/orders/6" }).count(), 0, "what does not match does not come");

  // The address is enough to see the same.
  const shared = await openPage(stage.browser);
  await shared.page.goto(page.url());
  await shared.page.locator(rows).first().waitFor();
  assert.equal(await shared.page.locator(rows).count(), 3);
  await shared.context.close();

  // A fault is told in place, and the list stays.
  await filter.fill('route="/x');
  await filter.press("Enter");
  await page.locator(".filter .fault").filter({ hasText: /\S/ }).waitFor();
  assert.equal(await filter.getAttribute("aria-invalid"), "true");
  assert.equal(await page.locator(rows).count(), 3);

  await filter.fill("duration>100ms path~slow");
  await filter.press("Enter");
  await until(async () => (await page.locator(`${rows} .what a`).allInnerTexts()).join() === "/slow/3", "the slow one");
  await page.getByRole("button", { name: "Remove the filter" }).click();
  await page.locator(rows).filter({ hasText: "/orders/6" }).waitFor();

  // Completions offer attributes that there are.
  await filter.fill("http.ro");
  await page.getByRole("option", { name: /^http\.route/ }).waitFor();
  await filter.press("ArrowDown");
  await filter.press("Enter");
  assert.equal(await filter.inputValue(), "http.route=");
  assert.deepEqual(complaints.filter((text) => !text.includes("400")), []);
  await context.close();
});

test("pause, go on, clear and follow", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await page.goto(`${stage.sidecar.page}/#/traces`);
  await stage.send("/orders/100");
  await page.locator(rows).filter({ hasText: "/orders/100" }).waitFor();
  await page.getByRole("button", { name: "Pause" }).press("Enter");
  await stage.send("/orders/101");
  await page.getByText("Paused, 1 trace waiting").waitFor();
  assert.equal(await page.locator(rows).filter({ hasText: "/orders/101" }).count(), 0);
  await page.keyboard.press("p");
  await page.locator(rows).filter({ hasText: "/orders/101" }).waitFor();

  await page.getByRole("button", { name: "Clear" }).click();
  await until(async () => await page.locator(rows).count() === 0, "an empty list");
  await stage.send("/orders/102");
  await page.locator(rows).filter({ hasText: "/orders/102" }).waitFor();
  assert.equal(await page.locator(rows).count(), 1, "what was cleared does not come back");

  for (let i = 0; i < 60; i++) await stage.send(`/orders/${200 + i}`);
  await page.locator(rows).filter({ hasText: "/orders/259" }).waitFor();
  await page.locator(".virtual").evaluate((element) => { element.scrollTop = 600; });
  await until(async () => await page.getByRole("button", { name: "Follow" }).getAttribute("aria-pressed") === "false", "follows no more");
  const seen = page.locator(rows).filter({ hasText: "/orders/230" });
  const place = await seen.boundingBox();
  await stage.send("/orders/300");
  await page.getByRole("button", { name: /1 new trace/ }).waitFor();
  await until(async () => (await seen.boundingBox())?.y === place?.y, "what is looked at stays");
  await page.getByRole("button", { name: /1 new trace/ }).click();
  await page.locator(rows).filter({ hasText: "/orders/300" }).waitFor();
  assert.deepEqual(complaints, []);
  await context.close();
});

test("the next error is one key away", async () => {
  const { page, context, complaints } = await openPage(stage.browser);
  await stage.send("/fails/900");
  await page.goto(`${stage.sidecar.page}/#/traces?filter=${encodeURIComponent("path=/fails/900")}`);
  await page.locator(rows).first().click();
  await page.locator(".span-row.bad").first().waitFor();
  // The chosen span is the root; the next error is elsewhere.
  await page.keyboard.press("e");
  await page.locator(".span-panel .note.bad").waitFor();
  const first = await page.locator(".span-panel h2").innerText();
  await page.keyboard.press("e");
  await until(async () => await page.locator(".span-panel h2").innerText() !== first, "another one");
  assert.deepEqual(complaints, []);
  await context.close();
});

test("copy, export and import", async () => {
  const { page, context, complaints } = await openPage(stage.browser, { permissions: ["clipboard-read", "clipboard-write"] });
  await stage.send("/orders/4711");
  await page.goto(`${stage.sidecar.page}/#/traces?filter=${encodeURIComponent("path=/orders/4711")}`);
  await page.locator(rows).first().click();
  await page.locator(".span-row").filter({ hasText: "SELECT orders" }).waitFor();
  const id = /traces\/([0-9a-f]{32})/.exec(page.url())?.[1] ?? "";
  const clipboard = () => page.evaluate(() => navigator.clipboard.readText());

  await page.getByRole("button", { name: "Copy id" }).click();
  await until(async () => await clipboard() === id, "the id");
  await page.getByRole("button", { name: "Link" }).click();
  await until(async () => (await clipboard()).includes(`#/traces/${id}`), "a link");
  await page.getByRole("button", { name: "curl", exact: true }).click();
  await until(async () => /^curl .*\/orders\/4711/s.test(await clipboard()), "a curl command");
  await page.getByRole("button", { name: "OTLP" }).click();
  await until(async () => (await clipboard()).includes("resourceSpans"), "OTLP");
  assert.ok(JSON.parse(await clipboard()).resourceSpans.length >= 2, "gateway and backend");

  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Export" }).click();
  const file = await (await downloading).path();

  // What was exported is imported again, after all was forgotten.
  await page.goto(`${stage.sidecar.page}/#/traces`);
  await page.locator(rows).first().waitFor();
  await page.getByRole("button", { name: "Forget all" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Forget all" }).click();
  await page.getByText("No traces yet").waitFor();
  const choosing = page.waitForEvent("filechooser");
  await page.getByRole("button", { name: "Import" }).click();
  await (await choosing).setFiles({ name: "trace.json", mimeType: "application/json", buffer: await import("node:fs/promises").then((fs) => fs.readFile(file)) });
  await page.locator(".span-row").filter({ hasText: "SELECT orders" }).waitFor();
  assert.ok(page.url().includes(id), "the same trace");
  assert.deepEqual(complaints, []);
  await context.close();
});

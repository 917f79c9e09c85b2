import assert from "node:assert/strict";
import { chromium } from "playwright-core";
import { startBackend } from "./backend.js";
import { startSidecar } from "./sidecar.js";

/** @typedef {import("playwright-core").Page} Page */

const flags = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/**
 * Chromium as Debian has it, or where CHROMIUM says.
 */
export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags, timeout: 60_000 });
}

/**
 * A page that must not complain: whatever it writes as an error, throws, or is refused by its Content-Security-Policy
 * fails the test that asks `complaints`.
 *
 * @param {import("playwright-core").Browser} browser
 * @param {import("playwright-core").BrowserContextOptions} [options]
 */
export async function openPage(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, reducedMotion: "reduce", acceptDownloads: true, ...options });
  context.setDefaultTimeout(20_000);
  const page = await context.newPage();
  /** @type {string[]} */
  const complaints = [];
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  return { page, context, complaints };
}

/**
 * Waits until something holds.
 *
 * @param {() => boolean | Promise<boolean>} holds
 * @param {string} what
 */
export async function until(holds, what) {
  const end = Date.now() + 20_000;
  while (!await holds()) {
    if (Date.now() > end) assert.fail(`not within 20 s: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 25); });
  }
}

/**
 * The sidecar in front of a Node.js backend, with a service and routes, and a browser.
 *
 * @param {{ settings?: Record<string, string> }} [options]
 */
export async function startStage(options = {}) {
  const receiver = { url: "" };
  // What was started is stopped, in reverse, also where the next part does not start.
  /** @type {(() => Promise<void>)[]} */
  const started = [];
  const stop = async () => {
    for (const end of started.splice(0).reverse()) await end();
  };
  try {
    const backend = await startBackend(receiver);
    started.push(backend.stop);
    const sidecar = await startSidecar(options);
    started.push(sidecar.stop);
    receiver.url = sidecar.page;
    await sidecar.admin("POST", "/services", { name: "shop", url: backend.url });
    await sidecar.admin("POST", "/services/shop/routes", { name: "orders", paths: ["/orders", "/slow", "/fails"], strip_path: false });
    const browser = await launch();
    started.push(() => browser.close());
    return { sidecar, backend, browser, stop, send: sender(sidecar) };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Sends requests through the proxy, and waits for their whole answers.
 *
 * @param {import("./sidecar.js").Sidecar} sidecar
 */
function sender(sidecar) {
  return async (/** @type {string} */ path, /** @type {RequestInit} */ init = {}) => {
    const response = await fetch(sidecar.proxy + path, init);
    await response.arrayBuffer();
    return response;
  };
}

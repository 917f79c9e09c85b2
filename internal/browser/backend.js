import { randomBytes } from "node:crypto";
import { createServer } from "node:http";

/**
 * Starts a server on a port of its own.
 *
 * @param {import("node:http").RequestListener} handler
 * @returns {Promise<{ url: string, stop: () => Promise<void> }>}
 */
export async function serve(handler) {
  const server = createServer(handler);
  await new Promise((resolve) => { server.listen(0, "127.0.0.1", () => resolve(undefined)); });
  const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
  return {
    url: `http://127.0.0.1:${port}`,
    stop: () => new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    }),
  };
}

/** @param {import("node:http").IncomingMessage} request */
export async function bodyOf(request) {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * A backend whose requests are spans of its own: it continues the trace that comes in, and sends its spans and logs as
 * OTLP JSON to `receiver.url`, once that is set.
 *
 * @param {{ url: string }} receiver
 * @param {string} [service] its service.name
 */
export function startBackend(receiver, service = "backend") {
  return serve(async (request, response) => {
    const started = now();
    const body = await bodyOf(request);
    const { pathname } = new URL(request.url ?? "/", "http://backend");
    if (pathname.startsWith("/slow")) await new Promise((resolve) => { setTimeout(resolve, 150); });
    const status = pathname.startsWith("/fails") ? 500 : request.method === "POST" ? 201 : 200;
    const answer = { method: request.method, path: pathname, id: Number(/\d+/.exec(pathname)?.[0] ?? 0), state: "open", received: body.length };
    const took = now() - started;
    response.writeHead(status, { "Content-Type": "application/json", "X-Backend": "node" });
    response.end(JSON.stringify(answer));
    // As an SDK does it, the spans come after the answer.
    await report(receiver.url, service, request, status, started, took).catch((error) => {
      if (error.cause?.code !== "ECONNREFUSED" && error.cause?.code !== "ECONNRESET") throw error; // the sidecar has ended
    });
  });
}

/** Milliseconds since 1970, as finely as the gateway has them. */
function now() {
  return performance.timeOrigin + performance.now();
}

/** @param {string} url @param {string} service @param {import("node:http").IncomingMessage} request @param {number} status @param {number} started @param {number} took */
async function report(url, service, request, status, started, took) {
  const [, traceId, parentSpanId] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-/.exec(String(request.headers.traceparent ?? "")) ?? [];
  if (!url || !traceId) return;
  const nanos = (/** @type {number} */ ms) => `${BigInt(Math.round(ms * 1000)) * 1000n}`;
  const text = (/** @type {string} */ key, /** @type {string} */ stringValue) => ({ key, value: { stringValue } });
  const server = randomBytes(8).toString("hex");
  const resource = { attributes: [text("service.name", service), text("telemetry.sdk.language", "nodejs")] };
  const span = (/** @type {string} */ spanId, /** @type {string} */ parent, /** @type {string} */ name, /** @type {number} */ kind, /** @type {object} */ more = {}) => ({
    traceId, spanId, parentSpanId: parent, name, kind, startTimeUnixNano: nanos(started), endTimeUnixNano: nanos(started + took), ...more,
  });
  const failed = status >= 500;
  await post(`${url}/v1/traces`, { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "backend" }, spans: [
    span(server, parentSpanId, `${request.method} ${request.url}`, 2, {
      attributes: [text("http.request.method", request.method ?? ""), { key: "http.response.status_code", value: { intValue: String(status) } }],
      status: failed ? { code: 2, message: "the database does not answer" } : {},
      events: failed ? [{ name: "exception", timeUnixNano: nanos(started), attributes: [text("exception.type", "ECONNREFUSED")] }] : [],
    }),
    span(randomBytes(8).toString("hex"), server, "SELECT orders", 3, { startTimeUnixNano: nanos(started + took * 0.15), endTimeUnixNano: nanos(started + took * 0.7), attributes: [text("db.system", "postgresql"), text("db.name", "shop"), text("db.statement", "SELECT * FROM orders WHERE id = $1")] }),
  ] }] }] });
  await post(`${url}/v1/logs`, { resourceLogs: [{ resource, scopeLogs: [{ logRecords: [{
    traceId, spanId: server, timeUnixNano: nanos(started), severityNumber: failed ? 17 : 9, severityText: failed ? "ERROR" : "INFO",
    body: { stringValue: failed ? "the database does not answer" : `looked up ${request.url}` },
  }] }] }] });
}

/** @param {string} url @param {object} body */
async function post(url, body) {
  const response = await fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  if (!response.ok) throw new Error(`${url}: ${response.status} ${await response.text()}`);
}

/** A receiver that counts what is posted. */
export async function startReceiver() {
  /** @type {{ path: string, headers: import("node:http").IncomingHttpHeaders, bytes: number }[]} */
  const posts = [];
  const server = await serve(async (request, response) => {
    const body = await bodyOf(request);
    posts.push({ path: request.url ?? "", headers: request.headers, bytes: body.length });
    response.writeHead(request.url === "/v1/traces" ? 200 : 404, { "Content-Type": "application/x-protobuf" });
    response.end();
  });
  return { ...server, posts };
}

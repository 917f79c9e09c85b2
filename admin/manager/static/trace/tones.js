/** @typedef {import("../server/model.js").Trace} Trace */

const tones = 5;

/**
 * A colour for each service of a trace: the gateway's own first, then those that it called, in their order.
 *
 * @param {Trace} trace
 * @returns {Map<string, string>} service → class
 */
export function tonesOf(trace) {
  const gateways = trace.requests.map((record) => trace.spans[record.span]?.service);
  const rest = trace.spans.map((span) => span.service).filter((name) => !gateways.includes(name));
  const names = [...new Set(rest)];
  const result = new Map(gateways.filter((name) => name !== undefined).map((name) => [name, "tone-0"]));
  // Without a gateway the first service takes its colour.
  const first = result.size > 0 ? 1 : 0;
  names.forEach((name, i) => result.set(name, `tone-${Math.min(tones - 1, i + first)}`));
  return result;
}

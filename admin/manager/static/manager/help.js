/** What the fields of plugins are for, where the schema itself does not say. */

/** @type {Record<string, { summary: string, first?: string[], fields: Record<string, string> }>} */
const plugins = {
  "opentelemetry": {
    summary: "Report each request as spans over OTLP/HTTP",
    first: ["traces_endpoint", "logs_endpoint", "headers", "resource_attributes", "sampling_rate", "propagation", "queue"],
    fields: {
      "traces_endpoint": "Where spans are posted, used as it stands: http://collector:4318/v1/traces",
      "logs_endpoint": "Where logs of the gateway and of requests are posted: http://collector:4318/v1/logs",
      "headers": "Sent with each post, such as a token that the receiver wants.",
      "resource_attributes": "Describe who sends the spans. service.name is what tracing tools list them under.",
      "queue": "Spans wait here until they are posted in batches.",
      "queue.max_batch_size": "Spans in one post.",
      "queue.max_coalescing_delay": "Seconds that the first span waits for others.",
      "queue.max_entries": "Spans that may wait; beyond that the oldest are dropped, and counted.",
      "queue.max_bytes": "Bytes that may wait.",
      "queue.max_retry_time": "Seconds after which a batch that cannot be delivered is given up.",
      "queue.initial_retry_delay": "Seconds before the first retry; each further one waits twice as long.",
      "queue.max_retry_delay": "Seconds between retries at most.",
      "queue.concurrency_limit": "Posts at once: 1, or -1 for no limit.",
      "queue.storage": "disk keeps what waits across restarts.",
      "queue.storage_max_bytes": "Bytes on disk at most.",
      "queue.storage_max_age": "Seconds that a span may wait on disk.",
      "queue.max_post_bytes": "Bytes in one post at most.",
      "batch_span_count": "Older name of queue.max_batch_size.",
      "batch_flush_delay": "Older name of queue.max_coalescing_delay.",
      "connect_timeout": "Milliseconds to connect to the receiver.",
      "send_timeout": "Milliseconds to send a batch.",
      "read_timeout": "Milliseconds to wait for the answer.",
      "http_response_header_for_traceid": "Clients get the trace's id in this header of the answer.",
      "header_type": "Older way to choose the format of trace headers; propagation below replaces it.",
      "sampling_rate": "Share of traces that are recorded, from 0 to 1. Not set: the setting tracing_sampling_rate.",
      "sampling_strategy": "What a caller's own sampling decision means here.",
      "propagation": "Which trace headers are read, and which go upstream.",
      "propagation.extract": "Formats to read, the first that is found wins. Not set: all.",
      "propagation.clear": "Headers that do not go upstream.",
      "propagation.inject": "Formats to write upstream; preserve is the one that came in.",
      "propagation.default_format": "Written by preserve where no trace header came in.",
      "tail_sampling": "Keep or drop a trace when its request is complete.",
      "access_logs": "One log record for each request.",
      "access_logs.endpoint": "Where these records are posted: http://collector:4318/v1/logs",
      "metrics": "Counts and latencies, pushed at an interval.",
      "metrics.endpoint": "Where they are posted: http://collector:4318/v1/metrics",
    },
  },
  "sidekong-capture": {
    summary: "Keep headers and bodies on the root span, secrets masked",
    fields: {
      "max_body_bytes": "Bytes of a body that are kept; what is longer is cut.",
      "max_memory_bytes": "Bytes that all requests may hold at once.",
      "content_types": "Bodies of these types are kept; * stands for any.",
      "sample_rate": "Share of requests that are captured, from 0 to 1.",
      "only_errors": "Only requests answered with 400 and above, or not wholly.",
      "min_duration": "Only requests that took this many milliseconds or more.",
      "redact": "Mask secrets before anything is kept.",
      "mask": "What stands where a secret was.",
      "masked_names": "Fields, headers and parameters to mask besides those that always are.",
      "unmasked_names": "Names that look like a secret's and are none.",
      "masked_paths": "JSON paths to mask, as user.address.*",
      "body_digest": "SHA-256 and size of whole bodies, also of those that are cut.",
    },
  },
  "key-auth": { summary: "Want a key that names the consumer", fields: { "key_names": "Headers and query parameters that hold the key.", "hide_credentials": "The upstream does not see the key.", "anonymous": "Consumer that requests without a key stand for." } },
  "basic-auth": { summary: "Want a user name and a password", fields: { "hide_credentials": "The upstream does not see the credentials.", "anonymous": "Consumer that requests without credentials stand for." } },
  "correlation-id": { summary: "Give each request an id that goes along", fields: { "header_name": "Header that holds the id.", "generator": "How an id is made.", "echo_downstream": "Clients get the id too." } },
  "file-log": { summary: "Write a record of each request to a file", fields: { "path": "File to append to.", "reopen": "Open it anew for each record, as rotation needs." } },
  "http-log": { summary: "Post a record of each request to a server", fields: { "http_endpoint": "Where records are posted." } },
  "request-termination": { summary: "Answer instead of the upstream", fields: { "status_code": "Status of the answer.", "message": "Text of a JSON answer; not together with body.", "body": "The answer's body as it is." } },
  "request-transformer": { summary: "Change requests on their way upstream", fields: {} },
  "response-transformer": { summary: "Change answers on their way back", fields: {} },
  "pre-function": { summary: "Run Lua before other plugins", fields: {} },
  "post-function": { summary: "Run Lua after other plugins", fields: {} },
};

const common = /** @type {Record<string, string>} */ ({
  "instance_name": "A name of its own, to tell instances of one plugin apart.",
  "protocols": "Requests over other protocols pass without this plugin.",
  "tags": "Words to find it by.",
  "custom_fields_by_lua": "Fields to add to each record, each as Lua that returns the value.",
  "service": "Name or id.", "route": "Name or id.", "consumer": "User name or id.",
  "retries": "Further tries where an upstream does not answer.",
  "paths": "Path prefixes, or regular expressions that begin with ~",
  "hosts": "Host names; * stands for any label at the start or the end.",
  "strip_path": "The upstream gets the path without the matched prefix.",
  "preserve_host": "The upstream gets the client's Host header.",
  "regex_priority": "Routes with expressions are tried from the highest to the lowest.",
  "connect_timeout": "Milliseconds.", "read_timeout": "Milliseconds.", "write_timeout": "Milliseconds.",
});

/** @param {string} plugin */
export function summaryOf(plugin) {
  return plugins[plugin]?.summary ?? "";
}

/**
 * The fields of its configuration that a form shows first; none: all in their order.
 *
 * @param {string} plugin
 */
export function firstFields(plugin) {
  return plugins[plugin]?.first ?? [];
}

/**
 * Help for a field by its path in the entity.
 *
 * @param {string} plugin "" for other entities
 * @param {string} path
 */
export function helpFor(plugin, path) {
  const inside = path.replace(/^config\./, "").replaceAll(/\[\]|\.\*/g, "");
  return (path.startsWith("config.") ? plugins[plugin]?.fields[inside] : undefined) ?? common[inside.split(".").at(-1) ?? ""] ?? "";
}

/**
 * What the JSON API answers; the same as model.go here and in admin/traces and admin/inventory. Times are milliseconds
 * since 1970, durations milliseconds, both with fractions.
 *
 * @typedef {object} Node
 * @property {string} version
 * @property {string} id
 * @property {string} hostname
 * @property {number} started
 * @property {string[]} proxy addresses of the proxy
 * @property {"off" | "sqlite" | "postgres"} database
 * @property {string} admin path of the Admin API, "" where there is none
 * @property {boolean} read_only
 * @property {string} reason why it is read-only
 * @property {boolean} login this listener wants a session
 * @property {boolean} tracing
 * @property {boolean} receiver
 * @property {State} store
 *
 * @typedef {object} State
 * @property {number} traces
 * @property {number} bytes
 * @property {number} limit
 * @property {number} oldest
 * @property {number} evicted
 * @property {number} refused
 * @property {string} file
 * @property {string} fault
 *
 * @typedef {object} List
 * @property {Summary[]} traces newest first
 * @property {string} next for before=, "" at the end
 * @property {string} resume for after= of the stream
 * @property {boolean} partial
 *
 * @typedef {object} Summary
 * @property {string} id
 * @property {number} number in the order of arrival
 * @property {number} time
 * @property {number} duration
 * @property {string} name
 * @property {string} method
 * @property {string} host
 * @property {string} path
 * @property {string} route
 * @property {number} status 0: none
 * @property {string} service
 * @property {string} route_name
 * @property {string} consumer
 * @property {string} request_id
 * @property {string[]} services
 * @property {boolean} gateway
 * @property {boolean} error
 * @property {number} errors
 * @property {number} spans
 * @property {number} logs
 * @property {boolean} sampled
 *
 * @typedef {object} Trace
 * @property {Summary} summary
 * @property {Resource[]} resources
 * @property {Span[]} spans depth first
 * @property {{ span: number, start: number, duration: number }[]} critical
 * @property {StripSegment[]} strip
 * @property {Log[]} logs
 * @property {GatewayRecord[]} requests
 * @property {boolean} clipped
 *
 * @typedef {object} Resource
 * @property {string} service
 * @property {Attribute[]} attributes
 *
 * @typedef {object} Attribute
 * @property {string} key
 * @property {unknown} value
 * @property {string} type
 *
 * @typedef {object} Span
 * @property {string} id
 * @property {string} parent
 * @property {boolean} missing
 * @property {number} depth
 * @property {string} name
 * @property {string} kind
 * @property {string} service
 * @property {number} resource
 * @property {string} scope
 * @property {number} start after Summary.time
 * @property {number} duration
 * @property {number} self
 * @property {"" | "ok" | "error"} status
 * @property {string} status_text
 * @property {string} state
 * @property {Attribute[]} attributes
 * @property {{ name: string, time: number, attributes: Attribute[] }[]} events
 * @property {{ trace_id: string, span_id: string, state: string, attributes: Attribute[], stored: boolean }[]} links
 *
 * @typedef {object} StripSegment
 * @property {"client" | "gateway" | "network" | "upstream"} who
 * @property {string} what
 * @property {number} start
 * @property {number} duration
 * @property {number} span place in Trace.spans, -1: none
 *
 * @typedef {object} Log
 * @property {number} time since 1970
 * @property {string} span_id
 * @property {string} severity
 * @property {number} number
 * @property {unknown} body
 * @property {Attribute[]} attributes
 * @property {string} service
 * @property {number} resource
 *
 * @typedef {{ name: string, value: string }} Header
 *
 * @typedef {object} GatewayRecord
 * @property {number} span
 * @property {string} request_id
 * @property {Header[]} trace_in
 * @property {Header[]} trace_out
 * @property {string} sampling
 * @property {boolean} sampled
 * @property {string} route_id
 * @property {string} service_id
 * @property {string} consumer_id
 * @property {string} client
 * @property {string} upstream_uri
 * @property {number} upstream_status
 * @property {number} bytes_received
 * @property {number} bytes_sent
 * @property {number} request
 * @property {number} gateway
 * @property {number} upstream
 * @property {number} receive
 * @property {{ address: string, code: number, state: string }[]} tries
 * @property {string} fault
 * @property {Message | null} request_message
 * @property {Message | null} response_message
 * @property {string} curl
 *
 * @typedef {object} Message
 * @property {string} line
 * @property {Header[]} headers
 * @property {string} body
 * @property {boolean} has_body
 * @property {string} type
 * @property {number} size
 * @property {boolean} truncated
 * @property {string} sha256
 *
 * @typedef {object} Applied
 * @property {Entity | null} route
 * @property {Entity | null} service
 * @property {Entity | null} consumer
 * @property {Entity[]} plugins
 *
 * @typedef {object} Imported
 * @property {string[]} traces
 * @property {number} spans
 * @property {number} logs
 * @property {number} rejected
 * @property {string} reason
 *
 * @typedef {{ names: string[], values: Record<string, string[]> }} Completions
 *
 * @typedef {object} Overview
 * @property {number} start
 * @property {number} step
 * @property {Series} total
 * @property {Series[]} routes
 * @property {Series[]} services
 *
 * @typedef {object} Series
 * @property {string} name
 * @property {string} service
 * @property {number} requests
 * @property {number} errors
 * @property {number} p50
 * @property {number} p95
 * @property {number} p99
 * @property {{ requests: number[], errors: number[], p50: number[], p95: number[], p99: number[] }} points
 *
 * @typedef {{ nodes: MapNode[], edges: MapEdge[], traces: number }} ServiceMap
 *
 * @typedef {object} MapNode
 * @property {string} id
 * @property {string} name
 * @property {"client" | "gateway" | "service" | "database" | "external"} kind
 * @property {number} requests
 * @property {number} errors
 * @property {number} mean
 *
 * @typedef {object} MapEdge
 * @property {string} from
 * @property {string} to
 * @property {number} requests
 * @property {number} errors
 * @property {number} mean
 *
 * @typedef {{ exporters: Exporter[], problem: string }} Exporters
 *
 * @typedef {object} Exporter
 * @property {string} id
 * @property {string} endpoint
 * @property {number} created
 * @property {number} delivered
 * @property {number} rejected
 * @property {Record<string, number> | null} dropped
 * @property {number} queued
 * @property {number} queued_bytes
 * @property {number} posts
 * @property {number} retries
 * @property {boolean} failing
 * @property {string} [last_error]
 *
 * An entity of the Admin API.
 * @typedef {{ id: string, name?: string | null, [field: string]: unknown }} Entity
 *
 * @typedef {{ data: Entity[], next: string | null, offset?: string }} EntityPage
 */
export {};

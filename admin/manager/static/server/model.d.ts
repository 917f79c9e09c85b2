// What the JSON API answers; the same as model.go here and in admin/traces and admin/inventory. Times are milliseconds
// since 1970, durations milliseconds, both with fractions.

export interface Node {
  version: string;
  id: string;
  hostname: string;
  started: number;
  proxy: string[]; // addresses of the proxy
  database: "off" | "sqlite" | "postgres";
  admin: string; // path of the Admin API, "" where there is none
  read_only: boolean;
  reason: string; // why it is read-only
  login: boolean; // this listener wants a session
  tracing: boolean;
  receiver: boolean;
  store: State;
}

export interface State {
  traces: number;
  bytes: number;
  limit: number;
  oldest: number;
  evicted: number;
  refused: number;
  file: string;
  fault: string;
}

export interface List {
  traces: Summary[]; // newest first
  next: string; // for before=, "" at the end
  resume: string; // for after= of the stream
  partial: boolean;
}

export interface Summary {
  id: string;
  number: number; // in the order of arrival
  time: number;
  duration: number;
  name: string;
  method: string;
  host: string;
  path: string;
  route: string;
  status: number; // 0: none
  service: string;
  route_name: string;
  consumer: string;
  request_id: string;
  services: string[];
  gateway: boolean;
  error: boolean;
  errors: number;
  spans: number;
  logs: number;
  sampled: boolean;
}

export interface Trace {
  summary: Summary;
  resources: Resource[];
  spans: Span[]; // depth first
  critical: { span: number, start: number, duration: number }[];
  strip: StripSegment[];
  logs: Log[];
  requests: GatewayRecord[];
  clipped: boolean;
}

export interface Resource {
  service: string;
  attributes: Attribute[];
}

export interface Attribute {
  key: string;
  value: unknown;
  type: string;
}

export interface Span {
  id: string;
  parent: string;
  missing: boolean;
  depth: number;
  name: string;
  kind: string;
  service: string;
  resource: number;
  scope: string;
  start: number; // after Summary.time
  duration: number;
  self: number;
  status: "" | "ok" | "error";
  status_text: string;
  state: string;
  attributes: Attribute[];
  events: { name: string, time: number, attributes: Attribute[] }[];
  links: { trace_id: string, span_id: string, state: string, attributes: Attribute[], stored: boolean }[];
}

export interface StripSegment {
  who: "client" | "gateway" | "network" | "upstream";
  what: string;
  start: number;
  duration: number;
  span: number; // place in Trace.spans, -1: none
}

export interface Log {
  time: number; // since 1970
  span_id: string;
  severity: string;
  number: number;
  body: unknown;
  attributes: Attribute[];
  service: string;
  resource: number;
}

export type Header = { name: string, value: string };

export interface GatewayRecord {
  span: number;
  request_id: string;
  trace_in: Header[];
  trace_out: Header[];
  sampling: string;
  sampled: boolean;
  route_id: string;
  service_id: string;
  consumer_id: string;
  client: string;
  upstream_uri: string;
  upstream_status: number;
  bytes_received: number;
  bytes_sent: number;
  request: number;
  gateway: number;
  upstream: number;
  receive: number;
  tries: { address: string, code: number, state: string }[];
  fault: string;
  request_message: Message | null;
  response_message: Message | null;
  curl: string;
}

export interface Message {
  line: string;
  headers: Header[];
  body: string;
  has_body: boolean;
  type: string;
  size: number;
  truncated: boolean;
  sha256: string;
}

export interface Applied {
  route: Entity | null;
  service: Entity | null;
  consumer: Entity | null;
  plugins: Entity[];
}

export interface Imported {
  traces: string[];
  spans: number;
  logs: number;
  rejected: number;
  reason: string;
}

export type Completions = { names: string[], values: Record<string, string[]> };

export interface Overview {
  start: number;
  step: number;
  total: Series;
  routes: Series[];
  services: Series[];
}

export interface Series {
  name: string;
  service: string;
  requests: number;
  errors: number;
  p50: number;
  p95: number;
  p99: number;
  points: { requests: number[], errors: number[], p50: number[], p95: number[], p99: number[] };
}

export type ServiceMap = { nodes: MapNode[], edges: MapEdge[], traces: number };

export interface MapNode {
  id: string;
  name: string;
  kind: "client" | "gateway" | "service" | "database" | "external";
  requests: number;
  errors: number;
  mean: number;
}

export interface MapEdge {
  from: string;
  to: string;
  requests: number;
  errors: number;
  mean: number;
}

export type Exporters = { exporters: Exporter[], problem: string };

export interface Exporter {
  id: string;
  endpoint: string;
  created: number;
  delivered: number;
  rejected: number;
  dropped: Record<string, number> | null;
  queued: number;
  queued_bytes: number;
  posts: number;
  retries: number;
  failing: boolean;
  last_error?: string;
}

export type Probed = { ok: boolean, status: number, message: string, duration: number };

// An entity of the Admin API.
export type Entity = { id: string, name?: string | null, [field: string]: unknown };

export type EntityPage = { data: Entity[], next: string | null, offset?: string };

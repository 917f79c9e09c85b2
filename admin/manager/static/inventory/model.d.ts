// The inventory, as GET /api/inventory gives it.

export type Schema = import("./schema.js").Schema;

export interface View {
  endpoints: Endpoint[];
}

export interface Endpoint {
  method: string;
  host: string;
  path: string; // template, with parameters in braces
  services: string[];
  routes: string[];
  first_seen: number;
  last_seen: number;
  calls: number;
  statuses: Record<string, number>;
  latency: { p50: number, p95: number, p99: number };
  authentication: Record<string, number>; // calls by scheme, "" without
  consumers: string[];
  request_types: string[];
  response_types: string[];
  parameters: Parameter[];
  request: Schema | null;
  responses: Record<string, Schema>; // by status
  sensitive: string[]; // what is sensitive in it, in words
}

export interface Parameter {
  in: string; // path, query or header
  name: string;
  required: boolean;
  schema: Schema;
  sensitive: boolean;
}

export interface Comparison {
  undocumented: { method: string, path: string, host?: string, detail?: string }[];
  unseen: { method: string, path: string, host?: string, detail?: string }[];
}

package opentelemetry

import (
	"slices"

	"sidekong/configs/entity"
)

// Formats of trace context that a configuration may name: those of Kong 3.9, and those that came later.
var (
	extractFormats = []string{"w3c", "datadog", "b3", "gcp", "jaeger", "aws", "ot"}
	injectFormats  = []string{"w3c", "datadog", "b3", "gcp", "b3-single", "jaeger", "aws", "ot"}
	laterFormats   = []any{"instana"} // Kong 3.10
)

// Config is the plugin's configuration record: that of Kong 3.9, with the format instana of 3.10, with
// sampling_strategy of 3.11, metrics of 3.13 and access_logs of 3.14, and with tail_sampling and fields in queue of ours;
// what 3.9 has not appears in the output only if it was given. Kong: kong/plugins/opentelemetry/schema.lua
func Config() *entity.Record {
	return &entity.Record{
		Fields: []entity.Field{
			endpoint("traces_endpoint"),
			endpoint("logs_endpoint"),
			{
				Name: "headers", Type: entity.Map, Keys: headerName(),
				Values: &entity.Field{Type: entity.String, Referenceable: true, Encrypted: true},
			},
			{
				Name: "resource_attributes", Type: entity.Map,
				Keys: &entity.Field{Type: entity.String}, Values: &entity.Field{Type: entity.String},
			},
			queueField(),
			{Name: "batch_span_count", Type: entity.Integer},
			{Name: "batch_flush_delay", Type: entity.Integer},
			entity.Timeout("connect_timeout", 1000),
			entity.Timeout("send_timeout", 5000),
			entity.Timeout("read_timeout", 5000),
			{Name: "http_response_header_for_traceid", Type: entity.String},
			{
				Name: "header_type", Type: entity.String, Default: "preserve",
				OneOf: entity.Strings("preserve", "ignore", "b3", "b3-single", "w3c", "jaeger", "ot", "aws", "gcp", "datadog"),
				Later: laterFormats,
			},
			{Name: "sampling_rate", Type: entity.Number, Between: &entity.Range{Min: 0, Max: 1}},
			{
				Name: "sampling_strategy", Type: entity.String, Auto: true,
				OneOf: entity.Strings("parent_drop_probability_fallback", "parent_probability_fallback"),
			},
			propagationRecord(),
			metricsRecord(),
			accessLogsRecord(),
			tailSamplingRecord(),
		},
		Checks: []entity.Check{entity.AtLeastOneOf("traces_endpoint", "logs_endpoint").Or("metrics.endpoint", "access_logs.endpoint")},
		Shorthands: []entity.Shorthand{{
			Field:      endpoint("endpoint"),
			Deprecated: true,
			Expand:     func(value any) entity.Object { return entity.Object{"traces_endpoint": value} },
		}},
	}
}

func endpoint(name string) entity.Field {
	field := entity.URL(name)
	field.Referenceable = true
	return field
}

// metricsRecord is Kong's from 3.13 on.
func metricsRecord() entity.Field {
	return entity.Field{Name: "metrics", Type: entity.RecordType, Auto: true, Record: &entity.Record{Fields: []entity.Field{
		endpoint("endpoint"),
		{Name: "push_interval", Type: entity.Number, Required: true, Default: 60, Between: &entity.Range{Min: 0.1, Max: 24 * 3600}},
		entity.Flag("enable_request_metrics", false),
		entity.Flag("enable_latency_metrics", false),
		entity.Flag("enable_bandwidth_metrics", false),
		entity.Flag("enable_consumer_attribute", false),
		entity.Flag("enable_upstream_health_metrics", false),
		entity.Flag("enable_ai_metrics", false),
	}}}
}

// accessLogsRecord is Kong's from 3.14 on.
func accessLogsRecord() entity.Field {
	return entity.Field{Name: "access_logs", Type: entity.RecordType, Auto: true, Record: &entity.Record{Fields: []entity.Field{
		endpoint("endpoint"),
		entity.LuaCode("custom_attributes_by_lua"),
	}}}
}

// tailSamplingRecord is ours: see tail.
func tailSamplingRecord() entity.Field {
	names := func(name string) entity.Field {
		return entity.Field{Name: name, Type: entity.Set, Elements: &entity.Field{Type: entity.String}}
	}
	statuses := names("keep_statuses")
	statuses.Elements.Check = entity.Text(func(text string) string {
		if _, err := parseStatuses(text); err != nil {
			return err.Error()
		}
		return ""
	})
	return entity.Field{Name: "tail_sampling", Type: entity.RecordType, Auto: true, Record: &entity.Record{Fields: []entity.Field{
		entity.Flag("drop_health_checks", false),
		names("drop_paths"),
		entity.Flag("keep_errors", false),
		{Name: "keep_slower_than", Type: entity.Number, Between: &entity.Range{Min: 0, Max: 24 * 3600 * 1000}},
		statuses,
		names("keep_routes"),
		names("keep_consumers"),
		{
			Name: "keep_headers", Type: entity.Map, Keys: headerName(),
			Values: &entity.Field{Type: entity.String},
		},
	}}}
}

// queueField is Kong's, and what our queues can do besides (docs/decisions/0008-durable-queue.md).
func queueField() entity.Field {
	field := entity.Queue(entity.Object{"max_batch_size": 200})
	field.Record.Fields = append(field.Record.Fields,
		entity.Field{Name: "storage", Type: entity.String, Auto: true, OneOf: entity.Strings("memory", "disk")},
		entity.Field{Name: "storage_max_bytes", Type: entity.Integer, Auto: true, Between: &entity.Range{Min: 1 << 20, Max: 1 << 40}},
		entity.Field{Name: "storage_max_age", Type: entity.Number, Auto: true, Between: &entity.Range{Min: 1, Max: 30 * 24 * 3600}},
		entity.Field{Name: "max_post_bytes", Type: entity.Integer, Auto: true, Between: &entity.Range{Min: 4 << 10, Max: 64 << 20}},
	)
	return field
}

// Kong: kong/observability/tracing/propagation/schema.lua
func propagationRecord() entity.Field {
	formats := func(name string, allowed []string) entity.Field {
		return entity.Field{Name: name, Type: entity.Array, Elements: &entity.Field{
			Type: entity.String, OneOf: entity.Strings(allowed...), Later: laterFormats,
		}}
	}
	return entity.Field{
		Name: "propagation", Type: entity.RecordType, Required: true,
		Default: entity.Object{"default_format": "w3c"},
		Record: &entity.Record{Fields: []entity.Field{
			formats("extract", extractFormats),
			{Name: "clear", Type: entity.Array, Elements: headerName()},
			formats("inject", slices.Insert(slices.Clone(injectFormats), 0, "preserve")),
			{Name: "default_format", Type: entity.String, Required: true, OneOf: entity.Strings(injectFormats...), Later: laterFormats},
		}},
	}
}

func headerName() *entity.Field {
	field := entity.HeaderName("")
	return &field
}

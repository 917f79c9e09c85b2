package opentelemetry

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"sidekong/configs/entity"
	"sidekong/propagation"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// config is the plugin's configuration, checked and complete. Kong: kong/plugins/opentelemetry/schema.lua
type config struct {
	TracesEndpoint     string            `json:"traces_endpoint"`
	LogsEndpoint       string            `json:"logs_endpoint"`
	Headers            map[string]string `json:"headers"`
	ResourceAttributes map[string]string `json:"resource_attributes"`
	Queue              struct {
		MaxBatchSize       int     `json:"max_batch_size"`
		MaxCoalescingDelay float64 `json:"max_coalescing_delay"` // seconds, as all of the queue's times
		MaxEntries         int     `json:"max_entries"`
		MaxBytes           int64   `json:"max_bytes"`
		MaxRetryTime       float64 `json:"max_retry_time"`
		InitialRetryDelay  float64 `json:"initial_retry_delay"`
		MaxRetryDelay      float64 `json:"max_retry_delay"`
		ConcurrencyLimit   int     `json:"concurrency_limit"`
		// Ours; missing where they were not given.
		Storage         string  `json:"storage"` // "memory", "disk"
		StorageMaxBytes int64   `json:"storage_max_bytes"`
		StorageMaxAge   float64 `json:"storage_max_age"`
		MaxPostBytes    int     `json:"max_post_bytes"`
	} `json:"queue"`
	BatchSpanCount               int                 `json:"batch_span_count"`
	BatchFlushDelay              float64             `json:"batch_flush_delay"` // seconds
	ConnectTimeout               int                 `json:"connect_timeout"`   // milliseconds
	SendTimeout                  int                 `json:"send_timeout"`
	ReadTimeout                  int                 `json:"read_timeout"`
	HTTPResponseHeaderForTraceID string              `json:"http_response_header_for_traceid"`
	HeaderType                   string              `json:"header_type"`
	SamplingRate                 *float64            `json:"sampling_rate"`
	SamplingStrategy             string              `json:"sampling_strategy"`
	Propagation                  *propagationOptions `json:"propagation"`
	AccessLogs                   struct {
		Endpoint    string            `json:"endpoint"`
		CustomByLua map[string]string `json:"custom_attributes_by_lua"`
	} `json:"access_logs"`
	Metrics      metricsOptions `json:"metrics"`
	TailSampling *tailOptions   `json:"tail_sampling"`
}

type metricsOptions struct {
	Endpoint       string  `json:"endpoint"`
	PushInterval   float64 `json:"push_interval"` // seconds
	Requests       bool    `json:"enable_request_metrics"`
	Latency        bool    `json:"enable_latency_metrics"`
	Bandwidth      bool    `json:"enable_bandwidth_metrics"`
	Consumer       bool    `json:"enable_consumer_attribute"`
	UpstreamHealth bool    `json:"enable_upstream_health_metrics"`
	AI             bool    `json:"enable_ai_metrics"`
}

// measures reports whether there is anything to push.
func (m *metricsOptions) measures() bool {
	return m.Requests || m.Latency || m.Bandwidth || m.UpstreamHealth
}

type tailOptions struct {
	DropHealthChecks bool              `json:"drop_health_checks"`
	DropPaths        []string          `json:"drop_paths"`
	KeepErrors       bool              `json:"keep_errors"`
	KeepSlowerThan   *float64          `json:"keep_slower_than"` // milliseconds
	KeepStatuses     []string          `json:"keep_statuses"`
	KeepRoutes       []string          `json:"keep_routes"`
	KeepConsumers    []string          `json:"keep_consumers"`
	KeepHeaders      map[string]string `json:"keep_headers"`
}

type propagationOptions struct {
	Extract       []string `json:"extract"`
	Clear         []string `json:"clear"`
	Inject        []string `json:"inject"`
	DefaultFormat string   `json:"default_format"`
}

func decode(object entity.Object) (*config, error) {
	c := &config{}
	if err := entity.Decode(object, c); err != nil {
		return nil, fmt.Errorf("decode configuration: %w", err)
	}
	return c, nil
}

func (c *config) propagation() propagation.Config {
	out := propagation.Config{HeaderType: c.HeaderType}
	if p := c.Propagation; p != nil {
		out.Extract, out.Clear, out.Inject, out.DefaultFormat = p.Extract, p.Clear, p.Inject, p.DefaultFormat
	}
	return out
}

// Kong's defaults of max_batch_size, without queue and beside other fields of it, and of max_entries. Left at them,
// nobody chose a number: it bounds neither a post nor the queue (docs/decisions/0004-batches.md).
const (
	defaultBatchSize       = 200
	defaultBatchSizeBeside = 1
	defaultEntries         = 10_000
)

func (c *config) queue() queue.Settings {
	q := c.Queue
	settings := queue.Settings{
		MaxBatchSize:       q.MaxBatchSize,
		MaxCoalescingDelay: seconds(q.MaxCoalescingDelay),
		MaxEntries:         q.MaxEntries,
		MaxBytes:           q.MaxBytes,
		MaxRetryTime:       seconds(q.MaxRetryTime),
		InitialRetryDelay:  seconds(q.InitialRetryDelay),
		MaxRetryDelay:      seconds(q.MaxRetryDelay),
		ConcurrencyLimit:   q.ConcurrencyLimit,
		PostBytes:          q.MaxPostBytes,
	}
	// Kong: kong/tools/queue.lua get_plugin_params translates the deprecated names.
	if c.BatchSpanCount > 0 && c.BatchSpanCount != defaultBatchSize {
		settings.MaxBatchSize = c.BatchSpanCount
	}
	if c.BatchFlushDelay > 0 {
		settings.MaxCoalescingDelay = seconds(c.BatchFlushDelay)
	}
	if settings.MaxBatchSize == defaultBatchSize || settings.MaxBatchSize == defaultBatchSizeBeside {
		settings.MaxBatchSize = 0
	}
	if settings.MaxEntries == defaultEntries {
		settings.MaxEntries = 0
	}
	return settings
}

// storage is where records for a receiver are kept below root; nil: in memory only. Queues share a folder if what one
// leaves there may be sent by another: to the same receiver, with the same credentials.
func (c *config) storage(client otlp.Config, root string) (*queue.Storage, error) {
	if c.Queue.Storage != "disk" {
		return nil, nil //nolint:nilnil // nil is none
	}
	parts := []any{client.Endpoint, client.Headers}
	if client.Signal != otlp.Traces || client.Scope != "" {
		parts = append(parts, client.Signal, client.Scope)
	}
	identity, err := json.Marshal(parts)
	if err != nil {
		return nil, fmt.Errorf("identify receiver: %w", err)
	}
	head, err := client.Resource.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode resource: %w", err)
	}
	sum := sha256.Sum256(identity)
	return &queue.Storage{
		Folder:   filepath.Join(root, hex.EncodeToString(sum[:8])),
		MaxBytes: c.Queue.StorageMaxBytes,
		MaxAge:   seconds(c.Queue.StorageMaxAge),
		Head:     head,
	}, nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func milliseconds(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

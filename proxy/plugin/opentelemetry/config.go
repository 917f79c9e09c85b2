package opentelemetry

import (
	"fmt"
	"time"

	"sidekong/configs/entity"
	"sidekong/propagation"
	"sidekong/tracing/queue"
)

// config is the plugin's configuration, checked and complete. Kong: kong/plugins/opentelemetry/schema.lua
type config struct {
	TracesEndpoint     string            `json:"traces_endpoint"`
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

// defaultBatchSize is Kong's. Left at it, the size only triggers a post (docs/decisions/0004-batches.md).
const defaultBatchSize = 200

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
	}
	// Kong: kong/tools/queue.lua get_plugin_params translates the deprecated names.
	if c.BatchSpanCount > 0 && c.BatchSpanCount != defaultBatchSize {
		settings.MaxBatchSize = c.BatchSpanCount
	}
	if c.BatchFlushDelay > 0 {
		settings.MaxCoalescingDelay = seconds(c.BatchFlushDelay)
	}
	if settings.MaxBatchSize == defaultBatchSize {
		settings.MaxBatchSize = 0
	}
	return settings
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func milliseconds(ms int) time.Duration { return time.Duration(ms) * time.Millisecond }

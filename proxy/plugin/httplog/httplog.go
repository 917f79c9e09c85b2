// Package httplog is Kong's http-log plugin: it posts a JSON object for each request to a server.
// Kong: kong/plugins/http-log/handler.lua
package httplog

import (
	"encoding/binary"
	"time"

	"sidekong/configs/entity"
	"sidekong/proxy/plugin"
	"sidekong/tracing/queue"
)

// Name is the plugin's name in a configuration.
const Name = "http-log"

const priority = 12

// Define makes the plugin's definition. Its instances post through senders; lua is what custom_fields_by_lua runs by.
func Define(senders *Senders, lua plugin.Lua) *plugin.Definition {
	return &plugin.Definition{
		Name: Name, Priority: priority, Config: Config(), Watches: true,
		New: func(p *entity.Plugin, env plugin.Env) (plugin.Instance, error) {
			var c config
			if err := entity.Decode(p.Config, &c); err != nil {
				return nil, err
			}
			fields, err := lua.Expressions(p, env, "config.custom_fields_by_lua", c.Lua)
			if err != nil {
				return nil, err
			}
			if c.RetryCount != nil && *c.RetryCount != 10 {
				env.Logger.Warn("retry_count has no effect: use queue.max_retry_time", "plugin", Name, "id", p.ID)
			}
			s, err := senders.acquire(&c)
			if err != nil {
				return nil, err
			}
			return &httpLog{s, plugin.NewRecorder(env), plugin.CustomFields{Expressions: fields}}, nil
		},
	}
}

type config struct {
	HTTPEndpoint string            `json:"http_endpoint"`
	Method       string            `json:"method"`
	ContentType  string            `json:"content_type"`
	Timeout      float64           `json:"timeout"`   // milliseconds
	Keepalive    float64           `json:"keepalive"` // milliseconds
	RetryCount   *int              `json:"retry_count"`
	QueueSize    *int              `json:"queue_size"`
	FlushTimeout *float64          `json:"flush_timeout"` // seconds
	Headers      map[string]string `json:"headers"`
	Lua          map[string]string `json:"custom_fields_by_lua"`
	Queue        struct {
		MaxBatchSize       int     `json:"max_batch_size"`
		MaxCoalescingDelay float64 `json:"max_coalescing_delay"` // seconds, as are all below
		MaxEntries         int     `json:"max_entries"`
		MaxBytes           int64   `json:"max_bytes"`
		MaxRetryTime       float64 `json:"max_retry_time"`
		InitialRetryDelay  float64 `json:"initial_retry_delay"`
		MaxRetryDelay      float64 `json:"max_retry_delay"`
		ConcurrencyLimit   int     `json:"concurrency_limit"`
	} `json:"queue"`
}

// settings are the queue's. Kong: kong/tools/queue.lua get_plugin_params translates the deprecated names.
func (c *config) settings() queue.Settings {
	q := &c.Queue
	s := queue.Settings{
		Records:            "requests' records",
		MaxBatchSize:       q.MaxBatchSize,
		MaxCoalescingDelay: seconds(q.MaxCoalescingDelay),
		MaxEntries:         q.MaxEntries,
		MaxBytes:           q.MaxBytes,
		MaxRetryTime:       seconds(q.MaxRetryTime),
		InitialRetryDelay:  seconds(q.InitialRetryDelay),
		MaxRetryDelay:      seconds(q.MaxRetryDelay),
		ConcurrencyLimit:   q.ConcurrencyLimit,
	}
	if c.QueueSize != nil && *c.QueueSize > 0 && *c.QueueSize != 1 {
		s.MaxBatchSize = *c.QueueSize
	}
	if c.FlushTimeout != nil && *c.FlushTimeout >= 0 && *c.FlushTimeout != 2 {
		s.MaxCoalescingDelay = seconds(*c.FlushTimeout)
	}
	return s
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func milliseconds(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// httpLog is one configured plugin.
type httpLog struct {
	sender   *sender
	recorder *plugin.Recorder
	plugin.CustomFields
}

// Log queues the request's record.
func (l *httpLog) Log(ctx *plugin.Context) {
	l.Set(ctx)
	body, err := l.recorder.JSON(ctx)
	if err != nil {
		ctx.Logger.Error("request is not logged", "plugin", Name, "error", err, "request_id", ctx.RequestID)
		return
	}
	l.sender.queue.Append(entry(body))
}

// Close lets go of the queue.
func (l *httpLog) Close() error {
	l.sender.release()
	return l.CustomFields.Close()
}

// entry is a record in the form in which the queue holds it: a tag, the length, the bytes.
type entry []byte

const entryTag = 0x12

// AppendFrames is for queue.Encoder.
func (e entry) AppendFrames(buf []byte) (out []byte, n int) {
	buf = append(buf, entryTag)
	buf = binary.AppendUvarint(buf, uint64(len(e)))
	return append(buf, e...), 1
}

// entries gives the records of frames that AppendFrames wrote.
func entries(frames []byte) (all [][]byte) {
	for len(frames) > 1 {
		size, width := binary.Uvarint(frames[1:])
		start := 1 + max(width, 0)
		if width <= 0 || size > uint64(len(frames)-start) {
			return all
		}
		end := start + int(size)
		all = append(all, frames[start:end])
		frames = frames[end:]
	}
	return all
}

package opentelemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
	"sidekong/internal/collector"
	"sidekong/tracing"
	"sidekong/tracing/otlp"
	"sidekong/tracing/queue"
)

// checked gives a configuration as the schema leaves it.
func checked(t *testing.T, text string) *config {
	t.Helper()
	schema, _ := entity.NewSchemas(map[string]*entity.Record{Name: Config()}).Of("plugins")
	var given entity.Object
	if err := json.Unmarshal([]byte(`{"name": "opentelemetry", "config": `+text+`}`), &given); err != nil {
		t.Fatal(err)
	}
	object, fault := schema.Insert(given)
	if fault != nil {
		t.Fatalf("%s: %v", text, fault)
	}
	c, err := decode(object["config"].(entity.Object))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestQueueSettings: Kong's queue settings, with the deprecated names.
func TestQueueSettings(t *testing.T) {
	kong := queue.Settings{
		MaxCoalescingDelay: time.Second, MaxRetryTime: time.Minute,
		InitialRetryDelay: 10 * time.Millisecond, MaxRetryDelay: time.Minute, ConcurrencyLimit: 1,
	}
	with := func(change func(*queue.Settings)) queue.Settings {
		changed := kong
		change(&changed)
		return changed
	}
	for _, c := range []struct {
		config string
		want   queue.Settings
	}{
		{`{}`, kong},
		{`{"queue": {"max_batch_size": 200}}`, kong}, // the default bounds no post
		{`{"queue": {"max_batch_size": 50}}`, with(func(s *queue.Settings) { s.MaxBatchSize = 50 })},
		{`{"queue": {"max_entries": 10000}}`, kong}, // nor the queue
		{`{"queue": {"max_entries": 9999}}`, with(func(s *queue.Settings) { s.MaxEntries = 9999 })},
		{`{"queue": {"storage": "disk"}}`, kong}, // where a size was not meant there is none
		{`{"queue": {"max_post_bytes": 100000}}`, with(func(s *queue.Settings) { s.PostBytes = 100_000 })},
		{`{"queue": {"storage": "memory", "max_batch_size": 50}}`, with(func(s *queue.Settings) { s.MaxBatchSize = 50 })},
		{`{"batch_span_count": 70}`, with(func(s *queue.Settings) { s.MaxBatchSize = 70 })},
		{`{"batch_flush_delay": 3}`, with(func(s *queue.Settings) { s.MaxCoalescingDelay = 3 * time.Second })},
		{`{"queue": {"max_coalescing_delay": 0, "max_entries": 5, "max_bytes": 4000, "max_retry_time": 7, "initial_retry_delay": 0.5,
			"max_retry_delay": 2.5, "concurrency_limit": -1}}`, queue.Settings{
			// max_batch_size is 1 here, Kong's default where anything of the queue is set: nobody chose it.
			MaxEntries: 5, MaxBytes: 4000, MaxRetryTime: 7 * time.Second, InitialRetryDelay: 500 * time.Millisecond,
			MaxRetryDelay: 2500 * time.Millisecond, ConcurrencyLimit: -1,
		}},
	} {
		text := `{"traces_endpoint": "http://a.test/", ` + c.config[1:]
		if c.config == "{}" {
			text = `{"traces_endpoint": "http://a.test/"}`
		}
		if diff := cmp.Diff(c.want, checked(t, text).queue()); diff != "" {
			t.Errorf("%s: -want +got\n%s", c.config, diff)
		}
	}
}

// TestOldEndpointName: endpoint is traces_endpoint.
func TestOldEndpointName(t *testing.T) {
	if got := checked(t, `{"endpoint": "http://a.test/x"}`).TracesEndpoint; got != "http://a.test/x" {
		t.Errorf("got %q", got)
	}
}

// TestDefaults: the environment fills what an instance leaves open; its headers, which may be secrets, go to the
// endpoint alone that they were given for.
func TestDefaults(t *testing.T) {
	defaults := Defaults{
		Endpoint: "http://a.test/", Headers: map[string]string{"Authorization": "secret"},
		ServiceName: "from-env", ResourceAttributes: map[string]string{"zone": "env", "rack": "env"},
	}
	own := checked(t, `{"traces_endpoint": "http://a.test/", "resource_attributes": {"zone": "own"}}`).client(defaults, "http://a.test/")
	if own.Headers["Authorization"] != "secret" || own.Resource["service.name"] != "from-env" || own.Resource["zone"] != "own" || own.Resource["rack"] != "env" {
		t.Errorf("got headers %v, resource %v", own.Headers, own.Resource)
	}
	other := checked(t, `{"traces_endpoint": "http://b.test/"}`).client(defaults, "http://b.test/")
	if other.Headers != nil {
		t.Errorf("headers %v go to another endpoint", other.Headers)
	}
	if other.ConnectTimeout != time.Second || other.SendTimeout != 5*time.Second || other.ReadTimeout != 5*time.Second {
		t.Errorf("time-outs %v, %v, %v", other.ConnectTimeout, other.SendTimeout, other.ReadTimeout)
	}
}

// TestExportersAreShared: equal settings share one exporter, until the last user lets go.
func TestExportersAreShared(t *testing.T) {
	e := NewExporters(slog.New(slog.DiscardHandler))
	acquire := func(text string) *exporter {
		c := checked(t, text)
		x, err := e.acquire(signalTraces, c.client(Defaults{}, c.TracesEndpoint), c.queue(), nil)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	a := acquire(`{"traces_endpoint": "http://127.0.0.1:1/"}`)
	b := acquire(`{"traces_endpoint": "http://127.0.0.1:1/", "http_response_header_for_traceid": "X"}`)
	c := acquire(`{"traces_endpoint": "http://127.0.0.1:1/", "headers": {"X": "y"}}`)
	if a != b || a == c {
		t.Errorf("shared: equal %v, different %v", a == b, a == c)
	}
	a.release()
	if n := len(e.Stats()); n != 2 {
		t.Errorf("%d exporters while both are used", n)
	}
	b.release()
	<-a.done
	c.release()
	<-c.done
	e.Close(t.Context())
	if _, err := e.acquire(signalTraces, otlp.Config{Endpoint: "http://127.0.0.1:1/"}, queue.Settings{}, nil); err == nil {
		t.Error("closed exporters give one")
	}
}

// TestStorage: queues share a folder when all that goes there may be sent by any of them.
func TestStorage(t *testing.T) {
	storage := func(text string, defaults Defaults) *queue.Storage {
		c := checked(t, text)
		s, err := c.storage(c.client(defaults, c.TracesEndpoint), "/root")
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := storage(`{"traces_endpoint": "http://a.test/"}`, Defaults{}); s != nil {
		t.Errorf("without the setting: %+v", s)
	}
	if s := storage(`{"traces_endpoint": "http://a.test/", "queue": {"storage": "memory"}}`, Defaults{}); s != nil {
		t.Errorf("in memory: %+v", s)
	}
	one := storage(`{"traces_endpoint": "http://a.test/", "headers": {"x-key": "a"}, "queue": {"storage": "disk",
		"storage_max_bytes": 2000000, "storage_max_age": 90}}`, Defaults{InstanceID: "1"})
	if one.MaxBytes != 2_000_000 || one.MaxAge != 90*time.Second || filepath.Dir(one.Folder) != "/root" {
		t.Errorf("got %+v", one)
	}
	for _, c := range []struct {
		config string
		same   bool
	}{
		{`{"traces_endpoint": "http://a.test/", "headers": {"x-key": "a"}, "queue": {"storage": "disk"}}`, true},
		{`{"traces_endpoint": "http://a.test/", "headers": {"x-key": "a"}, "resource_attributes": {"a": "b"}, "queue": {"storage": "disk"}}`, true},
		{`{"traces_endpoint": "http://a.test/", "headers": {"x-key": "b"}, "queue": {"storage": "disk"}}`, false},
		{`{"traces_endpoint": "http://b.test/", "headers": {"x-key": "a"}, "queue": {"storage": "disk"}}`, false},
	} {
		other := storage(c.config, Defaults{InstanceID: "2"})
		if got := other.Folder == one.Folder; got != c.same {
			t.Errorf("%s: same folder %v, want %v", c.config, got, c.same)
		}
		if bytes.Equal(other.Head, one.Head) {
			t.Errorf("%s: the resource of another instance", c.config)
		}
	}
}

// TestOurQueueFields appear only where they were given.
func TestOurQueueFields(t *testing.T) {
	schema, _ := entity.NewSchemas(map[string]*entity.Record{Name: Config()}).Of("plugins")
	object, fault := schema.Insert(entity.Object{"name": Name, "config": entity.Object{"traces_endpoint": "http://a.test/"}})
	if fault != nil {
		t.Fatal(fault)
	}
	filled := object["config"].(entity.Object)["queue"].(entity.Object)
	for _, name := range []string{"storage", "storage_max_bytes", "storage_max_age", "max_post_bytes"} {
		if value, there := filled[name]; there {
			t.Errorf("%s is %v", name, value)
		}
	}
	_, fault = schema.Insert(entity.Object{"name": Name, "config": entity.Object{
		"traces_endpoint": "http://a.test/", "queue": entity.Object{"storage": "tape"},
	}})
	if fault == nil {
		t.Error("an unknown storage is taken")
	}
}

// TestExporterEndsWithItsAccount: while an exporter ends its counts are still there, and afterwards among the retired.
func TestExporterEndsWithItsAccount(t *testing.T) {
	receiver := collector.Start(t)
	receiver.Behave(collector.Slow(300 * time.Millisecond))
	e := NewExporters(slog.New(slog.DiscardHandler))
	c := checked(t, `{"traces_endpoint": "`+receiver.URL()+`", "queue": {"storage": "disk"}}`)
	settings := c.queue()
	var err error
	if settings.Storage, err = c.storage(c.client(Defaults{}, c.TracesEndpoint), t.TempDir()); err != nil {
		t.Fatal(err)
	}
	x, err := e.acquire(signalTraces, c.client(Defaults{}, c.TracesEndpoint), settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	trace := tracing.NewTracer(tracing.All, 1).Start(time.Now())
	trace.StartSpan("kong", tracing.KindServer, tracing.Span{}).End()
	x.queue.Append(otlp.Frames{Trace: trace})
	x.release()
	for ended := false; !ended; {
		select {
		case <-x.done:
			ended = true
		case <-time.After(10 * time.Millisecond):
		}
		var created, delivered, queued uint64
		for _, s := range e.Stats() {
			created, delivered, queued = created+s.Created, delivered+s.Delivered, queued+s.Queued
		}
		if created != 1 || created != delivered+queued {
			t.Fatalf("created %d, delivered %d, queued %d", created, delivered, queued)
		}
	}
	e.Close(t.Context())
	got := e.Stats()
	if len(got) != 1 || got[0].ID != "retired" || got[0].Delivered != 1 {
		t.Errorf("at the end: %+v", got)
	}
}

// TestCloseIsInTime: an exporter that a reload has retired does not hold the end up.
func TestCloseIsInTime(t *testing.T) {
	receiver := collector.Start(t)
	receiver.Behave(collector.Hang())
	e := NewExporters(slog.New(slog.DiscardHandler))
	for _, x := range []string{"retired", "active"} {
		c := checked(t, `{"traces_endpoint": "`+receiver.URL()+x+`"}`)
		x, err := e.acquire(signalTraces, c.client(Defaults{}, c.TracesEndpoint), c.queue(), nil)
		if err != nil {
			t.Fatal(err)
		}
		trace := tracing.NewTracer(tracing.All, 1).Start(time.Now())
		trace.StartSpan("kong", tracing.KindServer, tracing.Span{}).End()
		x.queue.Append(otlp.Frames{Trace: trace})
		if strings.HasSuffix(x.endpoint, "retired") {
			x.release()
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	e.Close(ctx)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Close took %v of 300ms", took)
	}
	got := e.Stats()
	if len(got) != 1 || got[0].Created != 2 || got[0].Dropped[queue.Shutdown] != 2 {
		t.Errorf("at the end: %+v", got)
	}
}

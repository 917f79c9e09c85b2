package traces

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/admin/inventory"
)

// TestFeed: what the inventory learns of a request.
func TestFeed(t *testing.T) {
	s := newStore(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	observed := make(chan inventory.Observation, 10)
	ended := make(chan error, 1)
	go func() { ended <- s.Feed(ctx, func(o inventory.Observation) { observed <- o }) }()
	var got inventory.Observation
	for deadline := time.Now().Add(20 * time.Second); got.Method == "" && time.Now().Before(deadline); {
		// Feed begins with what comes after it has begun; so there is something until then.
		request{
			path: "/a/7?x=1&y=%20&token=REDACTED", status: 201, service: "billing",
			attributes: map[string]string{
				"kong.route.name": "r", "kong.consumer.username": "jo", "http.request.headers": `{"x-a":"1"}`, "http.request.body": `{}`, "http.response.body": "[]",
			},
			note: Note{Authenticated: "basic", RequestType: "application/json", ResponseType: "text/plain"},
		}.add(t, s)
		s.TakeLogs(logged("x", traceOf(1), 1, "no request"))
		select {
		case got = <-observed:
		case <-time.After(50 * time.Millisecond):
		}
	}
	want := inventory.Observation{
		Time: origin, Host: "api.test", Method: "GET", Path: "/a/7", Status: 201, Duration: 10 * time.Millisecond, RoutePattern: "/a",
		Query:   []inventory.Parameter{{Name: "x", Value: "1"}, {Name: "y", Value: " "}, {Name: "token", Value: "REDACTED"}},
		Header:  []inventory.Parameter{{Name: "x-a", Value: "1"}},
		Service: "billing", Route: "r", Consumer: "jo", Authenticated: "basic",
		RequestType: "application/json", ResponseType: "text/plain", RequestBody: []byte("{}"), ResponseBody: []byte("[]"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("observation (-want +got):\n%s", diff)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestFeedKeepsUp: where more waits than it may, the oldest are passed over.
func TestFeedKeepsUp(t *testing.T) {
	s := newStore(t, 0)
	for range 100 {
		request{}.add(t, s)
	}
	from := s.skip(0, 4<<10)
	if left := s.ring.head - from; left > 4<<10 || left == 0 {
		t.Errorf("%d bytes wait", left)
	}
	records, _, _ := s.since(from, 1<<20)
	if len(records) == 0 || len(records) >= 100 {
		t.Errorf("%d records wait", len(records))
	}
}

// TestInventoryIsKept: what was learned is there after a restart.
func TestInventoryIsKept(t *testing.T) {
	k := openFile(t, filepath.Join(t.TempDir(), "db"), 0)
	first, second := inventory.New(), inventory.New()
	if err := RestoreInventory(t.Context(), k, first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- KeepInventory(ctx, k, first, slog.New(slog.DiscardHandler)) }()
	for i := range 100 {
		first.Observe(inventory.Observation{Time: origin, Host: "a.test", Method: "GET", Path: fmt.Sprintf("/things/%d", i), Status: 200})
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if err := RestoreInventory(t.Context(), k, second); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first.View(), second.View()); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
}

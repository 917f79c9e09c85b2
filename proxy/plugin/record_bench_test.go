package plugin

import (
	"net/http"
	"net/netip"
	"testing"
	"time"

	"sidekong/configs/entity"
)

func BenchmarkRecord(b *testing.B) {
	header := http.Header{
		"Accept": {"*/*"}, "User-Agent": {"bench"}, "Content-Type": {"application/json"}, "Authorization": {"Bearer x"},
		"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
	}
	ctx := &Context{
		Request: &http.Request{Method: "GET", Host: "a.test", Header: header}, RequestID: "0123456789abcdef0123456789abcdef",
		Client: netip.MustParseAddr("192.0.2.1"), Scheme: "http", Host: "a.test", ForwardedURI: "/a?b=1", Arrived: time.Now(),
		Route: &entity.Route{Name: "r", Paths: []string{"/"}}, Service: &entity.Service{Name: "s", Host: "b.test"},
		Response: Response{Status: 200, Header: header},
		Summary:  Summary{UpstreamStatus: 200, UpstreamURI: "/a?b=1", Tries: []Try{{IP: "192.0.2.2", Port: 80}}},
	}
	recorder := NewRecorder(Env{RedactedQuery: []string{"token"}})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := recorder.JSON(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

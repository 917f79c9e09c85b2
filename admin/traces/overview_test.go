package traces

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestOverview(t *testing.T) {
	s := newStore(t, 0)
	now := time.Unix(1_700_000_000, 0)
	for i := range 100 {
		s.Count("billing", "a", now.Add(-time.Minute), time.Duration(i+1)*time.Millisecond, i < 5)
	}
	for range 10 {
		s.Count("", "", now, 2*time.Second, false)
	}
	s.Count("billing", "b", now.Add(-2*time.Hour), time.Second, false)
	o := s.Overview(now, 5*time.Minute)
	if o.Step != 10_000 || len(o.Total.Points.Requests) != 30 || o.Total.Requests != 110 || o.Total.Errors != 5 {
		t.Fatalf("step %v, %d points, total %d, errors %d", o.Step, len(o.Total.Points.Requests), o.Total.Requests, o.Total.Errors)
	}
	if o.Total.Points.Requests[29] != 10 || o.Total.Points.Requests[23] != 100 || o.Total.Points.Errors[23] != 5 {
		t.Errorf("points %v", o.Total.Points.Requests)
	}
	if len(o.Routes) != 2 || o.Routes[0].Name != "a" || o.Routes[0].Service != "billing" || o.Routes[1].Name != "" || len(o.Services) != 2 {
		t.Errorf("routes %+v", o.Routes)
	}
	for share, want := range map[float64]float64{o.Routes[0].P50: 50, o.Routes[0].P95: 95, o.Routes[0].P99: 99, o.Routes[1].P50: 2000} {
		if math.Abs(share-want) > want/8 {
			t.Errorf("quantile %v, want about %v", share, want)
		}
	}
	if o := s.Overview(now, 6*time.Hour); o.Step != 300_000 || len(o.Total.Points.Requests) != 72 || o.Total.Requests != 111 {
		t.Errorf("six hours: step %v, %d points, %d requests", o.Step, len(o.Total.Points.Requests), o.Total.Requests)
	}
	if o := s.Overview(now.Add(24*time.Hour), 5*time.Minute); o.Total.Requests != 0 || len(o.Routes) != 0 {
		t.Errorf("a day later: %+v", o.Total)
	}
}

// TestOverviewIsBounded: routes beyond the bound count as one.
func TestOverviewIsBounded(t *testing.T) {
	s := newStore(t, 0)
	now := time.Unix(1_700_000_000, 0)
	for range 2 {
		for i := range 10 * maxSeries {
			s.Count("s", fmt.Sprint(i), now, time.Millisecond, false)
		}
	}
	o := s.Overview(now, time.Minute)
	if len(o.Routes) != maxSeries || o.Routes[0].Name != other || o.Total.Requests != 20*maxSeries {
		t.Errorf("%d series, the busiest %q, %d requests", len(o.Routes), o.Routes[0].Name, o.Total.Requests)
	}
}

// TestBuckets: they are without gaps, and each duration is in the one that reaches around it.
func TestBuckets(t *testing.T) {
	for d := time.Duration(0); d < 5*time.Minute; d = d*9/8 + 1 {
		i := bucket(d)
		at := float64(d) / 1e6
		if at < bucketBegin(i) || i < buckets-1 && at >= bucketBegin(i+1) {
			t.Fatalf("%v is in bucket %d, from %v to %v ms", d, i, bucketBegin(i), bucketBegin(i+1))
		}
	}
	if bucket(math.MaxInt64) != buckets-1 || bucket(-1) != 0 {
		t.Error("the ends are outside")
	}
}

func BenchmarkCount(b *testing.B) {
	s := newStore(b, 0)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		s.Count("service", "route", now, 3*time.Millisecond, false)
	}
}

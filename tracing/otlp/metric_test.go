package otlp_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"sidekong/tracing"
	"sidekong/tracing/otlp"
)

func TestMeasurements(t *testing.T) {
	start, now := time.Unix(100, 0), time.Unix(160, 0)
	frames, n := otlp.Measurements{
		{Name: "empty"},
		{
			Name: "requests", Description: "d", Unit: "{request}", Start: start, Time: now,
			Points: []otlp.Point{{Attributes: []tracing.Attr{{Key: "route", Value: tracing.StringValue("r\xff")}, {Key: "status", Value: tracing.IntValue(200)}}, Count: 7}},
		},
		{
			Name: "latency", Unit: "s", Start: start, Time: now, Bounds: []float64{0.1, 1},
			Points: []otlp.Point{{Count: 3, Sum: 2.5, Buckets: []uint64{1, 1, 1}}},
		},
		{Name: "health", Unit: "1", Start: start, Time: now, Gauge: true, Points: []otlp.Point{{Count: 1}}},
	}.AppendFrames(nil)
	if n != 3 {
		t.Fatalf("%d frames, want 3", n)
	}
	var got metricspb.ScopeMetrics
	if err := proto.Unmarshal(frames, &got); err != nil {
		t.Fatal(err)
	}
	const cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	want := &metricspb.ScopeMetrics{Metrics: []*metricspb.Metric{
		{Name: "requests", Description: "d", Unit: "{request}", Data: &metricspb.Metric_Sum{Sum: &metricspb.Sum{
			IsMonotonic: true, AggregationTemporality: cumulative,
			DataPoints: []*metricspb.NumberDataPoint{{
				StartTimeUnixNano: 100e9, TimeUnixNano: 160e9, Value: &metricspb.NumberDataPoint_AsInt{AsInt: 7},
				Attributes: []*commonpb.KeyValue{text("route", "r\uFFFD"), {Key: "status", Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_IntValue{IntValue: 200}}}},
			}},
		}}},
		{Name: "latency", Unit: "s", Data: &metricspb.Metric_Histogram{Histogram: &metricspb.Histogram{
			AggregationTemporality: cumulative,
			DataPoints: []*metricspb.HistogramDataPoint{{
				StartTimeUnixNano: 100e9, TimeUnixNano: 160e9, Count: 3, Sum: new(2.5),
				BucketCounts: []uint64{1, 1, 1}, ExplicitBounds: []float64{0.1, 1},
			}},
		}}},
		{Name: "health", Unit: "1", Data: &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: []*metricspb.NumberDataPoint{{
			StartTimeUnixNano: 100e9, TimeUnixNano: 160e9, Value: &metricspb.NumberDataPoint_AsInt{AsInt: 1},
		}}}}},
	}}
	if diff := cmp.Diff(want, &got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// BenchmarkMeasurements is one push of 1,000 sets of attributes.
func BenchmarkMeasurements(b *testing.B) {
	metric := otlp.Metric{Name: "latency", Unit: "s", Start: time.Unix(1, 0), Time: time.Unix(2, 0), Bounds: []float64{0.1, 1}}
	for range 1000 {
		metric.Points = append(metric.Points, otlp.Point{
			Attributes: []tracing.Attr{{Key: "kong.route.name", Value: tracing.StringValue("route")}}, Count: 3, Sum: 2.5, Buckets: []uint64{1, 1, 1},
		})
	}
	b.ReportAllocs()
	var buf []byte
	for b.Loop() {
		buf, _ = otlp.Measurements{metric}.AppendFrames(buf[:0])
	}
}

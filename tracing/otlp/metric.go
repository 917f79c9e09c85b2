package otlp

import (
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"sidekong/tracing"
)

// Metric is a sum that only grows or, with Bounds, a histogram; both count from Start on. A Gauge is the state at Time.
type Metric struct {
	Name, Description, Unit string

	Start, Time time.Time
	Gauge       bool
	Bounds      []float64 // upper bounds of the buckets, ascending; nil: a sum or a gauge
	Points      []Point
}

// Point is what was measured under one set of attributes.
type Point struct {
	Attributes []tracing.Attr
	Count      uint64   // a sum's or a gauge's value
	Sum        float64  // of a histogram's values
	Buckets    []uint64 // one more than there are bounds
}

// Measurements are metrics of one time. Each encodes itself as one frame.
type Measurements []Metric

// AppendFrames appends those of the metrics that have points.
func (m Measurements) AppendFrames(buf []byte) (out []byte, n int) {
	for i := range m {
		if len(m[i].Points) == 0 {
			continue
		}
		message, err := proto.Marshal(m[i].message())
		if err != nil {
			continue // it holds no text that is not valid, so there is no reason to fail
		}
		buf = protowire.AppendBytes(append(buf, tagScopeRecord), message)
		n++
	}
	return buf, n
}

const cumulative = metricspb.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE

func (m *Metric) message() *metricspb.Metric {
	out := &metricspb.Metric{Name: m.Name, Description: m.Description, Unit: m.Unit}
	start, at := uint64(m.Start.UnixNano()), uint64(m.Time.UnixNano())
	if m.Bounds == nil {
		var numbers []*metricspb.NumberDataPoint
		for i := range m.Points {
			p := &m.Points[i]
			numbers = append(numbers, &metricspb.NumberDataPoint{
				StartTimeUnixNano: start, TimeUnixNano: at, Attributes: keyValues(p.Attributes),
				Value: &metricspb.NumberDataPoint_AsInt{AsInt: int64(p.Count)},
			})
		}
		if m.Gauge {
			out.Data = &metricspb.Metric_Gauge{Gauge: &metricspb.Gauge{DataPoints: numbers}}
		} else {
			out.Data = &metricspb.Metric_Sum{Sum: &metricspb.Sum{
				DataPoints: numbers, IsMonotonic: true, AggregationTemporality: cumulative,
			}}
		}
		return out
	}
	histogram := &metricspb.Histogram{AggregationTemporality: cumulative}
	for i := range m.Points {
		p := &m.Points[i]
		histogram.DataPoints = append(histogram.DataPoints, &metricspb.HistogramDataPoint{
			StartTimeUnixNano: start, TimeUnixNano: at, Attributes: keyValues(p.Attributes),
			Count: p.Count, Sum: new(p.Sum), BucketCounts: p.Buckets, ExplicitBounds: m.Bounds,
		})
	}
	out.Data = &metricspb.Metric_Histogram{Histogram: histogram}
	return out
}

func keyValues(attributes []tracing.Attr) []*commonpb.KeyValue {
	var out []*commonpb.KeyValue
	for _, attr := range attributes {
		value := &commonpb.AnyValue{}
		switch v := attr.Value; v.Kind {
		case tracing.ValueString:
			value.Value = &commonpb.AnyValue_StringValue{StringValue: validText(v.Text)}
		case tracing.ValueInt:
			value.Value = &commonpb.AnyValue_IntValue{IntValue: v.Int()}
		case tracing.ValueBool:
			value.Value = &commonpb.AnyValue_BoolValue{BoolValue: v.Bool()}
		case tracing.ValueFloat:
			value.Value = &commonpb.AnyValue_DoubleValue{DoubleValue: v.Float()}
		default:
			continue
		}
		out = append(out, &commonpb.KeyValue{Key: validText(attr.Key), Value: value})
	}
	return out
}

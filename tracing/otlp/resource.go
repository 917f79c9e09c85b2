package otlp

import (
	"maps"
	"slices"
	"strings"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// Resource names the entity that spans come from: attribute names to string values.
type Resource map[string]string

// NewResource gives Kong's attributes, overlaid with the configured ones.
// Kong: kong/observability/otlp/init.lua translate_span (default attributes).
func NewResource(version, instanceID string, configured map[string]string) Resource {
	r := Resource{
		"service.name":        "kong",
		"service.version":     version,
		"service.instance.id": instanceID,
	}
	maps.Copy(r, configured)
	return r
}

// Bytes is the resource as an OTLP Resource message, its attributes in the order of their names.
func (r Resource) Bytes() ([]byte, error) {
	return proto.MarshalOptions{Deterministic: true}.Marshal(r.message())
}

// message builds the OTLP message. Invalid UTF-8 is replaced, since a receiver would refuse everything for it.
func (r Resource) message() *resourcepb.Resource {
	m := &resourcepb.Resource{}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		m.Attributes = append(m.Attributes, &commonpb.KeyValue{
			Key:   strings.ToValidUTF8(name, "\uFFFD"),
			Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: strings.ToValidUTF8(r[name], "\uFFFD")}},
		})
	}
	return m
}

package otlp

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

func TestResource(t *testing.T) {
	r := NewResource("3.9.1", "node-1", map[string]string{
		"service.name": "kong-dev", "deployment.environment": "test", "broken": "a\xffb",
	})
	data, err := r.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var m resourcepb.Resource
	if err := proto.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	var got [][2]string
	for _, pair := range m.Attributes {
		got = append(got, [2]string{pair.Key, pair.Value.GetStringValue()})
	}
	want := [][2]string{
		{"broken", "a\uFFFDb"},
		{"deployment.environment", "test"},
		{"service.instance.id", "node-1"},
		{"service.name", "kong-dev"},
		{"service.version", "3.9.1"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

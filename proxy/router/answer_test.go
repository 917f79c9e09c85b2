package router

import (
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

func TestAnswer(t *testing.T) {
	upgrade := func(protocols, message string) *Answer {
		return &Answer{426, message, http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocols}}}
	}
	grpc := http.Header{"Content-Type": {"application/grpc+proto"}}
	tests := []struct {
		name      string
		protocols []string
		redirect  int
		proto     string
		header    http.Header
		http2     bool
		want      *Answer // nil: Kong goes on
	}{
		{name: "both protocols", protocols: []string{"http", "https"}, redirect: 301, proto: "http"},
		{name: "http alone takes https", protocols: []string{"http"}, proto: "https"},
		{name: "https alone over https", protocols: []string{"https"}, redirect: 301, proto: "https"},
		{
			name: "https alone", protocols: []string{"https"}, redirect: 426, proto: "http",
			want: upgrade("TLS/1.2, HTTP/1.1", "Please use HTTPS protocol"),
		},
		{
			name: "redirect", protocols: []string{"https"}, redirect: 308, proto: "http",
			want: &Answer{308, "", http.Header{"Location": {"https://a.test/x?y=%zz"}}},
		},
		{name: "gRPC", protocols: []string{"grpc", "grpcs"}, proto: "http", header: grpc, http2: true},
		{name: "secure gRPC", protocols: []string{"grpcs"}, proto: "https", header: grpc, http2: true},
		{
			name: "gRPC over HTTP/1.1", protocols: []string{"grpc"}, proto: "http", header: grpc,
			want: upgrade("HTTP/2", "Please use HTTP2 protocol"),
		},
		{
			name: "not gRPC", protocols: []string{"grpc"}, proto: "http", http2: true,
			header: http.Header{"Content-Type": {"application/json"}},
			want:   &Answer{Status: 415, Message: "Non-gRPC request matched gRPC route"},
		},
		{
			name: "no content type over HTTP/1.1", protocols: []string{"grpc"}, proto: "http",
			want: &Answer{Status: 415, Message: "Non-gRPC request matched gRPC route"},
		},
		{
			name: "plain gRPC for a secure route", protocols: []string{"grpcs"}, proto: "http", header: grpc, http2: true,
			want: &Answer{200, "", http.Header{
				"Content-Type": {"application/grpc"},
				"Grpc-Status":  {"1"},
				"Grpc-Message": {"gRPC request matched gRPCs route"},
			}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			m := Match{Route: &entity.Route{Protocols: test.protocols, HTTPSRedirectStatusCode: test.redirect}}
			req := &Request{Target: "/x?y=%zz", Header: test.header, HTTP2: test.http2}
			got, answered := m.Answer(req, test.proto, "a.test")
			want := Answer{}
			if test.want != nil {
				want = *test.want
			}
			if diff := cmp.Diff(want, got); diff != "" || answered != (test.want != nil) {
				t.Errorf("answered %v, -want +got:\n%s", answered, diff)
			}
		})
	}
}

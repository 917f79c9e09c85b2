package plugin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/entity"
)

// TestExits: the answers of a browser and of a gRPC caller, who reads no page.
func TestExits(t *testing.T) {
	for _, c := range []struct {
		name   string
		exit   func(*Context)
		header string // of a gRPC caller: status and message
		body   string // of anybody else
	}{
		{"error", func(c *Context) { c.ExitError(401, "no", nil) }, "16 Unauthenticated", "no\nrequest_id: id\n"},
		{"error of its own kind", func(c *Context) { c.ExitError(402, "no", nil) }, "3 InvalidArgument", "no\nrequest_id: id\n"},
		{"message", func(c *Context) { c.ExitMessage(503, "a/<b>") }, "14 a/<b>", `{"message":"a/<b>"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			grpc := &Context{Request: &http.Request{ProtoMajor: 2, Header: http.Header{"Content-Type": {"application/grpc+proto"}}}}
			c.exit(grpc)
			a := grpc.Answer()
			if got := a.Header.Get("Grpc-Status") + " " + a.Header.Get("Grpc-Message"); got != c.header || len(a.Body) != 0 ||
				a.Header.Get("Content-Type") != "application/grpc" {
				t.Errorf("gRPC: got %q, %q, %q", got, a.Header, a.Body)
			}
			plain := &Context{RequestID: "id", Request: &http.Request{ProtoMajor: 1, Header: http.Header{"Accept": {"text/plain"}}}}
			c.exit(plain)
			if got := string(plain.Answer().Body); got != c.body {
				t.Errorf("got %q, want %q", got, c.body)
			}
		})
	}
}

// TestExitError: the answer has the headers that are asked for besides.
func TestExitError(t *testing.T) {
	c := &Context{RequestID: "id", Request: &http.Request{Header: http.Header{}}}
	c.ExitError(401, "no", http.Header{"WWW-Authenticate": {"Key"}})
	want := http.Header{"Www-Authenticate": {"Key"}, "Content-Type": {JSONType}}
	if diff := cmp.Diff(want, c.Answer().Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
}

// TestIdentify: a credential of nobody that is known names nobody.
func TestIdentify(t *testing.T) {
	c := &Context{Request: &http.Request{Header: http.Header{
		"X-Consumer-Id": {"mine"}, "X-Consumer-Username": {"me"}, "X-Consumer-Custom-Id": {"my"}, "X-Anonymous-Consumer": {"true"},
	}}}
	c.Identify(nil, &entity.KeyAuthCredential{}, "credential")
	if diff := cmp.Diff(http.Header{"X-Credential-Identifier": {"credential"}}, c.Request.Header); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	if c.Consumer != nil || c.Credential == nil {
		t.Errorf("consumer %v, credential %v", c.Consumer, c.Credential)
	}
}

func TestRawQuery(t *testing.T) {
	c := &Context{ForwardedURI: "/a?b=%31?"}
	if got := c.RawQuery(); got != "b=%31?" {
		t.Errorf("got %q", got)
	}
	own := strings.Repeat("c", 2)
	c.Outgoing.Query = &own
	if got := c.RawQuery(); got != "cc" {
		t.Errorf("got %q", got)
	}
}

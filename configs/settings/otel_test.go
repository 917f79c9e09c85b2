package settings

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var otelFiles = files{
	"/ca.pem":   "-----BEGIN CERTIFICATE-----\n",
	"/cert.pem": "-----BEGIN CERTIFICATE-----\n",
	"/key.pem":  "-----BEGIN PRIVATE KEY-----\n",
	"/text":     "hello",
}

func TestParseOTel(t *testing.T) {
	standard := func(change func(*OTel)) OTel {
		o := OTel{Export: true, Timeout: 10 * time.Second, Compression: "none"}
		change(&o)
		return o
	}
	tests := []struct {
		name     string
		environ  []string
		want     OTel
		warnings string
	}{
		{"nothing", nil, standard(func(*OTel) {}), ""},
		{
			"empty is unset",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=", "OTEL_EXPORTER_OTLP_TIMEOUT= ", "OTEL_SERVICE_NAME=", "OTEL_SDK_DISABLED="},
			standard(func(*OTel) {}), "",
		},
		{
			"general endpoint",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318"},
			standard(func(o *OTel) { o.Endpoint = "http://collector:4318/v1/traces" }), "",
		},
		{
			"general endpoint with a path",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c.example.com/otlp/"},
			standard(func(o *OTel) { o.Endpoint = "https://c.example.com/otlp/v1/traces" }), "",
		},
		{
			"general endpoint with a query",
			[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://[::1]:1/a?k=v"},
			standard(func(o *OTel) { o.Endpoint = "https://[::1]:1/a/v1/traces?k=v" }), "",
		},
		{
			"traces endpoint wins and stands",
			[]string{
				"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318/adapt_x/api/otlp/traces", "OTEL_EXPORTER_OTLP_ENDPOINT=http://other",
			},
			standard(func(o *OTel) { o.Endpoint = "http://c:4318/adapt_x/api/otlp/traces" }), "",
		},
		{
			"traces endpoint without a path",
			[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://c:4318"},
			standard(func(o *OTel) { o.Endpoint = "http://c:4318" }), "",
		},
		{
			"headers",
			[]string{"OTEL_EXPORTER_OTLP_HEADERS=X-Auth-Token=a%20b%2C+c , empty=,k=v=w%25"},
			standard(func(o *OTel) { o.Headers = map[string]string{"X-Auth-Token": "a b,+c", "empty": "", "k": "v=w%"} }), "",
		},
		{
			"headers for traces replace the general ones",
			[]string{"OTEL_EXPORTER_OTLP_HEADERS=a=b", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=c=d"},
			standard(func(o *OTel) { o.Headers = map[string]string{"c": "d"} }), "",
		},
		{
			"headers without values",
			[]string{"OTEL_EXPORTER_OTLP_HEADERS=a=b,hunter2"},
			standard(func(*OTel) {}),
			"environment: OTEL_EXPORTER_OTLP_HEADERS: is ignored: it is not a list of header=value, with commas between and percent signs encoded",
		},
		{
			"header that would split a request",
			[]string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=hunter2%0D%0Ab:c"},
			standard(func(*OTel) {}),
			"environment: OTEL_EXPORTER_OTLP_TRACES_HEADERS: is ignored: it is not a list of header=value, with commas between and percent signs encoded",
		},
		{
			"header with a bad percent sign",
			[]string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=hunter2%zz"},
			standard(func(*OTel) {}),
			"environment: OTEL_EXPORTER_OTLP_TRACES_HEADERS: is ignored: it is not a list of header=value, with commas between and percent signs encoded",
		},
		{
			"timeout and compression",
			[]string{"OTEL_EXPORTER_OTLP_TIMEOUT=2500", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip"},
			standard(func(o *OTel) { o.Timeout, o.Compression = 2500*time.Millisecond, "gzip" }), "",
		},
		{
			"those for traces win",
			[]string{
				"OTEL_EXPORTER_OTLP_TIMEOUT=1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=2", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
				"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=none",
			},
			standard(func(o *OTel) { o.Timeout = 2 * time.Millisecond }), "",
		},
		{
			"unreadable values",
			[]string{"OTEL_EXPORTER_OTLP_TIMEOUT=10s", "OTEL_EXPORTER_OTLP_COMPRESSION=zstd", "OTEL_SDK_DISABLED=1"},
			standard(func(*OTel) {}),
			"environment: OTEL_SDK_DISABLED: is neither true nor false and counts as false\n" +
				"environment: OTEL_EXPORTER_OTLP_TIMEOUT: is ignored: it is not a number of milliseconds above 0\n" +
				"environment: OTEL_EXPORTER_OTLP_COMPRESSION: is ignored: it is neither gzip nor none",
		},
		{
			"zero timeout",
			[]string{"OTEL_EXPORTER_OTLP_TIMEOUT=0"},
			standard(func(*OTel) {}),
			"environment: OTEL_EXPORTER_OTLP_TIMEOUT: is ignored: it is not a number of milliseconds above 0",
		},
		{
			"certificates",
			[]string{
				"OTEL_EXPORTER_OTLP_CERTIFICATE=/ca.pem", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/none", "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE=/cert.pem",
				"OTEL_EXPORTER_OTLP_CLIENT_KEY=/key.pem",
			},
			standard(func(o *OTel) { o.Certificate, o.ClientCertificate, o.ClientKey = "/ca.pem", "/cert.pem", "/key.pem" }), "",
		},
		{"protocol", []string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, standard(func(*OTel) {}), ""},
		{
			"grpc",
			[]string{"OTEL_EXPORTER_OTLP_PROTOCOL=grpc"},
			standard(func(*OTel) {}),
			"environment: OTEL_EXPORTER_OTLP_PROTOCOL: has no effect: traces are sent as http/protobuf, so the endpoint must take that",
		},
		{
			"http/json",
			[]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/json"},
			standard(func(*OTel) {}),
			"environment: OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: has no effect: traces are sent as http/protobuf, so the endpoint must take that",
		},
		{
			"resource",
			[]string{"OTEL_RESOURCE_ATTRIBUTES=service.name=a,deployment.environment.name=x%2Cy"},
			standard(func(o *OTel) {
				o.ServiceName, o.ResourceAttributes = "a", map[string]string{"deployment.environment.name": "x,y"}
			}), "",
		},
		{
			"service name wins",
			[]string{"OTEL_SERVICE_NAME=b", "OTEL_RESOURCE_ATTRIBUTES=service.name=a"},
			standard(func(o *OTel) { o.ServiceName = "b" }), "",
		},
		{
			"resource that cannot be read",
			[]string{"OTEL_RESOURCE_ATTRIBUTES=a=b,c"},
			standard(func(*OTel) {}),
			"environment: OTEL_RESOURCE_ATTRIBUTES: is ignored: it is not a list of name=value, with commas between and percent signs encoded",
		},
		{"disabled", []string{"OTEL_SDK_DISABLED=TRUE"}, standard(func(o *OTel) { o.Disabled = true }), ""},
		{"no exporter", []string{"OTEL_TRACES_EXPORTER=none"}, standard(func(o *OTel) { o.Export = false }), ""},
		{"otlp", []string{"OTEL_TRACES_EXPORTER=otlp"}, standard(func(*OTel) {}), ""},
		{
			"other exporters",
			[]string{"OTEL_TRACES_EXPORTER=console,otlp"},
			standard(func(*OTel) {}),
			`environment: OTEL_TRACES_EXPORTER: "console" is not an exporter here and is ignored; there are otlp and none`,
		},
		{"stable names", []string{"OTEL_SEMCONV_STABILITY_OPT_IN=database, http"}, standard(func(o *OTel) { o.SemConv = "http" }), ""},
		{"both names", []string{"OTEL_SEMCONV_STABILITY_OPT_IN=http,http/dup"}, standard(func(o *OTel) { o.SemConv = "http/dup" }), ""},
		{"other names", []string{"OTEL_SEMCONV_STABILITY_OPT_IN=database/dup,HTTP"}, standard(func(*OTel) {}), ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, warnings, err := ParseOTel(tt.environ, otelFiles.read)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error("settings (-want +got):\n" + diff)
			}
			if diff := cmp.Diff(tt.warnings, warningLines(warnings)); diff != "" {
				t.Error("warnings (-want +got):\n" + diff)
			}
		})
	}
}

func TestParseOTelFaults(t *testing.T) {
	const notURL = "the value is not an HTTP URL; allowed: http://host:port/path, https://host:port/path"
	tests := []struct {
		name    string
		environ []string
		want    string
	}{
		{"no scheme", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318"}, "OTEL_EXPORTER_OTLP_ENDPOINT: " + notURL},
		{"another scheme", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=grpc://c:4317"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: " + notURL},
		{"no host", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://:4318/"}, "OTEL_EXPORTER_OTLP_ENDPOINT: " + notURL},
		{"bad port, password", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:hunter2@c:x/"}, "OTEL_EXPORTER_OTLP_ENDPOINT: " + notURL},
		{"no such file", []string{"OTEL_EXPORTER_OTLP_CERTIFICATE=/none"}, "OTEL_EXPORTER_OTLP_CERTIFICATE: read file: open /none: file does not exist"},
		{"no PEM", []string{"OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE=/text"}, "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE: the file holds no PEM"},
		{
			"certificate alone",
			[]string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=/cert.pem"},
			"OTEL_EXPORTER_OTLP_CLIENT_KEY: is missing, though a client certificate is set; allowed: both or neither",
		},
		{
			"key alone",
			[]string{"OTEL_EXPORTER_OTLP_CLIENT_KEY=/key.pem"},
			"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: is missing, though a client key is set; allowed: both or neither",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := ParseOTel(tt.environ, otelFiles.read)
			if err == nil {
				t.Fatal("got no error")
			}
			if want := "environment: " + tt.want; err.Error() != want {
				t.Errorf("got  %s\nwant %s", err, want)
			}
		})
	}
}

// No value makes it panic, and no header's value is ever repeated.
func FuzzParseOTel(f *testing.F) {
	f.Add("http://c:4318", "a=b%20c,d=hunter2", "service.name=x")
	f.Add("://", "=,=%", "%zz=")
	f.Fuzz(func(t *testing.T, endpoint, headers, attributes string) {
		const secret = "hunter2"
		o, warnings, err := ParseOTel([]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT=" + endpoint, "OTEL_EXPORTER_OTLP_HEADERS=x=" + secret + "," + headers,
			"OTEL_RESOURCE_ATTRIBUTES=" + attributes,
		}, otelFiles.read)
		said := warningLines(warnings)
		if err != nil {
			said += err.Error()
		} else if o.Endpoint != "" && !strings.Contains(o.Endpoint, "/v1/traces") {
			t.Fatalf("endpoint %q became %q", endpoint, o.Endpoint)
		}
		if strings.Contains(said, secret) {
			t.Fatalf("the secret is in: %s", said)
		}
		for name, value := range o.Headers {
			if strings.ContainsAny(name+value, "\r\n\x00") {
				t.Fatalf("header %q: %q would split a request", name, value)
			}
		}
	})
}

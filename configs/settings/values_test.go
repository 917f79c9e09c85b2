package settings

import (
	"crypto/tls"
	"encoding/base64"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// decodeCase is one row of testDecode; an empty wantErr means success.
type decodeCase[T any] struct {
	value   string
	want    T
	wantErr string
}

func testDecode[T any](t *testing.T, decode func(string) (T, error), tests []decodeCase[T]) {
	t.Helper()
	for _, tt := range tests {
		got, err := decode(tt.value)
		switch {
		case tt.wantErr == "" && err != nil:
			t.Errorf("%q: got error %q, want none", tt.value, err)
		case tt.wantErr != "" && (err == nil || !strings.Contains(err.Error(), tt.wantErr)):
			t.Errorf("%q: got %v, error %v, want an error that contains %q", tt.value, got, err, tt.wantErr)
		case tt.wantErr == "":
			if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Prefix{}, netip.AddrPort{})); diff != "" {
				t.Errorf("%q (-want +got):\n%s", tt.value, diff)
			}
		}
	}
}

func TestParseSize(t *testing.T) {
	testDecode(t, parseSize, []decodeCase[int64]{
		{"0", 0, ""},
		{"1", 1, ""},
		{"8k", 8 << 10, ""},
		{"8K", 8 << 10, ""},
		{"10m", 10 << 20, ""},
		{"2G", 2 << 30, ""},
		{"9223372036854775807", 1<<63 - 1, ""},
		{"9223372036854775808", 0, "is not a size"},
		{"9007199254740992k", 0, "is not a size"},
		{"8589934591g", 8589934591 << 30, ""},
		{"8589934592g", 0, "is not a size"},
		{"", 0, "is not a size"},
		{"k", 0, "is not a size"},
		{"-1", 0, "is not a size"},
		{"1.5m", 0, "is not a size"},
		{"10 m", 0, "is not a size"},
		{"10mb", 0, "is not a size"},
		{"+1", 0, "is not a size"},
	})
}

func TestParseSeconds(t *testing.T) {
	testDecode(t, parseSeconds, []decodeCase[time.Duration]{
		{"0", 0, ""},
		{"60", time.Minute, ""},
		{"0.5", 500 * time.Millisecond, ""},
		{"1000000000", 1e9 * time.Second, ""},
		{"-1", 0, "number of seconds"},
		{"NaN", 0, "number of seconds"},
		{"Inf", 0, "number of seconds"},
		{"1e300", 0, "number of seconds"},
		{"1m", 0, "number of seconds"},
		{"", 0, "number of seconds"},
	})
}

func TestParseRate(t *testing.T) {
	testDecode(t, parseRate, []decodeCase[float64]{
		{"0", 0, ""},
		{"1", 1, ""},
		{"1.0", 1, ""},
		{".01", 0.01, ""},
		{"1.01", 0, "not a number in range"},
		{"-0.1", 0, "not a number in range"},
		{"nan", 0, "not a number in range"},
		{"10%", 0, "not a number in range"},
	})
}

func TestParseBool(t *testing.T) {
	testDecode(t, parseBool, []decodeCase[bool]{
		{"on", true, ""},
		{"true", true, ""},
		{"off", false, ""},
		{"false", false, ""},
		{"ON", false, "neither on nor off"},
		{"1", false, "neither on nor off"},
	})
}

func TestParseTrusted(t *testing.T) {
	prefix := netip.MustParsePrefix
	testDecode(t, parseTrusted, []decodeCase[[]netip.Prefix]{
		{"10.1.2.3/8", []netip.Prefix{prefix("10.0.0.0/8")}, ""},
		{"0.0.0.0/0,::/0", []netip.Prefix{prefix("0.0.0.0/0"), prefix("::/0")}, ""},
		{"192.0.2.1, 2001:db8::1", []netip.Prefix{prefix("192.0.2.1/32"), prefix("2001:db8::1/128")}, ""},
		{"::ffff:192.0.2.9", []netip.Prefix{prefix("192.0.2.9/32")}, ""},
		{"::ffff:192.0.2.0/120", []netip.Prefix{prefix("192.0.2.0/24")}, ""},
		{"unix:", nil, ""},
		{"unix:, 127.0.0.1", []netip.Prefix{prefix("127.0.0.1/32")}, ""},
		{"10.0.0.0/33", nil, `"10.0.0.0/33" is neither`},
		{"127.0.0.1, example.com", nil, `"example.com" is neither`},
		{"fe80::1%eth0", nil, "is neither"},
	})
}

func TestParseNameservers(t *testing.T) {
	server := netip.MustParseAddrPort
	testDecode(t, parseNameservers, []decodeCase[[]netip.AddrPort]{
		{"8.8.8.8", []netip.AddrPort{server("8.8.8.8:53")}, ""},
		{"8.8.8.8:5353, [::1], [::1]:54, ::1", []netip.AddrPort{server("8.8.8.8:5353"), server("[::1]:53"), server("[::1]:54"), server("[::1]:53")}, ""},
		{"dns.example.com", nil, `"dns.example.com" is not the address`},
		{"8.8.8.8:0", nil, "has port 0"},
		{"8.8.8.8:99999", nil, "is not the address"},
		{"[::1", nil, "is not the address"},
	})
}

func TestParseInstrumentations(t *testing.T) {
	testDecode(t, parseInstrumentations, []decodeCase[[]string]{
		{"all", []string{"all"}, ""},
		{"off", []string{"off"}, ""},
		{"request,router, request", []string{"request", "router"}, ""},
		{
			"db_query, router, http_client, balancer, plugin_rewrite, plugin_access, plugin_header_filter, dns_query",
			[]string{"db_query", "router", "http_client", "balancer", "plugin_rewrite", "plugin_access", "plugin_header_filter", "dns_query"},
			"",
		},
		{"upstream,plugin_body_filter,plugin_log", []string{"upstream", "plugin_body_filter", "plugin_log"}, ""},
		{"off,router", nil, `"off,router" mixes off`},
		{"router,rooter", nil, `"rooter" is not one of the values`},
		{"ALL", nil, `"ALL" is not one of the values`},
		{",", nil, "names nothing"},
	})
}

func TestParseHeaders(t *testing.T) {
	latency := ResponseHeaders{ProxyLatency: true, ResponseLatency: true, UpstreamLatency: true, AdminLatency: true}
	testDecode(t, parseHeaders, []decodeCase[ResponseHeaders]{
		{"off", ResponseHeaders{}, ""},
		{"off, via", ResponseHeaders{}, ""},
		{"via, off", ResponseHeaders{Via: true}, ""},
		{"server_tokens", ResponseHeaders{Server: true, Via: true}, ""},
		{"latency_tokens", latency, ""},
		{"X-Kong-Proxy-Latency,x-kong-response-latency,X-KONG-UPSTREAM-LATENCY,x-kong-admin-latency", latency, ""},
		{"Server, X-Kong-Upstream-Status, X-Kong-Request-Id", ResponseHeaders{Server: true, UpstreamStatus: true, RequestID: true}, ""},
		{"via, x-powered-by", ResponseHeaders{}, `"x-powered-by" is not a header to send`},
	})
	testDecode(t, parseUpstreamHeaders, []decodeCase[UpstreamHeaders]{
		{"off", UpstreamHeaders{}, ""},
		{"x-kong-request-id", UpstreamHeaders{RequestID: true}, ""},
		{"Via", UpstreamHeaders{}, `"Via" is not a header to send`},
	})
}

func TestParseOthers(t *testing.T) {
	testDecode(t, parsePortMaps, []decodeCase[map[int]int]{
		{"80:8000, 443:8443", map[int]int{8000: 80, 8443: 443}, ""},
		{"80", nil, "is not a pair of ports"},
		{"0:8000", nil, "is not a pair of ports"},
		{"80:8000:1", nil, "is not a pair of ports"},
	})
	testDecode(t, parseHeaderName, []decodeCase[string]{
		{"X-Forwarded-For", "X-Forwarded-For", ""}, {"proxy_protocol", "proxy_protocol", ""}, {"X Real", "", "is not the name"},
	})
	testDecode(t, anyRecord, []decodeCase[[]string]{
		{"last,srv,a,AAAA,CNAME,a", []string{"LAST", "SRV", "A", "AAAA", "CNAME"}, ""}, {"A,MX", nil, `"MX" is not one of`}, {",", nil, "names no record type"},
	})
	testDecode(t, anyFamily, []decodeCase[[]string]{
		{"a, aaaa, srv", []string{"A", "AAAA", "SRV"}, ""}, {"LAST", nil, "is not one of"},
	})
	testDecode(t, parameters, []decodeCase[[]string]{{"off", nil, ""}, {"Token, X-Sig", []string{"token", "x-sig"}, ""}})
	testDecode(t, parseUUID, []decodeCase[string]{
		{"1B4E28BA-2fa1-41d2-883f-0016d3cca427", "1b4e28ba-2fa1-41d2-883f-0016d3cca427", ""},
		{"1b4e28ba2fa141d2883f0016d3cca427", "", "is not a UUID"},
		{"1b4e28ba-2fa1-41d2-883f-0016d3cca42g", "", "is not a UUID"},
	})
}

func TestParseProtocols(t *testing.T) {
	tests := []struct {
		value           string
		lowest, highest uint16
		wantErr         string
	}{
		{"TLSv1.2 TLSv1.3", tls.VersionTLS12, tls.VersionTLS13, ""},
		{"TLSv1.3 TLSv1", tls.VersionTLS10, tls.VersionTLS13, ""},
		{"TLSv1.1", tls.VersionTLS11, tls.VersionTLS11, ""},
		{"SSLv3 TLSv1.2", 0, 0, `"SSLv3" is not a TLS version`},
		{"TLSv1.2,TLSv1.3", 0, 0, "is not a TLS version"},
	}
	for _, tt := range tests {
		lowest, highest, err := parseProtocols(tt.value)
		if tt.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
				t.Errorf("%q: got error %v, want %q", tt.value, err, tt.wantErr)
			}
			continue
		}
		if err != nil || lowest != tt.lowest || highest != tt.highest {
			t.Errorf("%q: got %x, %x, %v, want %x, %x", tt.value, lowest, highest, err, tt.lowest, tt.highest)
		}
	}
}

func TestPEMOrPath(t *testing.T) {
	const certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
	encoded := base64.StdEncoding.EncodeToString([]byte(certificate))
	for value, want := range map[string]string{
		certificate: certificate, encoded: certificate, "/etc/kong/cert.pem": "/etc/kong/cert.pem", "abcd": "abcd",
	} {
		if got := pemOrPath(value); got != want {
			t.Errorf("%q: got %q, want %q", value, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	for name, want := range map[string]string{
		"proxy_lisen": "proxy_listen", "proxy_listne": "proxy_listen", "tracing_instrumentation": "tracing_instrumentations",
		"pg_pasword": "pg_password", "log_levels": "log_level", "completely_different": "", "x": "", strings.Repeat("a", 5000): "",
	} {
		if got := nearest(name); got != want {
			t.Errorf("nearest(%.40q): got %q, want %q", name, got, want)
		}
	}
}

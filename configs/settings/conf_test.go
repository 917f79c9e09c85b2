package settings

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseConf(t *testing.T) {
	tests := []struct {
		name string
		conf string
		want []assignment
	}{
		{"plain", "log_level = debug\n", []assignment{{"log_level", "debug", 1, 13}}},
		{"no spaces, no last newline", "a=b", []assignment{{"a", "b", 1, 3}}},
		{"indented", "\t a = b  \n", []assignment{{"a", "b", 1, 7}}},
		{"carriage returns", "a = b\r\nc = d\r\n", []assignment{{"a", "b", 1, 5}, {"c", "d", 2, 5}}},
		{"byte order mark", "\ufeffa = b\n", []assignment{{"a", "b", 1, 5}}},
		{"comment lines", "# a = 1\n  ; b = 2\n\nc = 3\n", []assignment{{"c", "3", 4, 5}}},
		{"trailing comment", "a = b # why\n", []assignment{{"a", "b", 1, 5}}},
		{"trailing comment without a space", "a = b#why\n", []assignment{{"a", "b", 1, 5}}},
		{"escaped number sign", `a = p\#ss \# more # why`, []assignment{{"a", "p#ss # more", 1, 5}}},
		{"value is a comment", "a = # nothing\n", []assignment{{"a", "", 1, 1}}},
		{"empty value", "a =\n", []assignment{{"a", "", 1, 1}}},
		{"equals signs in the value", "a = b=c=d\n", []assignment{{"a", "b=c=d", 1, 5}}},
		{"quotes stay", `a = "b c"`, []assignment{{"a", `"b c"`, 1, 5}}},
		{"continued", "a = b, \\\n  c\nd = e\n", []assignment{{"a", "b,   c", 1, 5}, {"d", "e", 3, 5}}},
		{"continued over a comment", "a = b,\\\n# no\nc\n", []assignment{{"a", "b,c", 1, 5}}},
		{"continued to the end", "a = b\\", []assignment{{"a", "b", 1, 5}}},
		{"semicolon in a value", "a = ./?.lua;./x\n", []assignment{{"a", "./?.lua;./x", 1, 5}}},
		{"dashes and dots in a name", "a-b.c = d\n", []assignment{{"a_b_c", "d", 1, 9}}},
		{"twice", "a = 1\na = 2\n", []assignment{{"a", "1", 1, 5}, {"a", "2", 2, 5}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, faults := parseConf("kong.conf", []byte(tt.conf))
			if len(faults) > 0 {
				t.Fatalf("faults: %v", faults)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(assignment{})); diff != "" {
				t.Error("assignments (-want +got):\n" + diff)
			}
		})
	}
}

func TestParseConfFaults(t *testing.T) {
	conf := "a = b\n  log_level debug\n[section]\n = x\nfoo # = bar\n"
	const allowed = "; allowed: key = value, or a comment that begins with #"
	want := strings.Join([]string{
		"kong.conf:2:3: this line assigns nothing" + allowed,
		"kong.conf:3:1: sections are not part of kong.conf" + allowed,
		"kong.conf:4:2: the name before = is missing" + allowed,
		"kong.conf:5:1: this line assigns nothing" + allowed,
	}, "\n")
	got, faults := parseConf("kong.conf", []byte(conf))
	if diff := cmp.Diff(want, faults.Error()); diff != "" {
		t.Error("faults (-want +got):\n" + diff)
	}
	if want := []assignment{{"a", "b", 1, 5}}; !cmp.Equal(want, got, cmp.AllowUnexported(assignment{})) {
		t.Errorf("assignments: got %v, want %v", got, want)
	}
}

// A file of any bytes gives values or faults, each at a place that the file has.
func FuzzCheckFile(f *testing.F) {
	for _, seed := range []string{
		"log_level = debug # x\n", "a = b\\\n\\\nc", "[x]\n=\n#\n;\n", "proxy_listen = off, 1:1\n", "\ufeff\xff=\x00\r\n",
		"trusted_ips = ::ffff:10.0.0.1/97, unix:\nssl_protocols = TLSv1\nssl_cert=,,\n", "nginx_http_client_max_body_size = g",
		"dns_stale_ttl = 1e400\nport_maps = 1:2:3\nheaders = off\nnode_id = '\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Split(string(data), "\n")
		for _, fault := range CheckFile("kong.conf", data) {
			if fault.Problem == "" || fault.File != "kong.conf" {
				t.Fatalf("fault without a problem or a file: %+v", fault)
			}
			if fault.Line < 1 || fault.Line > len(lines) || fault.Column < 1 {
				t.Fatalf("fault outside the file: %+v", fault)
			}
		}
		assignments, _ := parseConf("kong.conf", data)
		for _, a := range assignments {
			if a.key == "" || strings.TrimSpace(a.value) != a.value {
				t.Fatalf("assignment without a name or with spaces around the value: %+v", a)
			}
		}
	})
}

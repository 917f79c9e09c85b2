package propagation

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNew(t *testing.T) {
	set := func(formats ...Format) (s formatSet) {
		for _, f := range formats {
			s = s.with(f)
		}
		return s
	}
	byDefault := []Format{B3, W3C, Jaeger, OT, Datadog, AWS, GCP}
	cases := []struct {
		name   string
		config Config
		want   policy
	}{
		{"null", Config{}, policy{fallback: W3C}},
		{"preserve", Config{HeaderType: "preserve"}, policy{extract: byDefault, preserve: true, fallback: W3C}},
		{
			"preserve as from 3.10",
			Config{HeaderType: "preserve", InstanaByDefault: true},
			policy{extract: append(byDefault[:7:7], Instana), preserve: true, fallback: W3C},
		},
		{"ignore", Config{HeaderType: "ignore"}, policy{inject: set(W3C), fallback: W3C}},
		{
			"ignore with a default",
			Config{HeaderType: "ignore", DefaultFormat: "b3-single"},
			policy{inject: set(B3Single), fallback: B3Single},
		},
		{
			"a format",
			Config{HeaderType: "ot", DefaultFormat: "gcp"},
			policy{extract: byDefault, inject: set(OT), preserve: true, fallback: GCP},
		},
		{
			"instana",
			Config{HeaderType: "instana"},
			policy{extract: append(byDefault[:7:7], Instana), inject: set(Instana), preserve: true, fallback: W3C},
		},
		{
			"lists rule out header_type",
			Config{HeaderType: "b3", Extract: []string{}},
			policy{fallback: W3C},
		},
		{
			"lists",
			Config{
				Extract: []string{"jaeger", "instana", "jaeger"},
				Inject:  []string{"w3c", "preserve", "w3c", "b3-single"},
				Clear:   []string{"x-B3-TRACEID", "b3"},
			},
			policy{
				extract: []Format{Jaeger, Instana, Jaeger}, inject: set(W3C, B3Single), preserve: true, fallback: W3C,
				clear: []string{"X-B3-Traceid", "B3"},
			},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p, err := New(c.config)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, p.policy, cmp.AllowUnexported(policy{})); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	cases := []struct {
		config Config
		want   string // part of the error
	}{
		{Config{DefaultFormat: "preserve"}, `default_format: "preserve" is not one of w3c, b3,`},
		{Config{HeaderType: "zipkin"}, `header_type: "zipkin" is not one of preserve, ignore, w3c,`},
		{Config{Extract: []string{"w3c", "b3-single"}}, `extract[2]: "b3-single" is not one of w3c, b3, jaeger,`},
		{Config{Extract: []string{"preserve"}}, `extract[1]: "preserve"`},
		{Config{Inject: []string{""}}, `inject[1]: "" is not one of preserve, w3c, b3, b3-single,`},
	}
	for _, c := range cases {
		if _, err := New(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("New(%+v): error %v, want %s", c.config, err, c.want)
		}
	}
}

func TestFormatNames(t *testing.T) {
	for f := W3C; f <= Instana; f++ {
		if got, ok := ParseFormat(f.String()); !ok || got != f {
			t.Errorf("ParseFormat(%q) = %v, %t", f, got, ok)
		}
	}
	if f, ok := ParseFormat(""); ok {
		t.Errorf("the empty name is %v", f)
	}
	if got := Format(99).String(); got != "Format(99)" {
		t.Errorf("unknown format is %q", got)
	}
}

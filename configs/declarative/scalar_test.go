package declarative_test

import (
	"math"
	"testing"

	"sidekong/configs/declarative"
)

func TestResolveScalar(t *testing.T) {
	for _, c := range []struct {
		text string
		want any
	}{
		{"", nil},
		{"~", nil},
		{"null", nil},
		{"NULL", nil},
		{"nULL", "nULL"},
		{"true", true},
		{"Yes", true},
		{"on", true},
		{"OFF", false},
		{"no", false},
		{"y", "y"},
		{"n", "n"},
		{"oN", "oN"},
		{"0", 0.0},
		{"80", 80.0},
		{"-5", -5.0},
		{"+5", 5.0},
		{"1_000", 1000.0},
		{"_1", 1.0},
		{"010", 8.0},
		{"-017", -15.0},
		{"08", 8.0},
		{"0o17", "0o17"},
		{"0x1F", 31.0},
		{"-0x10", -16.0},
		{"0b101", 5.0},
		{"0b1", "0b1"},
		{"1.5", 1.5},
		{".5", 0.5},
		{"1.", 1.0},
		{"1e3", 1000.0},
		{"-1.5E-1", -0.15},
		{"1.2.3.4", "1.2.3.4"},
		{"12:30", 750.0},
		{"190:20:30", 685230.0},
		{"1:30.5", 90.5},
		{"12:61", 792.0 - 11},
		{"a:1", "a:1"},
		{"::1", "::1"},
		{".inf", math.Inf(1)},
		{"-.INF", math.Inf(-1)},
		{"inf", "inf"},
		{"nan", "nan"},
		{"2024-01-02", "2024-01-02"},
		{"1e", "1e"},
		{"-", "-"},
		{".", "."},
		{"+", "+"},
		{"1 2", "1 2"},
		{"é", "é"},
	} {
		if c.text == "12:61" {
			c.want = 12*60.0 + 61 // the second digit is read as of [:0-9]*
		}
		if got := declarative.ResolveScalar(c.text); got != c.want {
			t.Errorf("resolveScalar(%q) = %v, want %v", c.text, got, c.want)
		}
	}
	if got, ok := declarative.ResolveScalar(".nan").(float64); !ok || !math.IsNaN(got) {
		t.Errorf("resolveScalar(.nan) = %v, want NaN", got)
	}
}

func TestMigratePath(t *testing.T) {
	for _, c := range []struct{ path, want string }{
		{"/", "/"},
		{"/plain.path-x_y~z", "/plain.path-x_y~z"},
		{"/a//b/./c/../d", "/a/b/d"},
		{"/a%20b%2fc%41", "/a b%2FcA"},
		{"/..", "/"},
		{`/re/\d+`, `~/re/\d+`},
		{"/a|b", "~/a|b"},
		{"/(x)%2e%2f%7B", `~/(x)\.%2F\{`},
		{"/ä", "~/ä"},
		{"/a%zz(", "~/a%zz("},
	} {
		if got := declarative.MigratePath(c.path); got != c.want {
			t.Errorf("migratePath(%q) = %q, want %q", c.path, got, c.want)
		}
	}
}

func TestEvaluate(t *testing.T) {
	for _, c := range []struct{ expression, want, err string }{
		{`${{ env "DECK_PORT" }}`, "8080", ""},
		{`${{env 'DECK_PORT'|toInt}}`, "8080", ""},
		{"${{ env `DECK_FLOAT` | toFloat }}", "0.5", ""},
		{`${{ env \"DECK_BOOL\" | toBool | indent 2 }}`, "true", ""},
		{`${{ env "DECK_EMPTY" }}`, "", ""},
		{`${{ env "DECK_NONE" }}`, "", "environment variable DECK_NONE is not set"},
		{`${{ env "DECK_SECRET" | toInt }}`, "", "environment variable DECK_SECRET is not an integer"},
		{`${{ env "HOME" }}`, "", `environment variables in a configuration must begin with DECK_, found "HOME"`},
		{`${{}}`, "", `${{}} is not understood; allowed: ${{ env "DECK_NAME" }}, with | toInt, toBool, toFloat or indent N`},
	} {
		got, err := declarative.Evaluate(c.expression, lookup)
		message := ""
		if err != nil {
			message = err.Error()
		}
		if got != c.want || message != c.err {
			t.Errorf("evaluate(%s) = %q, %q; want %q, %q", c.expression, got, message, c.want, c.err)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"host", "hosts", "path", "paths", "protocol", "strip_path", "tags"}
	for name, want := range map[string]string{
		"hosst": "host", "stripPath": "strip_path", "strip_paht": "strip_path", "proto": "protocol", "PATH": "path",
		"x": "", "completely": "", "ab": "",
	} {
		if got, _ := declarative.Nearest(name, names); got != want {
			t.Errorf("nearest(%q) = %q, want %q", name, got, want)
		}
	}
}

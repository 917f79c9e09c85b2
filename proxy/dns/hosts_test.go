package dns

import (
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseHosts(t *testing.T) {
	tests := []struct {
		name, text string
		want       map[string]string // name → "v4 v6"
	}{
		{"empty", "", map[string]string{"localhost": "127.0.0.1 ::1"}},
		{"localhost set", "127.0.0.2 localhost", map[string]string{"localhost": "127.0.0.2 invalid IP"}},
		{
			"names, aliases, comments, tabs, CRLF",
			"# all\n10.0.0.1\tDB.test  alias # trailing\r\n\n  fd00::1 db.test.\n#10.0.0.9 no.test\n",
			map[string]string{"localhost": "127.0.0.1 ::1", "db.test": "10.0.0.1 fd00::1", "alias": "10.0.0.1 invalid IP"},
		},
		{
			"the first address counts", "10.0.0.1 a\n10.0.0.2 a\n",
			map[string]string{"localhost": "127.0.0.1 ::1", "a": "10.0.0.1 invalid IP"},
		},
		{
			"lines that say nothing", "nonsense a\n10.0.0.1\n300.0.0.1 b\n[fd00::2] c\n::ffff:10.0.0.3 d\n10.0.0.4 .\n",
			map[string]string{"localhost": "127.0.0.1 ::1", "c": "invalid IP fd00::2", "d": "10.0.0.3 invalid IP"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[string]string{}
			for name, a := range parseHosts([]byte(tt.text)) {
				got[name] = a.v4.String() + " " + a.v6.String()
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHostsFileIsReadAgain(t *testing.T) {
	path := writeFile(t, "hosts", "10.0.0.1 a.test\n")
	var h hostsFile
	h.init(path)
	look := func(now time.Duration) string {
		a, _ := h.lookup("a.test", now)
		return a.v4.String()
	}
	change := func(text string, at time.Time) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := look(hostsInterval), "10.0.0.1"; got != want {
		t.Fatalf("got %s, want %s", got, want)
	}
	change("10.0.0.2 a.test\n", time.Now().Add(time.Minute))
	if got, want := look(2*hostsInterval-1), "10.0.0.1"; got != want {
		t.Errorf("within the interval: got %s, want %s", got, want)
	}
	if got, want := look(2*hostsInterval), "10.0.0.2"; got != want {
		t.Errorf("after the interval: got %s, want %s", got, want)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, want := look(3*hostsInterval), "10.0.0.2"; got != want {
		t.Errorf("file gone: got %s, want the last %s", got, want)
	}
	change("10.0.0.3 a.test\n", time.Now().Add(2*time.Minute))
	if got, want := look(4*hostsInterval), "10.0.0.3"; got != want {
		t.Errorf("file back: got %s, want %s", got, want)
	}
}

func FuzzParseHosts(f *testing.F) {
	for _, seed := range []string{"", "127.0.0.1 localhost\n::1 localhost ip6-localhost\n", "10.0.0.1 a b c # d", "fe80::1%eth0 x", "\x00 \xff\n1.2.3.4"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		names := parseHosts(text)
		if _, ok := names["localhost"]; !ok {
			t.Error("localhost is missing")
		}
		for name, a := range names {
			if name == "" || !a.v4.IsValid() && !a.v6.IsValid() {
				t.Errorf("%q has no address", name)
			}
			if a.v4.IsValid() && !a.v4.Is4() || a.v6.IsValid() && !a.v6.Is6() {
				t.Errorf("%q has addresses of the wrong family: %v %v", name, a.v4, a.v6)
			}
			if a.choose(true) == (netip.Addr{}) || a.choose(false) == (netip.Addr{}) {
				t.Errorf("%q offers no address", name)
			}
		}
	})
}

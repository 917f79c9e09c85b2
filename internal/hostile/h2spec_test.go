//go:build e2e

package hostile

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// TestH2spec runs the conformance tests of github.com/summerwind/h2spec against a plain net/http server and against
// the program. What the one passes, the other has to.
func TestH2spec(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "h2spec")
	build := exec.Command("go", "build", "-o", tool, "github.com/summerwind/h2spec/cmd/h2spec")
	build.Dir, build.Env = "h2spec", append(os.Environ(), "GOFLAGS=")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build h2spec: %v\n%s", err, out)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })
	upstream := httptest.NewServer(handler)
	defer upstream.Close()
	p := start(t, "127.0.0.1:0, 127.0.0.1:0 ssl http2", service(upstream.URL), "")

	for n, encrypted := range []bool{false, true} {
		name := map[bool]string{false: "h2c", true: "h2"}[encrypted]
		t.Run(name, func(t *testing.T) {
			plain := httptest.NewUnstartedServer(handler)
			plain.Config.Protocols = new(http.Protocols)
			plain.Config.Protocols.SetUnencryptedHTTP2(true)
			plain.Config.Protocols.SetHTTP2(true)
			plain.EnableHTTP2 = true
			plain.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
			if encrypted {
				plain.StartTLS()
			} else {
				plain.Start()
			}
			defer plain.Close()
			ours, theirs, err := both(t, tool, encrypted, p.addresses[n], plain.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			passed := 0
			for _, ok := range theirs {
				if ok {
					passed++
				}
			}
			t.Logf("net/http passes %d of %d", passed, len(theirs))
			if passed < 100 {
				t.Error("too few tests ran for this to mean anything")
			}
			// Some results hang on which of two frames is seen first, for net/http as for us: what counts is what one
			// passes each time and the other never.
			for range 4 {
				worse := worse(ours, theirs)
				if len(worse) == 0 {
					return
				}
				moreOurs, moreTheirs, err := both(t, tool, encrypted, p.addresses[n], plain.Listener.Addr().String(), sections(worse)...)
				if err != nil {
					t.Fatal(err)
				}
				for test := range moreTheirs {
					ours[test] = ours[test] || moreOurs[test]
					theirs[test] = theirs[test] && moreTheirs[test]
				}
			}
			for _, test := range worse(ours, theirs) {
				t.Errorf("net/http passes and the program fails: %s", test)
			}
		})
	}
}

// worse are the tests that only they pass.
func worse(ours, theirs map[string]bool) (tests []string) {
	for test, ok := range theirs {
		if ok && !ours[test] {
			tests = append(tests, test)
		}
	}
	return tests
}

// sections are where tests are found: "http2/5.1: closed: …" in http2/5.1.
func sections(tests []string) (sections []string) {
	for _, test := range tests {
		section, _, _ := strings.Cut(test, ": ")
		sections = append(sections, section)
	}
	slices.Sort(sections)
	return slices.Compact(sections)
}

// both runs the tests against two servers at once.
func both(t *testing.T, tool string, encrypted bool, ours, theirs string, sections ...string) (a, b map[string]bool, err error) {
	dir := t.TempDir()
	var group errgroup.Group
	group.Go(func() (err error) {
		a, err = h2spec(t.Context(), tool, filepath.Join(dir, "ours.xml"), ours, encrypted, sections)
		return err
	})
	group.Go(func() (err error) {
		b, err = h2spec(t.Context(), tool, filepath.Join(dir, "theirs.xml"), theirs, encrypted, sections)
		return err
	})
	return a, b, group.Wait()
}

// h2spec gives which tests pass; those that were left out are not in it.
func h2spec(ctx context.Context, tool, report, address string, encrypted bool, sections []string) (map[string]bool, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	args := []string{"--host", host, "--port", port, "--strict", "--timeout", "1", "--junit-report", report}
	if encrypted {
		args = append(args, "--tls", "--insecure")
	}
	out, err := exec.CommandContext(ctx, tool, append(args, sections...)...).CombinedOutput()
	var exit *exec.ExitError // which tells that tests have failed
	if err != nil && !errors.As(err, &exit) {
		return nil, err
	}
	text, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	var suites struct {
		Suites []struct {
			Cases []struct {
				Package string    `xml:"package,attr"`
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &suites); err != nil {
		return nil, err
	}
	results := map[string]bool{}
	for _, suite := range suites.Suites {
		for _, c := range suite.Cases {
			if c.Skipped == nil {
				results[c.Package+": "+c.Name] = c.Failure == nil && c.Error == nil
			}
		}
	}
	return results, nil
}

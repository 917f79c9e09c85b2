//go:build e2e

package hostile

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
			if encrypted {
				plain.StartTLS()
			} else {
				plain.Start()
			}
			defer plain.Close()
			results := make([]map[string]bool, 2)
			done := make(chan error, 2)
			for i, address := range []string{plain.Listener.Addr().String(), p.addresses[n]} {
				go func() {
					var err error
					results[i], err = h2spec(t.Context(), tool, filepath.Join(t.TempDir(), "report.xml"), address, encrypted)
					done <- err
				}()
			}
			if err := errors.Join(<-done, <-done); err != nil {
				t.Fatal(err)
			}
			passed := 0
			for test, ok := range results[0] {
				if ok {
					passed++
				}
				if ok && !results[1][test] {
					t.Errorf("net/http passes and the program fails: %s", test)
				}
			}
			t.Logf("net/http passes %d of %d", passed, len(results[0]))
			if passed < 100 {
				t.Error("too few tests ran for this to mean anything")
			}
		})
	}
}

// h2spec gives which tests pass; those that were left out are not in it.
func h2spec(ctx context.Context, tool, report, address string, encrypted bool) (map[string]bool, error) {
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
	out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
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

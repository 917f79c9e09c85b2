//go:build e2e || image

package e2e

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// repository is the top of the checkout.
const repository = "../.."

// process is a program that a test started. It is killed at the latest when the test or its time ends.
type process struct {
	name string
	cmd  *exec.Cmd
	out  output
	once sync.Once
	code int
	err  error
}

// start starts a program with the environment given and no other. What it printed is shown when the test fails.
func start(ctx context.Context, t *testing.T, name string, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.CommandContext(ctx, program, args...)}
	p.cmd.Env = append(env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.WaitDelay = 5 * time.Second
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		p.wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", name, p.out.String())
		}
	})
	return p
}

// stop asks the program to end and gives its exit code.
func (p *process) stop(t *testing.T) int {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("stop %s: %v", p.name, err)
	}
	late := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	code, err := p.wait()
	if err != nil {
		t.Fatalf("wait for %s: %v", p.name, err)
	}
	return code
}

// wait waits for the program's end. The code of one that a signal ended is -1.
func (p *process) wait() (int, error) {
	p.once.Do(func() {
		p.err = p.cmd.Wait()
		p.code = p.cmd.ProcessState.ExitCode()
		var exit *exec.ExitError
		if errors.As(p.err, &exit) {
			p.err = nil
		}
	})
	return p.code, p.err
}

// output keeps what a program prints. It may be written to and read at once.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// eventually waits until done holds, for 30 seconds at most.
func eventually(ctx context.Context, t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// get asks for a URL over a connection of its own.
func get(ctx context.Context, url string) (*http.Response, string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// tutorial gives the tutorial's kong.yaml with the addresses of its two hosts exchanged, and nothing else.
func tutorial(t *testing.T, backend, collector string) string {
	t.Helper()
	return substitute(t, repository+"/configs/compose/config/kong.yaml", map[string]string{
		"backend:3000": backend, "collector:4318": collector,
	})
}

// substitute reads a file and puts new for old, each of which must be there once.
func substitute(t *testing.T, file string, values map[string]string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	for old, value := range values {
		if n := strings.Count(text, old); n != 1 {
			t.Fatalf("%s: %q is there %d times, want once", file, old, n)
		}
		text = strings.Replace(text, old, value, 1)
	}
	return text
}

// write writes a file that only the test's user may change and everyone may read.
func write(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

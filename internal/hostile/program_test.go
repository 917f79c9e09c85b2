package hostile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// program is the path of the program under test.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "sidekong")
	// With make's own flags, so that its build is used again.
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", program, "sidekong/cmd/sidekong")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the program: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// process is the running program.
type process struct {
	addresses []string // of its proxy listeners, in their order
	pid       int
	log       *output
}

// start runs the program until the test ends. listen is proxy_listen, config the rest of kong.yaml; with no config, it
// is given upstream and forwards everything untouched.
func start(t *testing.T, listen, config, upstream string, environ ...string) *process {
	t.Helper()
	args := []string{"run"}
	if config != "" {
		file := filepath.Join(t.TempDir(), "kong.yaml")
		if err := os.WriteFile(file, []byte("_format_version: \"3.0\"\n"+config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--declarative-config", file)
	} else {
		args = append(args, "--upstream", upstream)
	}
	p := &process{log: &output{}}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(environ, "HOME="+t.TempDir(), "KONG_PROXY_LISTEN="+listen, "KONG_STATUS_LISTEN=off",
		"KONG_ADMIN_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=127.0.0.1:0", "KONG_TRACES_STORE_SIZE=4m",
		"KONG_LOG_LEVEL=notice", "OTEL_SDK_DISABLED=false", "KONG_TRACING_INSTRUMENTATIONS=all")
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGKILL) }
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("the program wrote:\n%s", p.log.tail())
		}
	})
	serving := regexp.MustCompile(`msg=serving proxy="?\[([^\]]*(?:\]:\d+)?)\]`)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if found := serving.FindStringSubmatch(p.log.String()); found != nil {
			p.addresses = strings.Fields(found[1])
			return p
		}
		if time.Now().After(end) {
			t.Fatal("the program does not serve")
		}
	}
}

// memory is what the program has resident, in bytes.
func (p *process) memory(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		t.Fatal("no VmRSS")
	}
	kilobytes, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// output keeps what a program writes.
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

// tail is the end of it.
func (o *output) tail() string {
	text := o.String()
	return text[max(0, len(text)-4000):]
}

func service(url string) string {
	return "services:\n- name: backend\n  url: " + url + "\n  routes:\n  - {name: all, paths: [/]}\n"
}

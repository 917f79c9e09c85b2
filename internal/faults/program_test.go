package faults

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
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

	"sidekong/internal/loopback"
)

var full = flag.Bool("full", false, "the full form: 12 seconds for each row of the fault matrix")

// binary is the program, built by TestMain.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if !*full {
		// Rows wait most of the time, so that more of them fit on a processor.
		if err := flag.Set("test.parallel", "8"); err != nil {
			panic(err)
		}
	}
	os.Exit(build(m.Run))
}

func build(run func() int) int {
	folder, err := os.MkdirTemp("", "faults")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	binary = filepath.Join(folder, "sidekong")
	command := exec.Command("go", "build", "-o", binary, "sidekong/cmd/sidekong")
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build sidekong: %v\n%s", err, out)
		return 1
	}
	return run()
}

// A program is a running sidekong.
type program struct {
	t      testing.TB
	folder string // prefix, and where kong.yaml is
	proxy  string // addresses
	status string
	env    []string
	cmd    *exec.Cmd
	log    *syncBuffer
	ended  chan struct{}
	err    error // of Wait
}

// newProgram prepares one with a kong.yaml; start starts it.
func newProgram(t testing.TB, kong string, env ...string) *program {
	t.Helper()
	p := &program{t: t, folder: t.TempDir(), proxy: loopback.Address(t), status: loopback.Address(t), env: env}
	p.configure(kong)
	t.Cleanup(func() {
		if p.cmd != nil {
			p.kill()
		}
		if t.Failed() && p.log != nil {
			text := p.log.String()
			t.Logf("the end of the log:\n%s", text[max(0, len(text)-4000):])
		}
	})
	return p
}

func (p *program) configure(kong string) {
	p.t.Helper()
	if err := os.WriteFile(filepath.Join(p.folder, "kong.yaml"), []byte(kong), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// start starts the program and waits until it is ready.
func (p *program) start() {
	p.t.Helper()
	p.cmd = exec.Command(binary, "run")
	p.cmd.Env = append([]string{
		"KONG_DECLARATIVE_CONFIG=" + filepath.Join(p.folder, "kong.yaml"), "KONG_PREFIX=" + p.folder,
		"KONG_PROXY_LISTEN=" + p.proxy, "KONG_STATUS_LISTEN=" + p.status,
		"KONG_ADMIN_LISTEN=off", "KONG_ADMIN_GUI_LISTEN=127.0.0.1:0", "KONG_TRACES_STORE_SIZE=8m",
		"KONG_TRACING_INSTRUMENTATIONS=all", "KONG_TRACING_SAMPLING_RATE=1", "KONG_LOG_LEVEL=info",
		"HOME=" + p.folder,
	}, p.env...)
	p.log = &syncBuffer{}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	ended := make(chan struct{})
	p.ended = ended
	go func() {
		p.err = p.cmd.Wait()
		close(ended)
	}()
	p.eventually("ready", 10*time.Second, func() bool {
		res, err := http.Get("http://" + p.status + "/status/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// eventually waits until done holds.
func (p *program) eventually(what string, patience time.Duration, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func (p *program) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal %v: %v", s, err)
	}
}

// kill ends the program at once.
func (p *program) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// stop asks it to end and says how long that took.
func (p *program) stop() time.Duration {
	p.t.Helper()
	began := time.Now()
	p.signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.t.Fatal("it does not end")
	}
	if p.err != nil {
		p.t.Errorf("it ended with %v", p.err)
	}
	return time.Since(began)
}

// An account is what the program says of its spans.
type account struct {
	Created, Delivered, Rejected, Queued, Retries int
	Dropped                                       map[string]int
}

func (a account) dropped() (sum int) {
	for _, n := range a.Dropped {
		sum += n
	}
	return sum
}

// exact reports whether everything is accounted for.
func (a account) exact() bool { return a.Created == a.Delivered+a.Rejected+a.dropped()+a.Queued }

// A status is what /status says.
type status struct {
	Memory  struct{ Goroutines int }
	Tracing struct {
		Exporters    []account
		Shedding     bool
		ShedRequests int `json:"shed_requests"`
	}
}

// ask asks /status.
func (p *program) ask() (s status) {
	p.t.Helper()
	res, err := http.Get("http://" + p.status + "/status")
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&s); err != nil {
		p.t.Fatalf("read /status: %v", err)
	}
	return s
}

// account sums over the exporters of /status.
func (p *program) account() account {
	p.t.Helper()
	sum := account{Dropped: map[string]int{}}
	for _, e := range p.ask().Tracing.Exporters {
		sum.Created += e.Created
		sum.Delivered += e.Delivered
		sum.Rejected += e.Rejected
		sum.Queued += e.Queued
		sum.Retries += e.Retries
		for reason, n := range e.Dropped {
			sum.Dropped[reason] += n
		}
	}
	return sum
}

var (
	lastLine = regexp.MustCompile(`(?m)^.*exporter ends.*$`)
	count    = regexp.MustCompile(`\b(created|delivered|rejected|dropped|left_on_disk)=(\d+)`)
)

// lastAccount is what the last log lines of all exporters say.
func (p *program) lastAccount() account {
	sum := account{Dropped: map[string]int{}}
	for _, line := range lastLine.FindAllString(p.log.String(), -1) {
		for _, match := range count.FindAllStringSubmatch(line, -1) {
			n, err := strconv.Atoi(match[2])
			if err != nil {
				p.t.Fatalf("%s: %v", line, err)
			}
			switch match[1] {
			case "created":
				sum.Created += n
			case "delivered":
				sum.Delivered += n
			case "rejected":
				sum.Rejected += n
			case "dropped":
				sum.Dropped["for any reason"] += n
			case "left_on_disk":
				sum.Queued += n
			}
		}
	}
	return sum
}

// memory is the most that the program had in memory so far, in bytes.
func (p *program) memory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0 // not on Linux
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kilobytes, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}

// cpu is the processor time that the program has used.
func (p *program) cpu() time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0 // not on Linux
	}
	// What follows the name, which stands in brackets: utime and stime are the 12th and 13th, in hundredths of a second.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// files is the number of files that its queues have on disk.
func (p *program) files() int {
	p.t.Helper()
	found, err := filepath.Glob(filepath.Join(p.folder, "queue", "*", "*"))
	if err != nil {
		p.t.Fatal(err)
	}
	return len(found)
}

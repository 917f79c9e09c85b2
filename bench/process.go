package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a program that this one started, with the processes that it started in turn.
type process struct {
	cmd    *exec.Cmd
	output bytes.Buffer  // stdout and stderr
	ended  chan struct{} // closed when it has ended, with err
	err    error
}

// start starts a program. It ends with ctx, but stop is kinder.
func start(ctx context.Context, c command) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, c.args[0], c.args[1:]...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), c.env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go p.wait()
	return p, nil
}

func (p *process) wait() {
	p.err = p.cmd.Wait()
	close(p.ended)
}

// await waits until requests to address are answered as they should be.
func (p *process) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute) // Traefik under valgrind
	defer cancel()
	for {
		_, err := load{connections: 1, requests: 1}.run(ctx, address)
		if err == nil {
			return nil
		}
		select {
		case <-p.ended:
			return fmt.Errorf("%s ended (%w): %s", p.cmd.Args[0], p.err, tail(p.output.String()))
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %w", p.cmd.Args[0], err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop asks the program to end, so that it delivers what it holds, and ends it where it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}

// tail is the end of a program's output.
func tail(text string) string {
	const size = 600
	if len(text) > size {
		text = text[len(text)-size:]
	}
	return strings.TrimSpace(text)
}

// usage is what a process and its children have used.
type usage struct {
	cpu  time.Duration
	peak int64 // resident memory, bytes
}

// ticksPerSecond is the unit of CPU times in /proc, the same on all of Linux's platforms that Go runs on.
const ticksPerSecond = 100

// usage reads what the process and its children have used up to now.
func (p *process) usage() (u usage, err error) {
	for _, pid := range family(p.cmd.Process.Pid) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return u, err
		}
		// The command's name, in brackets, may hold anything; utime and stime are the 12th and 13th field after it.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		u.cpu += time.Duration(user+system) * time.Second / ticksPerSecond
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if err != nil {
			return u, err
		}
		for line := range strings.Lines(string(status)) {
			if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				kib, _ := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
				u.peak += kib << 10
			}
		}
	}
	return u, nil
}

// ran is how long the process and its children have run up to now, in user mode and in the kernel.
func (p *process) ran() (total time.Duration, err error) {
	for _, pid := range family(p.cmd.Process.Pid) {
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			if err != nil {
				return 0, err
			}
			nanoseconds, err := strconv.ParseInt(strings.Fields(string(text))[0], 10, 64)
			if err != nil {
				return 0, fmt.Errorf("%s: %w", thread, err)
			}
			total += time.Duration(nanoseconds)
		}
	}
	return total, nil
}

// family is a process and its children: nginx has one that leads and others that work.
func family(pid int) []int {
	all := []int{pid}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, list := range lists {
		text, _ := os.ReadFile(list)
		for child := range strings.FieldsSeq(string(text)) {
			if n, err := strconv.Atoi(child); err == nil {
				all = append(all, n)
			}
		}
	}
	return all
}

// helper is a backend or a sink of ours, in a process of its own.
type helper struct {
	*process
	address string
}

// startHelper starts this very program with another command.
func startHelper(ctx context.Context, name string) (*helper, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	h := &helper{process: &process{cmd: exec.CommandContext(ctx, self, name), ended: make(chan struct{})}}
	h.cmd.Stderr = &h.output
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	h.address, err = bufio.NewReader(out).ReadString('\n')
	h.address = strings.TrimSpace(h.address)
	go h.wait()
	return h, err
}

// counts asks a sink what it has received.
func (h *helper) counts(ctx context.Context) (c counts, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+h.address+"/counts", http.NoBody)
	if err != nil {
		return c, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return c, err
	}
	defer res.Body.Close()
	return c, json.NewDecoder(res.Body).Decode(&c)
}

// freePort finds a port that nobody listens on.
func freePort(ctx context.Context) (int, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer listener.Close()
	return listener.Addr().(*net.TCPAddr).Port, nil
}

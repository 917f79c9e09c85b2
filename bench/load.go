package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// get is the request of every load: it brings a sampled W3C trace context, as a sidecar's neighbours do.
const get = "GET /bench/hello?x=1 HTTP/1.1\r\nHost: example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n" +
	"Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n"

// answerTimeout bounds the wait for an answer.
const answerTimeout = 30 * time.Second

// load is requests sent over a number of kept connections. It ends after a number of requests or a time, whichever
// comes first.
type load struct {
	connections int
	requests    int           // 0: no bound
	duration    time.Duration // 0: no bound
	rate        int           // requests per second; 0: as fast as answers come
}

// result is what a load saw.
type result struct {
	requests  int
	elapsed   time.Duration
	latencies []time.Duration // sorted
}

func (r result) perSecond() float64 { return float64(r.requests) / r.elapsed.Seconds() }

// quantile is the latency that a share q of the requests did not exceed.
func (r result) quantile(q float64) time.Duration {
	if len(r.latencies) == 0 {
		return 0
	}
	return r.latencies[min(int(q*float64(len(r.latencies))), len(r.latencies)-1)]
}

// run sends the load to address. At a fixed rate the time of each request is settled beforehand, and its latency is
// counted from then, however late a connection came free for it: a stall is seen by all the requests that it delays.
func (l load) run(ctx context.Context, address string) (result, error) {
	if l.requests == 0 && l.duration == 0 {
		return result{}, errors.New("load without a bound")
	}
	conns := make([]*client, 0, l.connections)
	defer func() {
		for _, c := range conns {
			c.conn.Close()
		}
	}()
	for range l.connections {
		c, err := connect(ctx, address)
		if err != nil {
			return result{}, err
		}
		conns = append(conns, c)
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	each := make([][]time.Duration, len(conns))
	errs := make([]error, len(conns))
	start := time.Now()
	for i, c := range conns {
		wg.Go(func() {
			for ctx.Err() == nil {
				number := next.Add(1) - 1
				due := time.Now()
				if l.rate > 0 {
					due = start.Add(time.Duration(number) * time.Second / time.Duration(l.rate))
					time.Sleep(time.Until(due))
				}
				if l.requests > 0 && number >= int64(l.requests) || l.duration > 0 && due.Sub(start) >= l.duration {
					return
				}
				if errs[i] = c.ask(); errs[i] != nil {
					return
				}
				each[i] = append(each[i], time.Since(due))
			}
		})
	}
	wg.Wait()
	r := result{elapsed: time.Since(start), latencies: slices.Concat(each...)}
	r.requests = len(r.latencies)
	slices.Sort(r.latencies)
	for _, err := range errs {
		if err != nil {
			return r, err // the others have the same to say
		}
	}
	return r, ctx.Err()
}

// client is one connection.
type client struct {
	conn   net.Conn
	reader *bufio.Reader
}

func connect(ctx context.Context, address string) (*client, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn, reader: bufio.NewReaderSize(conn, 16<<10)}, nil
}

// ask sends one request and reads its answer, which has to be a whole 200.
func (c *client) ask() error {
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if _, err := c.conn.Write([]byte(get)); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read answer: %w", err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answer is %q", line)
		}
		if len(line) == 0 {
			break
		}
		if name, value, ok := bytes.Cut(line, []byte(":")); ok && bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length != bodySize {
		return fmt.Errorf("answer has a body of %d bytes, not %d", length, bodySize)
	}
	_, err := c.reader.Discard(length)
	return err
}

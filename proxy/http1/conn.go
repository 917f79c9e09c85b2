package http1

import (
	"bufio"
	"net"
	"sync"
	"syscall"
	"time"
)

// conn is a connection to an upstream. It lies in the pool, or belongs to the
// exchange that took it from there.
type conn struct {
	net.Conn
	raw   syscall.RawConn // nil where the connection cannot be examined while idle
	peek  func(fd uintptr)
	abort func() // closes the connection; kept so that registering it costs no closure
	addr  string
	uses  int

	idleSince time.Duration
	quiet     bool // result of peek

	br    *bufio.Reader // nil while idle
	limit int64         // bytes that may still be read
	err   error         // what the last Read ended with; parsers may say something else

	readTimeout, writeTimeout time.Duration
	writeBy                   time.Duration // deadline that is set, 0 none

	// The end of an upload starts the wait for the answer from another goroutine.
	mu        sync.Mutex
	uploading bool
	readBy    time.Duration
}

const readBufferSize = 4 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readBufferSize) }}

func newConn(nc net.Conn, addr string) *conn {
	c := &conn{Conn: nc, addr: addr}
	c.abort = func() { nc.Close() }
	c.examine()
	return c
}

// begin makes c ready to carry a request.
func (c *conn) begin(headerLimit int64, trip *Trip) {
	c.uses++
	c.br = readers.Get().(*bufio.Reader)
	c.br.Reset(c)
	c.limit, c.err = headerLimit, nil
	c.readTimeout, c.writeTimeout = trip.ReadTimeout, trip.WriteTimeout
	c.uploading = false
}

// end gives back what an idle connection does not need.
func (c *conn) end() {
	if c.br != nil {
		c.br.Reset(nil)
		readers.Put(c.br)
		c.br = nil
	}
}

func (c *conn) close() {
	c.Conn.Close()
	c.end()
}

// Read is what c.br reads from: it keeps the header limit and the read time-out.
func (c *conn) Read(p []byte) (n int, err error) {
	if c.err != nil {
		return 0, c.err // a reader that asks again after a time-out must not start another
	}
	defer func() { c.err = err }()
	if c.limit <= 0 {
		return 0, ErrHeaderTooLarge
	}
	if int64(len(p)) > c.limit {
		p = p[:c.limit]
	}
	if err := c.armRead(); err != nil {
		return 0, err
	}
	n, err = c.Conn.Read(p)
	c.limit -= int64(n)
	return n, err
}

// Write keeps the write time-out.
func (c *conn) Write(p []byte) (int, error) {
	if by, change := renew(c.writeBy, c.writeTimeout); change {
		if err := c.SetWriteDeadline(instant(by)); err != nil {
			return 0, err
		}
		c.writeBy = by
	}
	return c.Conn.Write(p)
}

// armRead starts the read time-out anew. While the request is still leaving there
// is none.
func (c *conn) armRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	timeout := c.readTimeout
	if c.uploading {
		timeout = 0
	}
	by, change := renew(c.readBy, timeout)
	if !change {
		return nil
	}
	c.readBy = by
	return c.SetReadDeadline(instant(by))
}

func (c *conn) setUploading(v bool) {
	c.mu.Lock()
	c.uploading = v
	c.mu.Unlock()
}

// renew returns the deadline for something that may take timeout from now, and
// whether it differs from the one that is set. Moving a deadline costs as much as a
// small system call, so one that is up to a sixteenth or 50 ms too late stays.
func renew(by, timeout time.Duration) (time.Duration, bool) {
	if timeout <= 0 {
		return 0, by != 0
	}
	slack := min(timeout/16, 50*time.Millisecond)
	want := clock() + timeout
	if want <= by && by <= want+slack {
		return by, false
	}
	return want + slack, true
}

// Time is counted from the start of the process: reading the monotonic clock
// alone takes half as long as time.Now.
var epoch = time.Now()

func clock() time.Duration { return time.Since(epoch) }

func instant(d time.Duration) time.Time {
	if d == 0 {
		return time.Time{}
	}
	return epoch.Add(d)
}

package proxy

import (
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// stopGrace is how long the end of a request waits for a read of its body that is under way. Where the client goes on
// sending it takes no time; where it is silent, there is nothing that closing could make it lose.
const stopGrace = 20 * time.Millisecond

var errAnswered = errors.New("the answer is complete")

// duplex is the body of an HTTP/1 request that is sent upstream as it comes, so that the answer may begin before its
// end. By default net/http's server eats what is left of a body when an answer begins, under the upload's nose; in
// full duplex it does not, but then it is not certain what becomes of the rest. So the connection ends with such an
// answer, and reading ends with it too: the server then waits for the client to take the answer before it closes.
//
// It belongs to the upload as well, which may outlive the request. See docs/decisions/0009-full-duplex.md.
type duplex struct {
	io.ReadCloser
	reading        sync.Mutex
	ended, stopped atomic.Bool
	n              atomic.Int64 // bytes read
}

// openDuplex lets a streamed HTTP/1 body be read while the answer is written.
func (x *exchange) openDuplex() {
	if x.r.ProtoMajor != 1 || x.r.ContentLength == 0 || x.sent != nil {
		return
	}
	if http.NewResponseController(x.w).EnableFullDuplex() != nil {
		return // no server of net/http
	}
	x.upload = &duplex{ReadCloser: x.r.Body}
	x.r.Body = x.upload
}

func (d *duplex) Read(p []byte) (int, error) {
	d.reading.Lock()
	defer d.reading.Unlock()
	if d.stopped.Load() {
		return 0, errAnswered
	}
	n, err := d.ReadCloser.Read(p)
	d.n.Add(int64(n))
	if err == io.EOF {
		d.ended.Store(true)
	}
	return n, err
}

// open reports whether more of the body is to come.
func (d *duplex) open() bool { return d != nil && !d.ended.Load() }

// stop ends reading. A read that net/http's server has to interrupt would leave it believing that the connection can
// be closed at once.
func (d *duplex) stop() {
	if !d.open() {
		return
	}
	d.stopped.Store(true)
	for end := time.Now().Add(stopGrace); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if d.reading.TryLock() {
			d.reading.Unlock()
			return
		}
	}
}

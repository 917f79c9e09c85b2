package plugin

import (
	"bytes"
	"errors"
	"io"
)

// ErrBodyTooLarge says that a request's body is longer than was asked for.
var ErrBodyTooLarge = errors.New("body is too large")

// BodyError is that a client did not send its request's body as it should. A plugin that returns one is not at fault:
// the client gets its 400, 408 or 413.
type BodyError struct{ Err error }

func (e *BodyError) Error() string { return "read request body: " + e.Err.Error() }

func (e *BodyError) Unwrap() error { return e.Err }

// Body reads the request's whole body, or gives what SetBody set. It still goes upstream afterwards. It may be called
// more than once, in the rewrite and access phases; what it gives must not be changed. limit is in bytes, 0 standing
// for none. A longer body gives ErrBodyTooLarge, with its length where it is known and else what is known to be there;
// the request can go on with it. Any other error is a *BodyError.
func (c *Context) Body(limit int64) (body []byte, length int64, err error) {
	body, known := c.HeldBody()
	switch {
	case known && limit > 0 && int64(len(body)) > limit:
		return nil, int64(len(body)), ErrBodyTooLarge
	case known:
		return body, int64(len(body)), nil
	case limit > 0 && c.Request.ContentLength > limit:
		return nil, c.Request.ContentLength, ErrBodyTooLarge
	}
	r := c.Request
	source := io.Reader(r.Body)
	if limit > 0 {
		source = io.LimitReader(r.Body, limit+1)
	}
	body, err = io.ReadAll(source)
	if err != nil {
		r.Body = resumed{io.MultiReader(bytes.NewReader(body), failing{err}), r.Body}
		return nil, 0, &BodyError{Err: err}
	}
	if limit > 0 && int64(len(body)) > limit {
		r.Body = resumed{io.MultiReader(bytes.NewReader(body), r.Body), r.Body}
		return nil, int64(len(body)), ErrBodyTooLarge
	}
	r.Body = resumed{bytes.NewReader(body), r.Body}
	c.body, c.bodied = body, true
	return body, int64(len(body)), nil
}

// SetBody sends body upstream in the place of the client's. It is not copied.
func (c *Context) SetBody(body []byte) { c.Outgoing.Body = &body }

// HeldBody is the request's body where it is in memory: it was read whole or set.
func (c *Context) HeldBody() (body []byte, ok bool) {
	if c.Outgoing.Body != nil {
		return *c.Outgoing.Body, true
	}
	return c.body, c.bodied
}

// ReplayBody reads a body that is in memory once more, for plugins that wrapped Request.Body after it had been read: they
// look on as they do where nobody reads it before it goes upstream.
func (c *Context) ReplayBody() {
	if c.bodied {
		_, _ = io.Copy(io.Discard, c.Request.Body) // from memory
	}
}

// resumed is a body that was read in part.
type resumed struct {
	io.Reader
	io.Closer
}

// failing is where reading a body broke off.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

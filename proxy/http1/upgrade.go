package http1

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"
)

func isUpgrade(res *http.Response) bool {
	return res.StatusCode == http.StatusSwitchingProtocols &&
		res.Header.Get("Upgrade") != "" &&
		httpguts.HeaderValuesContainsToken(res.Header["Connection"], "Upgrade")
}

// upgraded is the body of an answer that switched protocols: the connection itself,
// without time-outs, that first gives what had been read beyond the answer.
type upgraded struct {
	net.Conn
	br *bufio.Reader // nil when empty
}

func newUpgraded(c *conn) (*upgraded, error) {
	if err := c.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("clear deadlines: %w", err)
	}
	u := &upgraded{Conn: c.Conn}
	if c.br.Buffered() > 0 {
		u.br, c.br = c.br, nil
	}
	c.end()
	return u, nil
}

func (u *upgraded) Read(p []byte) (int, error) {
	if u.br == nil {
		return u.Conn.Read(p)
	}
	n, err := u.br.Read(p[:min(len(p), u.br.Buffered())])
	if u.br.Buffered() == 0 {
		u.br = nil
	}
	return n, err
}

// CloseWrite tells the upstream that nothing more comes.
func (u *upgraded) CloseWrite() error {
	if cw, ok := u.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return fmt.Errorf("close write: %w", http.ErrNotSupported)
}

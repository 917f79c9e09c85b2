package upstream

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// Answer answers 200 with a body, and with further header lines ("Name: value").
func Answer(body string, header ...string) Behaviour { return Status(200, body, header...) }

// Status answers with a status and a body.
func Status(code int, body string, header ...string) Behaviour {
	return func(conn net.Conn, r *Request) bool {
		var lines strings.Builder
		for _, line := range header {
			lines.WriteString(line + "\r\n")
		}
		text := body
		if r.Method == "HEAD" {
			text = ""
		}
		fmt.Fprintf(conn, "HTTP/1.1 %d Status\r\n%sContent-Length: %d\r\n\r\n%s", code, lines.String(), len(body), text)
		return true
	}
}

// Raw writes bytes as they stand and keeps the connection.
func Raw(answer string) Behaviour {
	return func(conn net.Conn, _ *Request) bool {
		io.WriteString(conn, answer)
		return true
	}
}

// Closing writes bytes as they stand and closes the connection.
func Closing(answer string) Behaviour {
	return func(conn net.Conn, _ *Request) bool {
		io.WriteString(conn, answer)
		return false
	}
}

// Reset writes bytes and cuts the connection with a TCP reset.
func Reset(answer string) Behaviour {
	return func(conn net.Conn, _ *Request) bool {
		io.WriteString(conn, answer)
		time.Sleep(20 * time.Millisecond) // a reset overtakes what the peer has not read
		if tcp, ok := conn.(*net.TCPConn); ok {
			tcp.SetLinger(0)
		}
		return false
	}
}

// Hang writes bytes and then nothing, until the peer closes.
func Hang(answer string) Behaviour {
	return func(conn net.Conn, _ *Request) bool {
		io.WriteString(conn, answer)
		io.Copy(io.Discard, conn)
		return false
	}
}

// Slow waits before it behaves as next.
func Slow(delay time.Duration, next Behaviour) Behaviour {
	return func(conn net.Conn, r *Request) bool {
		time.Sleep(delay)
		return next(conn, r)
	}
}

// Sequence behaves as each of its arguments in turn, and as the last one from then on.
func Sequence(each ...Behaviour) Behaviour {
	var n atomic.Int64
	return func(conn net.Conn, r *Request) bool {
		i := min(int(n.Add(1)), len(each)) - 1
		return each[i](conn, r)
	}
}

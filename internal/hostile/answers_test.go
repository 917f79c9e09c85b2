package hostile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestAnswers has an upstream answer in every wrong way. testdata/answers.txt says what the client sees: an answer that
// has one reading, or a connection that ends in the middle; and never a byte of it in the answer to the next request.
func TestAnswers(t *testing.T) {
	cases := readCases(t, "testdata/answers.txt")
	upstream := answering(t, func(target string) string {
		if n, err := strconv.Atoi(strings.TrimPrefix(target, "/")); err == nil && n < len(cases) {
			return cases[n].raw
		}
		return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	})
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			p := mode.start(t, upstream)
			for n, c := range cases {
				client := connect(t, p.addresses[0])
				if got := client.get("/" + strconv.Itoa(n)); got != c.want {
					t.Errorf("%s: got %q, want %q", c.name, got, c.want)
				}
				// What was too much for the last answer belongs to no other, on neither side.
				if got := client.get("/next"); got != "200 ok" && got != "cut" {
					t.Errorf("%s: the next answer is %q", c.name, got)
				}
				if got := connect(t, p.addresses[0]).get("/next"); got != "200 ok" {
					t.Errorf("%s: the next client's answer is %q", c.name, got)
				}
			}
		})
	}
}

// answering is an upstream that answers a target with the bytes given; it gives its URL. It closes a connection when
// an answer says so or has no end of its own.
func answering(t *testing.T, answer func(target string) string) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r := strict(conn)
				for {
					request, err := r.request()
					if err != nil {
						return
					}
					text, ends := strings.CutSuffix(answer(request.target()), "<END>")
					if _, err := io.WriteString(conn, text); err != nil || ends {
						return
					}
				}
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// client is a connection that reads by the letter.
type client struct {
	conn net.Conn
	r    *reader
}

func connect(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{conn, strict(conn)}
}

// get gives status and body of an answer, "cut" where it breaks off, or what is wrong with it. Of an answer of the
// gateway's own it gives the status alone.
func (c *client) get(target string) string {
	_, err := io.WriteString(c.conn, "GET "+target+" HTTP/1.1\r\nHost: a.test\r\n\r\n")
	if err != nil {
		return "cut"
	}
	for {
		a, err := c.r.answer("GET")
		switch {
		case errors.Is(err, errEmpty), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
			return "cut"
		case err != nil:
			return err.Error()
		}
		status := strings.Fields(a.start)[1]
		if status[0] == '1' {
			continue
		}
		if _, ok := a.get("X-Kong-Upstream-Latency"); !ok {
			return status
		}
		return strings.TrimSpace(fmt.Sprintf("%s %s", status, a.body))
	}
}

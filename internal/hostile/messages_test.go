package hostile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// testMessage is a case of a file of messages, one JSON object a line.
type testMessage struct {
	Name string `json:"name"`
	Raw  []byte `json:"raw"` // in base64
}

func readMessages(t *testing.T, path string) []testMessage {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var messages []testMessage
	decoder := json.NewDecoder(bytes.NewReader(text))
	for {
		var m testMessage
		if err := decoder.Decode(&m); errors.Is(err, io.EOF) {
			return messages
		} else if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		messages = append(messages, m)
	}
}

// witness is an upstream that reads by the letter, one request after the other on each connection, and keeps every
// byte that it gets.
type witness struct {
	listener net.Listener
	mu       sync.Mutex
	seen     map[string][]*message // by X-Case
	faults   []string
}

func startWitness(t *testing.T) *witness {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{listener: listener, seen: map[string][]*message{}}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go w.serve(conn)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return w
}

func (w *witness) serve(conn net.Conn) {
	defer conn.Close()
	r := strict(conn)
	for {
		m, err := r.request()
		switch {
		case errors.Is(err, errEmpty):
			return
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), isReset(err):
			return // cut off, and known to be
		}
		w.mu.Lock()
		if err != nil {
			w.faults = append(w.faults, err.Error())
			w.mu.Unlock()
			return
		}
		client, _ := m.get("X-Real-IP")
		w.seen[client] = append(w.seen[client], m)
		w.mu.Unlock()
		if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Witness: yes\r\nContent-Length: 0\r\n\r\n"); err != nil {
			return
		}
	}
}

func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op)
}

// check fails the test where anything came that does not have one reading.
func (w *witness) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range w.faults {
		t.Errorf("the upstream saw: %s", fault)
	}
}

// of gives the requests that a client had forwarded.
func (w *witness) of(client string) []*message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[client]
}

// quiet is how long a connection has to be silent for its client to end it. It has to be longer than an answer takes,
// because a request whose client has gone is not answered.
const quiet = 500 * time.Millisecond

// converse sends bytes from an address of their own, one for each n, and gives what comes back until the other side
// closes. When it has been quiet for a while, it is told that nothing more comes.
func converse(address string, n int, raw []byte) (client string, answer []byte, err error) {
	local := net.IPv4(127, 1, byte(n>>8), byte(n))
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: local}, Timeout: 5 * time.Second}
	conn, err := dialer.Dial("tcp", address)
	if err != nil {
		return "", nil, err
	}
	defer conn.Close()
	if _, err := conn.Write(raw); err != nil && !isReset(err) {
		return "", nil, err
	}
	buf := make([]byte, 16<<10)
	_ = conn.SetReadDeadline(time.Now().Add(quiet))
	for halfClosed := false; ; {
		n, err := conn.Read(buf)
		answer = append(answer, buf[:n]...)
		var timeout net.Error
		switch {
		case err == nil:
			_ = conn.SetReadDeadline(time.Now().Add(quiet))
		case errors.As(err, &timeout) && timeout.Timeout() && !halfClosed:
			halfClosed = true
			_ = conn.(*net.TCPConn).CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		case errors.As(err, &timeout) && timeout.Timeout():
			return "", nil, errors.New("the connection stays open after its end")
		default:
			return local.String(), answer, nil
		}
	}
}

// judge compares what a client sent, what the upstream saw of it and what the client was answered.
func judge(raw []byte, forwarded []*message, answer []byte) error {
	// What the RFC lets a server read. After a message whose framing another server may see differently, nothing.
	var sent []*message
	r := lenient(bytes.NewReader(raw))
	var doubt error
	for !r.last && doubt == nil {
		var request *message
		if request, doubt = r.request(); doubt == nil {
			sent = append(sent, request)
		}
	}
	if len(answer) > 0 && answer[0] == 0 {
		return nil // HTTP/2 was asked for and is spoken; nothing has been forwarded in vain
	}

	answers, err := readAnswers(answer, sent)
	if err != nil {
		return fmt.Errorf("the answer has no single reading: %w", err)
	}
	relayed := 0
	for _, a := range answers {
		if _, ok := a.get("X-Witness"); ok {
			relayed++
		} else if code := strings.Fields(a.start)[1]; code[0] != '4' && code != "501" && code != "505" && code != "100" {
			return fmt.Errorf("answered %q", a.start)
		}
	}
	if relayed != len(forwarded) {
		return fmt.Errorf("%d answers from upstream to %d requests", relayed, len(forwarded))
	}

	// The requests that went upstream are the client's, in their order.
	next := 0
	for _, f := range forwarded {
		found := false
		for next < len(sent) && !found {
			found = f.method() == sent[next].method() && f.target() == originForm(sent[next].target()) && bytes.Equal(f.body, sent[next].body)
			next++
		}
		if !found {
			return fmt.Errorf("forwarded %q with body %q, which nobody sent (%w)", f.start, f.body, doubt)
		}
	}
	return nil
}

// originForm is the path and query of a request target.
func originForm(target string) string {
	_, rest, absolute := strings.Cut(target, "://")
	if !absolute || strings.HasPrefix(target, "/") {
		return target
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		if rest[i] == '?' {
			return "/" + rest[i:]
		}
		return rest[i:]
	}
	return "/"
}

// readAnswers reads answers one after the other.
func readAnswers(raw []byte, requests []*message) ([]*message, error) {
	var answers []*message
	r := strict(bytes.NewReader(raw))
	for {
		method := "GET"
		if n := len(answers); n < len(requests) {
			method = requests[n].method()
		}
		a, err := r.answer(method)
		if errors.Is(err, errEmpty) {
			return answers, nil
		}
		if err != nil {
			return nil, err
		}
		answers = append(answers, a)
	}
}

// TestMessages replays the messages of other projects' tests. None of them is smuggled: what the upstream sees has one
// reading, and it is one that the client's bytes have too.
func TestMessages(t *testing.T) {
	path := os.Getenv("SIDEKONG_H1_MESSAGES")
	if path == "" {
		t.Skip("SIDEKONG_H1_MESSAGES names no file of messages; TestOwnMessages replays those of our own")
	}
	messages := readMessages(t, path)
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			w := startWitness(t)
			p := mode.start(t, "http://"+w.listener.Addr().String())
			var group errgroup.Group
			group.SetLimit(64)
			for n, m := range messages {
				group.Go(func() error {
					client, answer, err := converse(p.addresses[0], n, m.Raw)
					if err == nil {
						err = judge(m.Raw, w.of(client), answer)
					}
					if err != nil {
						t.Errorf("%s: %v\nsent %.400q\ngot %.200q", m.Name, err, m.Raw, answer)
					}
					return nil
				})
			}
			_ = group.Wait()
			w.check(t)
		})
	}
}

// modes are the two ways to forward.
var modes = []struct {
	name  string
	start func(t *testing.T, upstream string) *process
}{
	{"routed", func(t *testing.T, upstream string) *process { return start(t, "127.0.0.1:0", service(upstream), "") }},
	{"untouched", func(t *testing.T, upstream string) *process { return start(t, "127.0.0.1:0", "", upstream) }},
}

// TestOwnMessages sends one message for each kind of fault. testdata/messages.txt says what becomes of it.
func TestOwnMessages(t *testing.T) {
	cases := readCases(t, "testdata/messages.txt")
	for _, mode := range modes {
		t.Run(mode.name, func(t *testing.T) {
			w := startWitness(t)
			p := mode.start(t, "http://"+w.listener.Addr().String())
			var group errgroup.Group
			group.SetLimit(64)
			for n, c := range cases {
				group.Go(func() error {
					client, answer, err := converse(p.addresses[0], n, []byte(c.raw))
					if err == nil {
						err = judge([]byte(c.raw), w.of(client), answer)
					}
					if err != nil {
						t.Errorf("%s: %v\ngot %.200q", c.name, err, answer)
						return nil
					}
					if got := outcome(w.of(client), answer); got != c.want {
						t.Errorf("%s: got %s, want %s\ngot %.200q", c.name, got, c.want, answer)
					}
					return nil
				})
			}
			_ = group.Wait()
			w.check(t)
		})
	}
}

// outcome says how often a message was forwarded and what the last answer was: "1 200".
func outcome(forwarded []*message, answer []byte) string {
	last := "cut"
	if answers, err := readAnswers(answer, forwarded); err == nil && len(answers) > 0 {
		last = strings.Fields(answers[len(answers)-1].start)[1]
	}
	return fmt.Sprintf("%d %s", len(forwarded), last)
}

// testCase is a line of a file of cases: what is wanted, a name, and bytes as Go quotes them, separated by " | ".
type testCase struct{ want, name, raw string }

func readCases(t *testing.T, path string) []testCase {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cases []testCase
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		parts := strings.SplitN(line, " | ", 3)
		if len(parts) != 3 {
			t.Fatalf("%s: %q", path, line)
		}
		raw, err := strconv.Unquote(strings.TrimSpace(parts[2]))
		if err != nil {
			t.Fatalf("%s: %q: %v", path, line, err)
		}
		cases = append(cases, testCase{strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1]), raw})
	}
	return cases
}

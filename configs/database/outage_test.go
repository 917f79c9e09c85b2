//go:build postgres

package database_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"sidekong/configs/database"
	"sidekong/internal/postgres"
)

// wire stands between us and the server. It can be cut, and can swallow notifications, as a pool in between does that
// gives every transaction another connection.
type wire struct {
	listener net.Listener
	server   string
	mute     bool

	mu   sync.Mutex
	cut  bool
	open []net.Conn
}

func newWire(t testing.TB, s postgres.Server, mute bool) (*wire, database.PostgresOptions) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{listener: listener, server: net.JoinHostPort(s.Host, fmt.Sprint(s.Port)), mute: mute}
	var carrying sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		w.set(true)
		carrying.Wait()
	})
	carrying.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			carrying.Go(func() { w.carry(conn) })
		}
	})
	o := options(s)
	o.Port = listener.Addr().(*net.TCPAddr).Port
	o.Timeout = 2 * time.Second
	return w, o
}

// set cuts the wire, or mends it.
func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
	if cut {
		for _, conn := range w.open {
			conn.Close()
		}
		w.open = nil
	}
}

func (w *wire) carry(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	w.mu.Lock()
	if w.cut {
		w.mu.Unlock()
		return
	}
	w.open = append(w.open, client, server)
	w.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		io.Copy(server, client)
		server.Close()
	}()
	w.answers(client, server)
	client.Close()
	<-done
}

// answers carries the server's messages: a letter, a length that counts itself, a body.
func (w *wire) answers(client io.Writer, server io.Reader) {
	if !w.mute {
		io.Copy(client, server)
		return
	}
	messages := bufio.NewReader(server)
	for {
		head := make([]byte, 5)
		if _, err := io.ReadFull(messages, head); err != nil {
			return
		}
		body := make([]byte, binary.BigEndian.Uint32(head[1:])-4)
		if _, err := io.ReadFull(messages, body); err != nil {
			return
		}
		const notification = 'A'
		if head[0] == notification {
			continue
		}
		if _, err := client.Write(slices.Concat(head, body)); err != nil {
			return
		}
	}
}

func TestOutage(t *testing.T) {
	server := postgres.Database(t)
	wire, o := newWire(t, server, false)
	db, other := openPostgres(t, o), openPostgres(t, options(server))
	w := watch(t, db)
	c := database.NewCredentials(db, database.CredentialsOptions{})
	for _, s := range seed(t) {
		if err := other.Insert(t.Context(), s.kind, s.object); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.KeyAuth(t.Context(), "k-1"); got == nil || err != nil {
		t.Fatalf("got %v, %v", got, err)
	}

	wire.set(true)
	eventually(t, "the outage to be told", w.away.Load)
	if err := db.Insert(t.Context(), "consumers", consumer(t, 0xf1)); !unreachable(err) {
		t.Errorf("insert: %v", err)
	}
	if _, _, err := db.Document(t.Context()); !unreachable(err) {
		t.Errorf("document: %v", err)
	}
	if _, err := database.OpenPostgres(t.Context(), o, schemas); !unreachable(err) {
		t.Errorf("open: %v", err)
	}
	if got, err := c.KeyAuth(t.Context(), "k-1"); got == nil || err != nil {
		t.Errorf("what is remembered: got %v, %v", got, err)
	}
	if _, err := c.KeyAuth(t.Context(), "k-2"); !unreachable(err) || strings.Contains(err.Error(), "k-2") {
		t.Errorf("what is not remembered: %v", err)
	}
	if err := other.Insert(t.Context(), "consumers", consumer(t, 0xf2)); err != nil {
		t.Fatal(err)
	}

	before := w.changes.Load()
	wire.set(false)
	eventually(t, "the end of the outage to be told", func() bool { return !w.away.Load() })
	eventually(t, "the change of meanwhile to be seen", func() bool { return w.changes.Load() > before })
	if err := db.Insert(t.Context(), "consumers", consumer(t, 0xf1)); err != nil {
		t.Errorf("insert: %v", err)
	}
	if turns := w.turns.Load(); turns != 2 {
		t.Errorf("%d calls for one outage and its end", turns)
	}
	// It hears again, too.
	eventually(t, "changes to be seen within a second", func() bool {
		before, began := w.changes.Load(), time.Now()
		if _, err := other.Update(t.Context(), "consumers", id(0xf2), keep); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a change to be seen", func() bool { return w.changes.Load() > before })
		return time.Since(began) < time.Second
	})
}

func keep(o map[string]any) (map[string]any, error) { return o, nil }

func TestWithoutNotifications(t *testing.T) {
	server := postgres.Database(t)
	_, o := newWire(t, server, true)
	db, other := openPostgres(t, o), openPostgres(t, options(server))
	w := watch(t, db)
	for n := 1; n <= 4; n++ {
		before, began := w.changes.Load(), time.Now()
		if err := other.Insert(t.Context(), "consumers", consumer(t, n)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a change to be seen", func() bool { return w.changes.Load() > before })
		if took := time.Since(began); took > aSecond {
			t.Errorf("change %d took %v to be seen", n, took)
		}
	}
}

func TestTLS(t *testing.T) {
	server := postgres.Database(t)
	encrypted := func(db database.DB) bool {
		used := false
		ctx := t.Context()
		document, _, err := db.Document(ctx)
		if err != nil || document == nil {
			t.Fatal(err)
		}
		rows := server.Query(t, `SELECT ssl::text FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'sidekong'`)
		used = len(rows) > 0 && !slices.Contains(rows, "false")
		return used
	}
	for _, tt := range []struct {
		name      string
		change    func(o *database.PostgresOptions)
		encrypted bool
		refused   string
	}{
		{"off", func(*database.PostgresOptions) {}, false, ""},
		{"on", func(o *database.PostgresOptions) { o.SSL = true }, true, ""},
		{"required", func(o *database.PostgresOptions) { o.SSL, o.SSLRequired = true, true }, true, ""},
		{"verified", func(o *database.PostgresOptions) { o.SSL, o.SSLVerify, o.Authorities = true, true, server.Authorities }, true, ""},
		{"of an authority that we do not know", func(o *database.PostgresOptions) { o.SSL, o.SSLVerify = true, true }, false, "certificate"},
		{"for another name", func(o *database.PostgresOptions) {
			o.SSL, o.SSLVerify, o.Authorities, o.Host = true, true, server.Authorities, "localhost"
		}, false, "certificate"},
		{"with a client certificate that is missing", func(o *database.PostgresOptions) { o.SSL, o.CertFile = true, "missing.pem" }, false, "missing.pem"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := options(server)
			tt.change(&o)
			db, err := database.OpenPostgres(t.Context(), o, schemas)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("got %v, want an error about %s", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			if got := encrypted(db); got != tt.encrypted {
				t.Errorf("encrypted is %v", got)
			}
		})
	}
}

func TestOpenPostgresRefuses(t *testing.T) {
	server := postgres.Database(t)
	for _, tt := range []struct {
		name   string
		change func(o *database.PostgresOptions)
		text   string
	}{
		{"password", func(o *database.PostgresOptions) { o.Password = "not-the-password" }, "password authentication failed"},
		{"database", func(o *database.PostgresOptions) { o.Database = "missing" }, `database "missing" does not exist`},
	} {
		o := options(server)
		tt.change(&o)
		_, err := database.OpenPostgres(t.Context(), o, schemas)
		if err == nil || !strings.Contains(err.Error(), tt.text) || unreachable(err) || strings.Contains(err.Error(), o.Password) {
			t.Errorf("%s: got %v", tt.name, err)
		}
	}
}

func TestSchemasAreApart(t *testing.T) {
	o := options(postgres.Database(t))
	plain := openPostgres(t, o)
	o.Schema = `a "schema"`
	one, again := openPostgres(t, o), openPostgres(t, o)
	if err := one.Insert(t.Context(), "consumers", consumer(t, 1)); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Get(t.Context(), "consumers", id(1)); got == nil || err != nil {
		t.Errorf("in the schema: %v, %v", got, err)
	}
	if got, err := plain.Get(t.Context(), "consumers", id(1)); got != nil || err != nil {
		t.Errorf("outside of the schema: %v, %v", got, err)
	}
}

func TestNewerPostgresIsRefused(t *testing.T) {
	server := postgres.Database(t)
	db := openPostgres(t, options(server))
	server.Exec(t, `UPDATE sidekong_state SET schema_version = 1000`)
	if _, err := database.OpenPostgres(t.Context(), options(server), schemas); err == nil || !strings.Contains(err.Error(), "newer Sidekong") {
		t.Errorf("got %v", err)
	}
	if err := db.Insert(t.Context(), "consumers", consumer(t, 1)); err == nil || errors.Is(err, database.ErrUnreachable) {
		t.Errorf("insert: %v", err)
	}
}

package database

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"sidekong/configs/entity"
)

// PostgresOptions say where a PostgreSQL is and how to talk to it. Kong: kong.conf pg_*
type PostgresOptions struct {
	Host     string // a name, an address, or the folder of a Unix socket
	Port     int
	User     string
	Password string
	Database string
	Schema   string        // made where it is missing; "": the user's default
	Timeout  time.Duration // for connecting, and for an operation; 0: 5 s
	PoolSize int           // connections at most; 0: 10. One more listens for changes

	// SSL asks for TLS and goes on without it where the server has none, unless SSLRequired or SSLVerify is set. Only
	// SSLVerify looks at the server's certificate: Authorities (nil: the system's) must have signed it, for Host.
	SSL, SSLRequired, SSLVerify bool
	Authorities                 *x509.CertPool
	// The client's certificate and key, from PEM files that are read anew for every connection; "": none.
	CertFile, KeyFile string
}

const (
	postgresPort    = 5432
	postgresTimeout = 5 * time.Second
	postgresPool    = 10
	postgresIdle    = time.Minute            // after which a connection that nobody needs is closed
	postgresPoll    = 500 * time.Millisecond // where notifications do not come through
)

// OpenPostgres opens a database that several programs share. It connects at once, once: where the server is away the
// error is ErrUnreachable.
//
// Notifications need a connection that stays the same. A pool in between that shares connections by transaction passes
// none on; this is noticed, and changes are then found by looking twice a second.
func OpenPostgres(ctx context.Context, o PostgresOptions, schemas *entity.Schemas) (DB, error) {
	config, err := postgresConfig(o)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	pool := stdlib.OpenDB(*config)
	size := cmp.Or(o.PoolSize, postgresPool)
	pool.SetMaxOpenConns(size)
	pool.SetMaxIdleConns(size)
	pool.SetConnMaxIdleTime(postgresIdle)
	// Locks of whoever migrates; any number that nobody else uses.
	prepare := []string{`SELECT pg_advisory_xact_lock(7305437178413)`}
	if o.Schema != "" {
		prepare = append(prepare, `CREATE SCHEMA IF NOT EXISTS `+pgx.Identifier{o.Schema}.Sanitize())
	}
	d := &sqlDB{
		dialect: dialect{
			system: "postgresql", text: `TEXT COLLATE "C"`,
			tableExists: `SELECT COUNT(*) FROM pg_catalog.pg_class WHERE oid = to_regclass('sidekong_state')`,
			prepare:     prepare,
			// Another writer does not wait for one whose machine is gone.
			begin:       `SET LOCAL idle_in_transaction_session_timeout = '30s'`,
			notify:      `NOTIFY ` + channel,
			isolation:   sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true},
			timeout:     cmp.Or(o.Timeout, postgresTimeout),
			poll:        postgresPoll,
			listen:      (&listener{config, pool}).run,
			unreachable: postgresUnreachable,
		},
		model: newModel(schemas), read: pool, write: pool, writing: make(chan struct{}, 1), now: time.Now,
	}
	return d.opened(ctx)
}

// postgresConfig is made of the options alone, not of the environment or of files in the home folder.
func postgresConfig(o PostgresOptions) (*pgx.ConnConfig, error) {
	config, err := pgx.ParseConfig("host=127.0.0.1 user=none sslmode=disable")
	if err != nil {
		return nil, err
	}
	config.Host, config.Port = cmp.Or(o.Host, "127.0.0.1"), uint16(cmp.Or(o.Port, postgresPort))
	config.User, config.Password, config.Database = o.User, o.Password, o.Database
	config.ConnectTimeout = cmp.Or(o.Timeout, postgresTimeout)
	config.ValidateConnect, config.AfterConnect = nil, nil
	config.Fallbacks = nil
	config.RuntimeParams = map[string]string{"application_name": "sidekong"}
	if o.Schema != "" {
		config.RuntimeParams["search_path"] = pgx.Identifier{o.Schema}.Sanitize()
	}
	// Nothing is prepared on a connection, so that a pool in between may change it.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	if !o.SSL && !o.SSLRequired && !o.SSLVerify {
		return config, nil
	}
	config.TLSConfig = &tls.Config{
		ServerName: config.Host, RootCAs: o.Authorities, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: !o.SSLVerify, //nolint:gosec // what pg_ssl_verify = off asks for
	}
	if o.CertFile != "" || o.KeyFile != "" {
		pair := func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(o.CertFile, o.KeyFile)
			return &certificate, err
		}
		if _, err := pair(nil); err != nil {
			return nil, fmt.Errorf("read client certificate: %w", err)
		}
		config.TLSConfig.GetClientCertificate = pair
	}
	if !o.SSLRequired && !o.SSLVerify {
		config.Fallbacks = []*pgconn.FallbackConfig{{Host: config.Host, Port: config.Port}}
	}
	return config, nil
}

// postgresUnreachable says which errors may pass: those of the connection, and of a server that starts, stops, has no
// room or may only read.
func postgresUnreachable(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "57P01", "57P02", "57P03", "57P05", "25006", "25P03":
			return true
		}
		return strings.HasPrefix(refused.Code, "08") || strings.HasPrefix(refused.Code, "53")
	}
	var connecting *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &connecting) || errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || pgconn.SafeToRetry(err)
}

// channel is where changes are told. Its listeners only look, so it may be shared by several schemas.
const channel = "sidekong"

// listener hears of changes by others.
type listener struct {
	config *pgx.ConnConfig
	pool   *sql.DB
}

const (
	probeTimeout   = 2 * time.Second  // for a notification of our own to arrive
	listenRetry    = time.Second      // after a lost connection
	listenMute     = 30 * time.Second // after a probe that was not heard
	listenSilence  = 30 * time.Second // after which the connection is tried
	listenCheckout = 5 * time.Second  // for that
)

// errMute says that notifications do not come through.
var errMute = errors.New("notifications do not come through")

// run listens until ctx ends. heard is called at every notification, and with false when none may come any more.
func (l *listener) run(ctx context.Context, heard func(works bool)) {
	for ctx.Err() == nil {
		err := l.listen(ctx, heard)
		heard(false)
		pause := listenRetry
		if errors.Is(err, errMute) {
			pause = listenMute
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (l *listener) listen(ctx context.Context, heard func(works bool)) error {
	conn, err := pgx.ConnectConfig(ctx, l.config)
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		conn.Close(closing) //nolint:errcheck // it is of no use any more
	}()
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if _, err := l.pool.ExecContext(probe, `NOTIFY `+channel); err != nil {
		return err
	}
	if _, err := conn.WaitForNotification(probe); err != nil {
		return errMute
	}
	for {
		heard(true)
		for {
			quiet, cancel := context.WithTimeout(ctx, listenSilence)
			_, err := conn.WaitForNotification(quiet)
			cancel()
			if err == nil {
				break
			}
			if ctx.Err() != nil || !pgconn.Timeout(err) {
				return err
			}
			check, cancel := context.WithTimeout(ctx, listenCheckout)
			err = conn.Ping(check)
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

// String is host:port/database, for logs.
func (o PostgresOptions) String() string {
	return net.JoinHostPort(cmp.Or(o.Host, "127.0.0.1"), strconv.Itoa(cmp.Or(o.Port, postgresPort))) + "/" + o.Database
}

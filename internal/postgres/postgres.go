// Package postgres gives tests a PostgreSQL server of their own: a new cluster in a temporary folder, on loopback, that
// ends with the tests. It needs the programs initdb and postgres (Debian: the package postgresql), in PATH or where
// Debian puts them. Tests that need it have the build tag postgres; `make postgres` runs them.
package postgres

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server says how to reach a database. Passwords are checked, TLS may be used.
type Server struct {
	Host        string
	Port        int
	User        string
	Password    string
	Database    string
	Authorities *x509.CertPool // that have signed the server's certificate, which is for Host
}

// running is the server of this process.
var running *Server

// Main runs a package's tests beside a server, and gives their exit code.
func Main(m *testing.M) int {
	server, stop, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "start postgres:", err)
		return 1
	}
	defer stop()
	running = server
	return m.Run()
}

var databases atomic.Int64

// Database makes an empty database, which is removed when the test ends.
func Database(t testing.TB) Server {
	t.Helper()
	if running == nil {
		t.Fatal("no server runs: TestMain has to call postgres.Main")
	}
	own := *running
	own.Database = fmt.Sprintf("test_%d", databases.Add(1))
	if err := execute(t.Context(), *running, "CREATE DATABASE "+own.Database); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := execute(context.Background(), *running, "DROP DATABASE "+own.Database+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return own
}

// Exec runs a statement in a database, as its owner.
func (s Server) Exec(t testing.TB, statement string) {
	t.Helper()
	if err := execute(t.Context(), s, statement); err != nil {
		t.Fatal(err)
	}
}

// Query gives the rows of a statement with one column of text.
func (s Server) Query(t testing.TB, statement string) (values []string) {
	t.Helper()
	err := s.connected(t.Context(), func(ctx context.Context, conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, statement)
		if err != nil {
			return err
		}
		values, err = pgx.CollectRows(rows, pgx.RowTo[string])
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func execute(ctx context.Context, s Server, statement string) error {
	return s.connected(ctx, func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, statement)
		return err
	})
}

// connected calls do with a connection of its own, which it closes.
func (s Server) connected(ctx context.Context, do func(context.Context, *pgx.Conn) error) error {
	config, err := pgx.ParseConfig(fmt.Sprintf("host=%s port=%d user=%s password=%s dbname=%s sslmode=disable", s.Host, s.Port, s.User, s.Password, s.Database))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(ctx, conn)
}

// start makes a cluster and starts its server.
func start() (*Server, func(), error) {
	folder, err := os.MkdirTemp("", "postgres")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(folder) }
	as, err := unprivileged()
	if err != nil {
		remove()
		return nil, nil, err
	}
	s := &Server{Host: "127.0.0.1", User: "owner", Password: fmt.Sprintf("secret-%x", mathrand.Uint64()), Database: "postgres"}
	if err := s.initialize(folder, as); err != nil {
		remove()
		return nil, nil, err
	}
	for attempt := 1; ; attempt++ {
		stop, err := s.listen(folder, as)
		if err == nil {
			return s, func() { stop(); remove() }, nil
		}
		if attempt == 5 {
			remove()
			return nil, nil, err
		}
	}
}

// unprivileged is whom to run as: the server refuses to be root.
func unprivileged() (*syscall.SysProcAttr, error) {
	if os.Getuid() != 0 {
		return nil, nil //nolint:nilnil // as we are
	}
	for _, name := range []string{"postgres", "nobody"} {
		account, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(account.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(account.Gid, 10, 32)
		if err1 == nil && err2 == nil {
			return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, nil
		}
	}
	return nil, errors.New("postgres does not run as root, and there is no user postgres or nobody")
}

// program finds one of PostgreSQL's programs, of the newest version where there are several.
func program(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name) // the pattern is well formed
	if len(found) == 0 {
		return "", fmt.Errorf("%s is not installed (Debian: the package postgresql)", name)
	}
	return slices.Max(found), nil
}

func (s *Server) initialize(folder string, as *syscall.SysProcAttr) error {
	certificate, key, err := s.certificate()
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"password": []byte(s.Password), "server.crt": certificate, "server.key": key} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	if as != nil {
		for _, name := range []string{"", "password", "server.crt", "server.key"} {
			if err := os.Chown(filepath.Join(folder, name), int(as.Credential.Uid), int(as.Credential.Gid)); err != nil {
				return err
			}
		}
	}
	initdb, err := program("initdb")
	if err != nil {
		return err
	}
	command := exec.Command(initdb, "-D", filepath.Join(folder, "data"), "-U", s.User, "--pwfile", filepath.Join(folder, "password"),
		"--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	command.Dir, command.SysProcAttr = folder, as
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, output)
	}
	return nil
}

// certificate makes one for the server, which is its own authority.
func (s *Server) certificate() (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "postgres"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.ParseIP(s.Host)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	private8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	s.Authorities = x509.NewCertPool()
	s.Authorities.AppendCertsFromPEM(certificate)
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private8}), nil
}

// listen starts the server on a port that was free a moment ago.
func (s *Server) listen(folder string, as *syscall.SysProcAttr) (stop func(), err error) {
	free, err := net.Listen("tcp", net.JoinHostPort(s.Host, "0"))
	if err != nil {
		return nil, err
	}
	s.Port = free.Addr().(*net.TCPAddr).Port
	free.Close()
	postgres, err := program("postgres")
	if err != nil {
		return nil, err
	}
	command := exec.Command(postgres, "-D", filepath.Join(folder, "data"))
	for _, setting := range []string{
		"listen_addresses=" + s.Host, "port=" + strconv.Itoa(s.Port), "unix_socket_directories=",
		"ssl=on", "ssl_cert_file=" + filepath.Join(folder, "server.crt"), "ssl_key_file=" + filepath.Join(folder, "server.key"),
		"fsync=off", "full_page_writes=off", "shared_buffers=16MB", "max_wal_size=64MB",
	} {
		command.Args = append(command.Args, "-c", setting)
	}
	var output bytes.Buffer
	command.Stdout, command.Stderr = &output, &output
	command.Dir, command.SysProcAttr = folder, as
	if err := command.Start(); err != nil {
		return nil, err
	}
	exited := make(chan error, 1)
	go func() { exited <- command.Wait() }()
	stop = func() {
		command.Process.Signal(syscall.SIGQUIT) // at once: nothing is kept
		<-exited
	}
	deadline := time.Now().Add(time.Minute)
	for {
		select {
		case err := <-exited:
			return nil, fmt.Errorf("%w: %s", err, output.Bytes())
		case <-time.After(50 * time.Millisecond):
		}
		if err = execute(context.Background(), *s, "SELECT 1"); err == nil {
			return stop, nil
		}
		if time.Now().After(deadline) {
			stop()
			return nil, err
		}
	}
}

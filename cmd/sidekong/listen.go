package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"log"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"golang.org/x/sys/unix"

	"sidekong/configs/settings"
)

// Limits of a listener. nginx: client_header_timeout 60s, keepalive_timeout 75s, large_client_header_buffers.
const (
	headerTimeout  = 60 * time.Second
	idleTimeout    = 75 * time.Second
	maxHeaderBytes = 64 << 10
	maxStreams     = 128 // at once on one HTTP/2 connection
)

// connections counts those of a group of listeners.
type connections struct{ accepted, open atomic.Int64 }

// countingListener counts the connections that it accepts and those of them that are open.
type countingListener struct {
	net.Listener
	counts *connections
}

func (l countingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.counts.accepted.Add(1)
	l.counts.open.Add(1)
	if tcp, ok := conn.(*net.TCPConn); ok {
		return &countedConn{TCPConn: tcp, counts: l.counts}, nil
	}
	return conn, nil
}

// countedConn keeps what net/http looks for in a TCP connection (ReadFrom above all).
type countedConn struct {
	*net.TCPConn
	counts *connections
	closed atomic.Bool
}

func (c *countedConn) Close() error {
	if c.closed.CompareAndSwap(false, true) {
		c.counts.open.Add(-1)
	}
	return c.TCPConn.Close()
}

// open binds a listener as its flags say.
func open(ctx context.Context, l settings.Listener, counts *connections) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			if l.ReusePort {
				failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
			}
		})
		if err != nil {
			return err
		}
		return failed
	}}
	if l.KeepAlive != nil {
		config.KeepAliveConfig = *l.KeepAlive
	}
	network := "tcp"
	if l.IPv6Only {
		network = "tcp6"
	}
	listener, err := config.Listen(ctx, network, l.Address)
	if err != nil {
		return nil, err
	}
	listener = countingListener{listener, counts}
	if l.ProxyProtocol {
		listener = &proxyproto.Listener{Listener: listener, ReadHeaderTimeout: headerTimeout}
	}
	return listener, nil
}

// server makes the HTTP server of a listener.
func server(handler http.Handler, l settings.Listener, tlsConfig *tls.Config, logger *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:                      handler,
		ReadHeaderTimeout:            headerTimeout,
		IdleTimeout:                  idleTimeout,
		MaxHeaderBytes:               maxHeaderBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the handler's to refuse
		ErrorLog:                     log.New(serverLog{logger}, "", 0),
		Protocols:                    new(http.Protocols),
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: idleTimeout},
	}
	s.Protocols.SetHTTP1(true)
	if l.SSL {
		s.TLSConfig = tlsConfig
		s.Protocols.SetHTTP2(l.HTTP2)
	} else {
		s.Protocols.SetUnencryptedHTTP2(true)
	}
	return s
}

// serverLog passes on what net/http's server complains about: almost always what clients did.
type serverLog struct{ logger *slog.Logger }

func (l serverLog) Write(line []byte) (int, error) {
	l.logger.Info(strings.TrimSpace(string(line)))
	return len(line), nil
}

// serve runs a server until it is shut down.
func serve(s *http.Server, l net.Listener, ssl bool) error {
	var err error
	if ssl {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if err == http.ErrServerClosed { //nolint:errorlint // net/http returns it bare
		return nil
	}
	return err
}

// serverTLS makes the TLS side of listeners from certificates; without any it signs one of its own.
func serverTLS(pairs []settings.KeyPair, minVersion, maxVersion uint16, logger *slog.Logger) (*tls.Config, error) {
	config := &tls.Config{MinVersion: minVersion, MaxVersion: maxVersion}
	for _, pair := range pairs {
		certificate, err := loadPair(pair)
		if err != nil {
			return nil, err
		}
		config.Certificates = append(config.Certificates, certificate)
	}
	if len(pairs) == 0 {
		certificate, err := selfSigned(time.Now())
		if err != nil {
			return nil, fmt.Errorf("sign certificate: %w", err)
		}
		logger.Info("no ssl_cert is set: TLS listeners show a certificate that Sidekong signed itself")
		config.Certificates = []tls.Certificate{certificate}
	}
	return config, nil
}

// loadPair reads a certificate and its key, each a path or PEM text.
func loadPair(pair settings.KeyPair) (tls.Certificate, error) {
	cert, err := readPEM(pair.Cert)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate: %w", err)
	}
	key, err := readPEM(pair.Key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("read certificate key: %w", err)
	}
	certificate, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("load certificate: %w", err)
	}
	return certificate, nil
}

// readPEM gives the PEM text of a setting that holds it, or names a file that does.
func readPEM(setting string) ([]byte, error) {
	if strings.Contains(setting, "-----BEGIN") {
		return []byte(setting), nil
	}
	return os.ReadFile(setting)
}

// selfSigned makes a certificate for localhost, good for a year.
func selfSigned(now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "localhost", Organization: []string{"Sidekong"}},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

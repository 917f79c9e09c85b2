package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"sidekong/configs/settings"
)

// maxStreams bounds the requests at once on one HTTP/2 connection. nginx: http2_max_concurrent_streams
const maxStreams = 128

// connections counts those of a group of listeners.
type connections struct{ accepted, open atomic.Int64 }

// clientListener counts the connections that it accepts and those of them that are open.
type clientListener struct {
	net.Listener
	counts *connections
	send   time.Duration
}

func (l clientListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.counts.accepted.Add(1)
	l.counts.open.Add(1)
	return &clientConn{TCPConn: conn.(*net.TCPConn), counts: l.counts, send: l.send}, nil
}

// open binds a listener as its flags say. Peers in trusted are believed what they say in a PROXY header.
func (m limits) open(ctx context.Context, l settings.Listener, counts *connections, trusted []netip.Prefix) (net.Listener, error) {
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
	listener = clientListener{listener, counts, m.send}
	if l.ProxyProtocol {
		listener = proxyListener{listener, trusted, m.header}
	}
	return listener, nil
}

// server makes the HTTP server of a listener.
func (m limits) server(handler http.Handler, l settings.Listener, tlsConfig *tls.Config, logger *slog.Logger) *http.Server {
	s := &http.Server{
		Handler:                      m.guard(handler),
		ReadHeaderTimeout:            m.header,
		IdleTimeout:                  m.idle,
		MaxHeaderBytes:               m.headerBytes,
		DisableGeneralOptionsHandler: true, // "OPTIONS *" is the handler's to refuse
		ErrorLog:                     log.New(serverLog{logger}, "", 0),
		Protocols:                    new(http.Protocols),
		HTTP2:                        &http.HTTP2Config{MaxConcurrentStreams: maxStreams, SendPingTimeout: m.idle},
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

// serve runs a server until it is shut down or its listener is closed.
func serve(s *http.Server, l net.Listener, ssl bool) error {
	var err error
	if ssl {
		err = s.ServeTLS(l, "", "")
	} else {
		err = s.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

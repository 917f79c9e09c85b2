package main

import (
	"net"
	"net/netip"
	"time"

	"github.com/pires/go-proxyproto"
)

// proxyListener accepts connections that begin with a PROXY header, version 1 or 2. Reading the header is left to the
// connection's own goroutine, so that a client that is slow to send it holds up no other.
//
// As in nginx every client has to send one; only what a trusted one says in it is believed.
type proxyListener struct {
	net.Listener
	trusted       []netip.Prefix
	headerTimeout time.Duration
}

func (l proxyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &proxiedConn{
		Conn:    proxyproto.NewConn(conn, proxyproto.WithPolicy(proxyproto.REQUIRE), proxyproto.SetReadHeaderTimeout(l.headerTimeout)),
		conn:    conn,
		trusted: l.trusts(conn.RemoteAddr()),
	}, nil
}

func (l proxyListener) trusts(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return false
	}
	peer := tcp.AddrPort().Addr().Unmap()
	for _, prefix := range l.trusted {
		if prefix.Contains(peer) {
			return true
		}
	}
	return false
}

// proxiedConn is a connection whose bytes after the PROXY header are read. Its addresses are those of the connection
// itself, as nginx's $realip_remote_addr and $server_port are, and are known before the header is.
type proxiedConn struct {
	*proxyproto.Conn
	conn    net.Conn
	trusted bool
}

func (c *proxiedConn) RemoteAddr() net.Addr { return c.conn.RemoteAddr() }

func (c *proxiedConn) LocalAddr() net.Addr { return c.conn.LocalAddr() }

// ProxiedAddr is the address of the client as the header has it. It is false where the peer is not trusted or speaks
// for itself (LOCAL, UNKNOWN). It waits for the header, which has come once anything else was read.
func (c *proxiedConn) ProxiedAddr() (netip.AddrPort, bool) {
	if !c.trusted {
		return netip.AddrPort{}, false
	}
	header := c.ProxyHeader()
	if header == nil || header.Command.IsLocal() {
		return netip.AddrPort{}, false
	}
	tcp, ok := header.SourceAddr.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}, false
	}
	source := tcp.AddrPort()
	return netip.AddrPortFrom(source.Addr().Unmap(), source.Port()), source.IsValid()
}

package dns

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	maxSearch     = 6    // search domains, as in glibc before 2.26 and in Kong
	maxAttempts   = 10   // rounds over the nameservers
	udpSize       = 1232 // the size that passes everywhere without fragments
	maxResolvConf = 1 << 20
)

// setServers settles whom to ask and how, from c and from resolv.conf.
func (r *Resolver) setServers(c Config) error {
	path := c.ResolvConf
	if path == "" {
		path = "/etc/resolv.conf"
	}
	text, err := readBounded(path, maxResolvConf)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read resolv.conf: %w", err)
	}
	conf, err := dns.ClientConfigFromReader(bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("read resolv.conf: %w", err)
	}
	given := c.Nameservers
	if len(given) == 0 {
		given = conf.Servers
	}
	for _, s := range given {
		server, err := parseServer(s)
		if err != nil && len(c.Nameservers) > 0 {
			return err
		}
		if err == nil {
			r.servers = append(r.servers, server)
		}
	}
	if len(r.servers) == 0 {
		r.servers = []string{"127.0.0.1:53", "[::1]:53"}
	}
	conf.Search = searchDomains(conf.Search)
	r.names = conf.NameList
	r.attempts = min(conf.Attempts, maxAttempts)
	if c.Attempts > 0 {
		r.attempts = min(c.Attempts, maxAttempts)
	}
	r.timeout = time.Duration(min(conf.Timeout, 30)) * time.Second
	if c.Timeout > 0 {
		r.timeout = c.Timeout
	}
	return nil
}

// parseServer completes "address" and "address:port".
func parseServer(s string) (string, error) {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil && ap.Port() != 0 {
		return ap.String(), nil
	}
	ip, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return "", fmt.Errorf("nameserver %q is neither an IP address nor address:port", s)
	}
	return netip.AddrPortFrom(ip, 53).String(), nil
}

func searchDomains(domains []string) []string {
	var kept []string
	for _, d := range domains {
		if _, ok := dns.IsDomainName(d); ok && d != "." && d != "" && len(kept) < maxSearch {
			kept = append(kept, strings.ToLower(d))
		}
	}
	return kept
}

// askServers asks the nameservers in turn, beginning with the one that answered last, until one says yes or no.
// An error code other than "no such name" moves on to the next server but not into another round.
func (r *Resolver) askServers(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	var last error = errClosed
	for range r.attempts {
		answered := false
		first := int(r.preferred.Load())
		for i := range r.servers {
			n := (first + i) % len(r.servers)
			msg, err := r.ask(ctx, r.servers[n], name, qtype)
			switch {
			case ctx.Err() != nil:
				return nil, errClosed
			case err != nil:
				last = err
			case msg.Rcode == dns.RcodeSuccess || msg.Rcode == dns.RcodeNameError:
				r.preferred.Store(int32(n))
				return msg, nil
			default:
				answered, last = true, serverError(msg.Rcode)
			}
		}
		if answered {
			break
		}
	}
	return nil, last
}

// ask puts one question to one server: over UDP, over TCP if the answer did not fit, and without EDNS to a server that
// does not know it.
func (r *Resolver) ask(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	query := new(dns.Msg).SetQuestion(name, qtype)
	query.SetEdns0(udpSize, false)
	msg, err := exchange(ctx, "udp", server, query)
	if err == nil && msg.Rcode == dns.RcodeFormatError {
		query = new(dns.Msg).SetQuestion(name, qtype)
		msg, err = exchange(ctx, "udp", server, query)
	}
	if err == nil && msg.Truncated {
		msg, err = exchange(ctx, "tcp", server, query)
	}
	return msg, err
}

// exchange sends query and reads its answer. Datagrams that are no answer to it (another id, another question, not to
// be parsed) are passed over: they may be forged, and the true one may still come.
func exchange(ctx context.Context, network, server string, query *dns.Msg) (*dns.Msg, error) {
	wire, err := query.Pack()
	if err != nil {
		return nil, errBadName
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, server)
	if err != nil {
		return nil, exchangeError("connect to", network, server, err)
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	if network == "tcp" {
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(wire))), wire...)); err != nil {
			return nil, exchangeError("send request to", network, server, err)
		}
		msg, err := readStream(conn)
		if err != nil {
			return nil, exchangeError("receive reply from", network, server, err)
		}
		if !answers(msg, query) {
			return nil, exchangeError("receive reply from", network, server, errors.New("an answer to another question"))
		}
		return msg, nil
	}

	if _, err := conn.Write(wire); err != nil {
		return nil, exchangeError("send request to", network, server, err)
	}
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return nil, exchangeError("receive reply from", network, server, err)
		}
		if n == len(buf) {
			continue // longer than any answer that was asked for
		}
		msg := new(dns.Msg)
		if err := msg.Unpack(buf[:n]); err == nil && answers(msg, query) {
			return msg, nil
		}
	}
}

func readStream(conn net.Conn) (*dns.Msg, error) {
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return nil, err
	}
	msg := new(dns.Msg)
	return msg, msg.Unpack(buf)
}

// answers reports whether msg answers query.
func answers(msg, query *dns.Msg) bool {
	if msg.Id != query.Id || !msg.Response || msg.Opcode != dns.OpcodeQuery || len(msg.Question) != 1 {
		return false
	}
	got, want := msg.Question[0], query.Question[0]
	return got.Qtype == want.Qtype && got.Qclass == want.Qclass && strings.EqualFold(got.Name, want.Name)
}

// exchangeError is a question that got no answer. Its text is that of Kong's library for a time-out.
//
// Kong: resty/dns/resolver.lua _query
func exchangeError(doing, network, server string, err error) *Error {
	kind, cause := ErrServer, err.Error()
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		kind, cause = ErrTimeout, "timeout"
	}
	text := fmt.Sprintf("failed to %s %s server %s: %s", doing, strings.ToUpper(network), server, cause)
	return &Error{Kind: kind, Text: text, silent: true}
}

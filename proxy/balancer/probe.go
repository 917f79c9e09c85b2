package balancer

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxAnswer bounds what is read of a target's answer to a probe.
const maxAnswer = 64 << 10

// probeForever starts the rounds of active checks: one for the healthy and one for the unhealthy, each with its own
// interval, after which the first round comes.
//
// Kong: lua-resty-healthcheck checker_callback
func (b *Balancer) probeForever(ctx context.Context, g *errgroup.Group) {
	check := b.upstream.HealthChecks.Active
	for down, interval := range map[bool]float64{false: check.Healthy.Interval, true: check.Unhealthy.Interval} {
		if interval <= 0 {
			continue
		}
		g.Go(func() error {
			ticker := time.NewTicker(seconds(interval))
			defer ticker.Stop()
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-ticker.C:
					b.probeRound(ctx, down)
				}
			}
		})
	}
}

func seconds(s float64) time.Duration {
	return max(time.Duration(s*float64(time.Second)), time.Millisecond)
}

// probeRound probes the addresses that are down, or those that are not, a few at once, and waits for all.
func (b *Balancer) probeRound(ctx context.Context, down bool) {
	var g errgroup.Group
	g.SetLimit(max(b.upstream.HealthChecks.Active.Concurrency, 1))
	for _, a := range b.view.Load().addresses {
		if a.down.Load() != down {
			continue
		}
		g.Go(func() error {
			if ctx.Err() == nil {
				c := b.probe(ctx, a)
				if ctx.Err() == nil { // else it may be the end that broke it
					b.count(a, c, &b.active, "active")
				}
			}
			return nil
		})
	}
	_ = g.Wait() // none fails
}

// probe asks one address how it does.
//
// Kong: lua-resty-healthcheck checker:run_single_check. There type tcp runs for stream routes alone, and grpc is a plain
// HTTP request; here tcp runs for all and grpc asks the standard health service.
func (b *Balancer) probe(ctx context.Context, a *address) counter {
	ctx, cancel := context.WithTimeout(ctx, seconds(b.upstream.HealthChecks.Active.Timeout))
	defer cancel()
	var c counter
	var err error
	switch b.upstream.HealthChecks.Active.Type {
	case "tcp":
		c, err = b.probeTCP(ctx, a)
	case "grpc", "grpcs":
		c, err = b.probeGRPC(ctx, a)
	default:
		c, err = b.probeHTTP(ctx, a)
	}
	var wait net.Error
	switch {
	case err == nil:
		return c
	case errors.As(err, &wait) && wait.Timeout(), errors.Is(err, context.DeadlineExceeded):
		c = timeout
	default:
		c = tcpFailure
	}
	b.log.Debug("health check failed", "upstream", b.upstream.Name, "target", a.target.entity.Target, "address", a.addrPort(), "error", err)
	return c
}

func (b *Balancer) probeTCP(ctx context.Context, a *address) (counter, error) {
	conn, err := dial(ctx, a)
	if err != nil {
		return 0, err
	}
	return success, conn.Close()
}

// dial connects; the connection ends with ctx.
func dial(ctx context.Context, a *address) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", a.addrPort())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	return conn, nil
}

// probeHTTP sends a GET and reads the head of the answer. Redirects are answers like others.
func (b *Balancer) probeHTTP(ctx context.Context, a *address) (counter, error) {
	check := &b.upstream.HealthChecks.Active
	conn, err := dial(ctx, a)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if check.Type == "https" {
		secure := tls.Client(conn, b.tlsConfig(a))
		if err := secure.HandshakeContext(ctx); err != nil {
			return 0, err
		}
		conn = secure
	}
	if err := b.probeRequest(a).Write(conn); err != nil {
		return 0, err
	}
	status, err := readStatus(bufio.NewReader(io.LimitReader(conn, maxAnswer)))
	if err != nil {
		return 0, err
	}
	return b.active.status(status), nil
}

func (b *Balancer) probeRequest(a *address) *http.Request {
	check := &b.upstream.HealthChecks.Active
	req := &http.Request{
		Method: http.MethodGet, URL: &url.URL{Opaque: check.HTTPPath}, Host: b.hostOf(a),
		Header: http.Header{"User-Agent": {""}}, Close: true, ProtoMajor: 1, ProtoMinor: 1,
	}
	for name, values := range check.Headers {
		if textproto.CanonicalMIMEHeaderKey(name) == "Host" && len(values) > 0 {
			req.Host = values[0]
			continue
		}
		req.Header[textproto.CanonicalMIMEHeaderKey(name)] = values
	}
	return req
}

// readStatus returns the status of the first answer that is not an interim one; 0 for what is no HTTP.
func readStatus(r *bufio.Reader) (int, error) {
	const maxInterim = 10
	for range maxInterim {
		line, err := r.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, bufio.ErrBufferFull) {
				return 0, nil
			}
			return 0, err
		}
		status, ok := parseStatusLine(line)
		if !ok {
			return 0, nil
		}
		if status/100 != 1 || status == http.StatusSwitchingProtocols {
			return status, nil
		}
		if _, err := textproto.NewReader(r).ReadMIMEHeader(); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// parseStatusLine reads "HTTP/1.1 200 OK".
//
// Kong: lua-resty-healthcheck probe_http
func parseStatusLine(line []byte) (int, bool) {
	version, rest, ok := bytes.Cut(line, []byte(" "))
	if !ok || !bytes.HasPrefix(version, []byte("HTTP/")) {
		return 0, false
	}
	code, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" "))
	status, err := strconv.ParseUint(string(code), 10, 16)
	return int(status), err == nil && len(code) == 3
}

// hostOf is the name that a is probed under.
func (b *Balancer) hostOf(a *address) string {
	if b.upstream.HostHeader != "" {
		return b.upstream.HostHeader
	}
	return a.target.name()
}

func (b *Balancer) tlsConfig(a *address) *tls.Config {
	check := &b.upstream.HealthChecks.Active
	name := check.HTTPSSNI
	if name == "" {
		name = b.hostOf(a)
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
	}
	conf := &tls.Config{ServerName: name, RootCAs: b.options.RootCAs, InsecureSkipVerify: !check.HTTPSVerifyCertificate}
	if b.options.ClientCertificate != nil {
		conf.Certificates = []tls.Certificate{*b.options.ClientCertificate}
	}
	return conf
}

// probeGRPC calls grpc.health.v1.Health/Check for the server as a whole. An answer other than SERVING counts as an HTTP
// failure.
func (b *Balancer) probeGRPC(ctx context.Context, a *address) (counter, error) {
	scheme := "http"
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	if b.upstream.HealthChecks.Active.Type == "grpcs" {
		scheme = "https"
		protocols.SetUnencryptedHTTP2(false)
		protocols.SetHTTP2(true)
	}
	transport := &http.Transport{
		Protocols: &protocols, TLSClientConfig: b.tlsConfig(a), MaxResponseHeaderBytes: maxAnswer, DisableKeepAlives: true,
	}
	defer transport.CloseIdleConnections()
	req := b.probeRequest(a).WithContext(ctx)
	req.Method, req.Close = http.MethodPost, false
	req.URL = &url.URL{Scheme: scheme, Host: a.addrPort(), Path: "/grpc.health.v1.Health/Check"}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("Te", "trailers")
	req.Body = io.NopCloser(bytes.NewReader(make([]byte, 5))) // one message, not compressed, of no bytes
	req.ContentLength = 5
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, err
	}
	status := resp.Trailer.Get("Grpc-Status")
	if status == "" {
		status = resp.Header.Get("Grpc-Status")
	}
	if resp.StatusCode != http.StatusOK || status != "0" || !serving(body) {
		return httpFailure, nil
	}
	return success, nil
}

// serving reports whether a HealthCheckResponse, with its gRPC prefix, has status (field 1) SERVING (1).
func serving(body []byte) bool {
	if len(body) < 5 || body[0] != 0 || uint64(binary.BigEndian.Uint32(body[1:])) != uint64(len(body)-5) {
		return false
	}
	status := uint64(0)
	for msg := body[5:]; len(msg) > 0; {
		field, kind, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return false
		}
		msg = msg[n:]
		if field == 1 && kind == protowire.VarintType {
			if status, n = protowire.ConsumeVarint(msg); n < 0 {
				return false
			}
		} else if n = protowire.ConsumeFieldValue(field, kind, msg); n < 0 {
			return false
		}
		msg = msg[n:]
	}
	return status == 1
}

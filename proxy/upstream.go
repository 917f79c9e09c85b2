package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"sidekong/configs"
	"sidekong/configs/entity"
	"sidekong/proxy/balancer"
	"sidekong/proxy/http1"
)

// upstream is a service, ready to be sent to.
type upstream struct {
	service              *entity.Service
	balancer             *balancer.Balancer // nil: the service's host is a name or an address
	scheme               string             // http or https
	version              string             // of HTTP, for Via
	retries              int
	connect, write, read time.Duration
	transport            doer

	// last is where the service's host led last, so that its address is not written out for every request.
	last *atomic.Pointer[endpoint]
}

// doer sends one request. http1.Transport is one; trip times and time-outs are as it says.
type doer interface {
	Do(req *http.Request, trip *http1.Trip) (*http.Response, error)
}

// upstream prepares a service; nil for one of a stream protocol, to which no route of ours leads. Requests through what
// it returns beside an error fail by that error.
func (g *Gateway) upstream(rt *runtime, snapshot *configs.Snapshot, service *entity.Service) (*upstream, error) {
	up := &upstream{
		service: service,
		version: "1.1",
		retries: service.Retries,
		connect: time.Duration(service.ConnectTimeout) * time.Millisecond,
		write:   time.Duration(service.WriteTimeout) * time.Millisecond,
		read:    time.Duration(service.ReadTimeout) * time.Millisecond,
		last:    new(atomic.Pointer[endpoint]),
	}
	if b := rt.balancers[service.Host]; b != nil {
		up.balancer = b.balancer
	}
	switch service.Protocol {
	case "http", "ws":
		up.scheme, up.transport = "http", g.plain
		return up, nil
	case "https", "wss":
		up.scheme = "https"
	case "grpc":
		up.scheme, up.version = "http", "2"
	case "grpcs":
		up.scheme, up.version = "https", "2"
	default:
		return nil, nil //nolint:nilnil // no upstream is what a stream service has here
	}
	s := &stock{http2: up.version == "2", keepalive: g.options.Keepalive}
	if up.scheme == "https" {
		config, err := g.clientTLS(snapshot, service)
		if err != nil {
			up.transport = unusable{err}
			return up, err
		}
		s.tls = config
	}
	rt.encrypted = append(rt.encrypted, s)
	up.transport = s
	return up, nil
}

// unusable stands for connections that cannot be made as the service wants them.
type unusable struct{ err error }

// Do implements doer. It is no fault of the target's and none that another try would mend.
func (u unusable) Do(*http.Request, *http1.Trip) (*http.Response, error) {
	return nil, &http1.Error{Phase: http1.Prepare, Err: u.err}
}

// clientTLS is how a service's TLS connections are made. As in Kong, the upstream's certificate is verified only where
// tls_verify says so. Kong: kong/runloop/handler.lua set_service_ssl
func (g *Gateway) clientTLS(snapshot *configs.Snapshot, service *entity.Service) (*tls.Config, error) {
	config := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            g.options.RootCAs,
		InsecureSkipVerify: service.TLSVerify == nil || !*service.TLSVerify, //nolint:gosec // Kong's default
	}
	if g.options.ClientCert != nil {
		config.Certificates = []tls.Certificate{*g.options.ClientCert}
	}
	ref := service.ClientCertificate
	if up, ok := snapshot.UpstreamNamed(service.Host); ok && ref == nil {
		ref = up.ClientCertificate
	}
	if ref != nil {
		certificate, err := keyPair(snapshot, ref)
		if err != nil {
			return nil, fmt.Errorf("client_certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{*certificate}
	}
	if len(service.CACertificates) > 0 {
		pool := x509.NewCertPool()
		for _, id := range service.CACertificates {
			ca, ok := snapshot.CACertificate(id)
			if !ok || !pool.AppendCertsFromPEM([]byte(ca.Cert)) {
				return nil, fmt.Errorf("ca_certificates: %s holds no certificate", id)
			}
		}
		config.RootCAs = pool
	}
	if depth := service.TLSVerifyDepth; depth != nil && !config.InsecureSkipVerify {
		config.VerifyConnection = func(state tls.ConnectionState) error { return shortChain(state, *depth) }
	}
	return config, nil
}

// shortChain refuses a peer whose certificate hangs below its authority by more than depth certificates between.
// nginx: proxy_ssl_verify_depth
func shortChain(state tls.ConnectionState, depth int) error {
	for _, chain := range state.VerifiedChains {
		if len(chain) <= depth+2 { // its own and the authority's come on top
			return nil
		}
	}
	return errors.New("certificate chain is longer than tls_verify_depth allows")
}

func keyPair(snapshot *configs.Snapshot, ref *entity.Ref) (*tls.Certificate, error) {
	stored, ok := snapshot.Certificate(ref.ID)
	if !ok {
		return nil, fmt.Errorf("certificate %s does not exist", ref.ID)
	}
	pair, err := x509KeyPair(stored.Cert, stored.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", ref.ID, err)
	}
	return pair, nil
}

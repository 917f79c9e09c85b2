package httplog

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"
)

// maxAnswer bounds what is read of an answer so that its connection can be used again, in bytes.
const maxAnswer = 64 << 10

// client posts records. It implements queue.Sender.
type client struct {
	http    *http.Client
	method  string
	url     string // without user information
	public  string // without query too
	header  http.Header
	timeout time.Duration // of connecting, and of each answer
	single  bool          // a post holds one record, and no list
}

func newClient(c *config, roots *x509.CertPool) (*client, error) {
	target, err := url.Parse(c.HTTPEndpoint)
	if err != nil || target.Host == "" {
		return nil, errors.New("http_endpoint is no URL") // its text may hold a password
	}
	header := http.Header{}
	for name, value := range c.Headers {
		header.Set(name, value)
	}
	header.Set("Content-Type", c.ContentType)
	if target.User != nil {
		password, _ := target.User.Password()
		credentials := target.User.Username() + ":" + password
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(credentials)))
	}
	target.User = nil
	public := *target
	public.RawQuery, public.Fragment = "", ""
	timeout := milliseconds(c.Timeout)
	settings := c.settings()
	transport := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: timeout}).DialContext,
		TLSHandshakeTimeout:   timeout,
		ResponseHeaderTimeout: timeout,
		IdleConnTimeout:       milliseconds(c.Keepalive),
		DisableKeepAlives:     c.Keepalive <= 0,
		MaxIdleConnsPerHost:   8,
		ForceAttemptHTTP2:     true,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return &client{
		http: &http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		method: c.Method, url: target.String(), public: public.String(), header: header, timeout: timeout,
		single: settings.MaxBatchSize == 1,
	}, nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// failure is a post that did not arrive. It is tried again whatever the reason, as in Kong.
type failure struct{ cause error }

func (f failure) Error() string   { return f.cause.Error() }
func (f failure) Unwrap() error   { return f.cause }
func (f failure) Retryable() bool { return true }

// Send posts records: one as it is where posts hold one, else as a list.
// Kong: kong/plugins/http-log/handler.lua send_entries
func (c *client) Send(ctx context.Context, frames []byte, _ int) (rejected int64, err error) {
	records := entries(frames)
	body := bytes.Join(records, []byte{','})
	if !c.single || len(records) != 1 {
		body = append(append([]byte{'['}, body...), ']')
	}
	if c.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 3*c.timeout) // to connect, to send, to read
		defer cancel()
	}
	r, err := http.NewRequestWithContext(ctx, c.method, c.url, bytes.NewReader(body))
	if err != nil {
		return 0, errors.New("make request") // its text has the URL with its query
	}
	r.Header = c.header.Clone()
	res, err := c.http.Do(r)
	if err != nil {
		var detail *url.Error
		if errors.As(err, &detail) {
			err = detail.Err // without the URL and its query
		}
		return 0, failure{fmt.Errorf("request to %s: %w", r.URL.Host, err)}
	}
	defer res.Body.Close()
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // what is left unread costs the connection
	if res.StatusCode >= 300 {
		return 0, failure{fmt.Errorf("request to %s returned status code %d", r.URL.Host, res.StatusCode)}
	}
	return 0, nil
}

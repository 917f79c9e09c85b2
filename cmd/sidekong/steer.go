package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"sidekong/configs/declarative"
	"sidekong/configs/settings"
)

// socketName is the Unix socket under prefix by which the commands reload, export and explain reach a running sidecar.
// Only its user can open it.
const socketName = "sidekong.sock"

func socketPath(s *settings.Settings) string { return filepath.Join(s.Prefix, socketName) }

// listenSteering opens the socket. Two sidecars with one prefix have one socket: the first keeps it.
func listenSteering(ctx context.Context, s *settings.Settings, logger *slog.Logger) net.Listener {
	path := socketPath(s)
	fail := func(err error) net.Listener {
		logger.Warn("the commands reload, export and explain do not reach this sidecar", "socket", path, "error", err)
		return nil
	}
	if err := os.MkdirAll(s.Prefix, 0o700); err != nil {
		return fail(err)
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err == nil {
		conn.Close()
		return fail(errors.New("another sidecar with the same prefix has it"))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fail(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "unix", path)
	if err != nil {
		return fail(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return fail(err)
	}
	return listener
}

// A reloaded is what reload answers.
type reloaded struct {
	Changed bool   `json:"changed"`
	Hash    string `json:"hash"`
	Fault   string `json:"fault,omitempty"` // why the old configuration stays
}

// An explainRequest is a request that is not sent.
type explainRequest struct {
	Method string      `json:"method"`
	URL    string      `json:"url"`
	Header http.Header `json:"header"`
	// Consumer is the id or the username of who asks; "": nobody.
	Consumer string `json:"consumer,omitempty"`
}

// steering serves the socket.
func (a *app) steering() http.Handler {
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, status int, body any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the command may have gone
	}
	mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
		before := a.store.Snapshot().Hash
		err := a.reload(context.WithoutCancel(r.Context()))
		now := a.store.Snapshot().Hash
		if err != nil {
			answer(w, http.StatusUnprocessableEntity, reloaded{Hash: now, Fault: err.Error()})
			return
		}
		answer(w, http.StatusOK, reloaded{Changed: now != before, Hash: now})
	})
	mux.HandleFunc("GET /configuration", func(w http.ResponseWriter, r *http.Request) {
		document, err := a.document(r.Context())
		if err == nil {
			var text []byte
			if text, err = declarative.Marshal(document, a.loader.Schemas); err == nil {
				w.Header().Set("Content-Type", "application/yaml")
				_, _ = w.Write(text)
				return
			}
		}
		answer(w, http.StatusServiceUnavailable, reloaded{Fault: err.Error()})
	})
	mux.HandleFunc("POST /explain", func(w http.ResponseWriter, r *http.Request) {
		var asked explainRequest
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&asked)
		var request *http.Request
		if err == nil {
			request, err = asked.request(r.Context())
		}
		if err != nil {
			answer(w, http.StatusBadRequest, reloaded{Fault: err.Error()})
			return
		}
		consumer, err := a.consumerID(r.Context(), asked.Consumer)
		if err != nil {
			answer(w, http.StatusBadRequest, reloaded{Fault: err.Error()})
			return
		}
		answer(w, http.StatusOK, a.gateway.Explain(request, consumer))
	})
	return mux
}

// consumerID finds a consumer by id or username; "" is nobody.
func (a *app) consumerID(ctx context.Context, name string) (string, error) {
	if name == "" {
		return "", nil
	}
	found, err := a.db.Get(ctx, "consumers", name)
	if err == nil && found == nil {
		found, err = a.db.Find(ctx, "consumers", "username", name)
	}
	if err != nil {
		return "", err
	}
	id, ok := found["id"].(string)
	if !ok {
		return "", fmt.Errorf("there is no consumer %s", name)
	}
	return id, nil
}

// document is the configuration with everything that the database has.
func (a *app) document(ctx context.Context) (*declarative.Document, error) {
	if !a.stored {
		return a.store.Snapshot().Document, nil
	}
	document, _, err := a.db.Document(ctx)
	return document, err
}

// request makes what the proxy would see, from a client on loopback.
func (e *explainRequest) request(ctx context.Context) (*http.Request, error) {
	u, err := url.Parse(e.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("url %q: want http://host[:port]/path or https://…", e.URL)
	}
	r, err := http.NewRequestWithContext(ctx, e.Method, e.URL, http.NoBody)
	if err != nil {
		return nil, err
	}
	r.RequestURI, r.RemoteAddr = u.RequestURI(), "127.0.0.1:1"
	for name, values := range e.Header {
		r.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		delete(r.Header, "Host")
	}
	if u.Scheme == "https" {
		r.TLS = &tls.ConnectionState{ServerName: u.Hostname()}
	}
	return r, nil
}

// A steerer asks a running sidecar.
type steerer struct {
	client http.Client
	socket string
}

func newSteerer(s *settings.Settings) *steerer {
	socket := socketPath(s)
	return &steerer{socket: socket, client: http.Client{
		Timeout: 30 * time.Second,
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		}},
	}}
}

// ask gives an answer's status and body.
func (s *steerer) ask(ctx context.Context, method, path string, body any) (int, []byte, error) {
	var text bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&text).Encode(body); err != nil {
			return 0, nil, err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://sidekong"+path, &text)
	if err != nil {
		return 0, nil, err
	}
	res, err := s.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("no sidecar answers at %s (is it running, with the same prefix?): %w", s.socket, errors.Unwrap(err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, declarative.MaxBytes*2))
	return res.StatusCode, answer, err
}

// fault is what an answer says went wrong.
func fault(answer []byte) error {
	var said reloaded
	if err := json.Unmarshal(answer, &said); err != nil || said.Fault == "" {
		return errors.New("the sidecar gives no reason")
	}
	return errors.New(said.Fault)
}

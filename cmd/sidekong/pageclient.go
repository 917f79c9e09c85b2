package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"sidekong/admin/manager"
	"sidekong/configs/settings"
)

// pageClient asks the API of a running sidecar's page.
type pageClient struct {
	client *http.Client
	base   string // URL without a slash at its end
	token  string // secret; "": none
}

// newPageClient asks at an address, or where admin_gui_listen says.
func newPageClient(s *settings.Settings, address string) (*pageClient, error) {
	if address == "" {
		if len(s.AdminGUIListen) == 0 {
			return nil, configError{errors.New("admin_gui_listen is off: there is nobody to ask")}
		}
		address = "http://" + reachable(s.AdminGUIListen[0].Address)
		if s.AdminGUIListen[0].SSL {
			address = "https://" + reachable(s.AdminGUIListen[0].Address)
		}
	}
	base, err := url.Parse(address)
	if err != nil || base.Host == "" {
		return nil, usageError{fmt.Errorf("--address %q is not a URL", address)}
	}
	return &pageClient{
		// The listener is this machine's own, and its certificate may be one that it signed itself.
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: isLoopback(base)}}},
		base:   strings.TrimSuffix(base.String(), "/"), token: s.AdminToken,
	}, nil
}

// isLoopback reports whether a URL names this machine.
func isLoopback(u *url.URL) bool {
	host := u.Hostname()
	return host == "localhost" || strings.HasPrefix(host, "127.") || host == "::1"
}

// refusal is an answer that is an error.
type refusal struct {
	status  int
	message string
}

func (r refusal) Error() string {
	return fmt.Sprintf("the sidecar answers %d: %s", r.status, r.message)
}

// get asks for something and gives the answer's body.
func (p *pageClient) get(ctx context.Context, path string) (io.ReadCloser, error) {
	return p.send(ctx, http.MethodGet, path, nil)
}

func (p *pageClient) send(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, body)
	if err != nil {
		return nil, err
	}
	if p.token != "" {
		req.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the sidecar: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	var message manager.Message
	if json.NewDecoder(io.LimitReader(res.Body, 64<<10)).Decode(&message) != nil || message.Message == "" {
		message.Message = res.Status
	}
	return nil, refusal{res.StatusCode, message.Message}
}

// ask reads an answer of JSON; a *[]byte takes it as it is.
func (p *pageClient) ask(ctx context.Context, path string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := p.get(ctx, path)
	if err != nil {
		return err
	}
	defer answer.Close()
	body, err := io.ReadAll(io.LimitReader(answer, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask the sidecar: %w", err)
	}
	if raw, ok := into.(*[]byte); ok {
		*raw = body
		return nil
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the sidecar's answer: %w", err)
	}
	return nil
}

package router

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"sidekong/configs/entity"
)

// bytesText is a string that the vectors write as {"hex": "…"} where it is not valid UTF-8.
type bytesText string

func (b *bytesText) UnmarshalJSON(data []byte) error {
	var encoded struct{ Hex string }
	if json.Unmarshal(data, &encoded) == nil {
		raw, err := hex.DecodeString(encoded.Hex)
		*b = bytesText(raw)
		return err
	}
	return json.Unmarshal(data, (*string)(b))
}

type vector struct {
	ID      string
	Feature string
	Routes  []struct {
		entity.Route

		Protocols               []string `json:"protocols"`
		StripPath               *bool    `json:"strip_path"`
		HTTPSRedirectStatusCode *int     `json:"https_redirect_status_code"`
		Service                 *struct {
			entity.Service

			Enabled *bool `json:"enabled"`
			URL     string
		} `json:"service"`
	}
	Request *struct {
		Method, Scheme, SNI string
		URI                 bytesText
		Host                *string
		Headers             map[string]any
		HTTPVersion         string `json:"http_version"`
	}
	NormalizedPath *bytesText  `json:"normalized_path"`
	ExpectCompat   expectation `json:"expect_compat"`
	Flags          []string
}

type expectation struct {
	Route          *string
	Service        *string
	NginxStatus    int `json:"nginx_status"`
	ConfigRejected any `json:"config_rejected"`
	upstreamExpectation
}

type upstreamExpectation struct {
	UpstreamURI    bytesText            `json:"upstream_uri"`
	RouterURI      bytesText            `json:"router_uri"`
	UpstreamHost   string               `json:"upstream_host"`
	UpstreamScheme string               `json:"upstream_scheme"`
	UpstreamPort   int                  `json:"upstream_port"`
	Prefix         bytesText            `json:"prefix"`
	ForwardedPath  bytesText            `json:"forwarded_path"`
	URICaptures    map[string]bytesText `json:"uri_captures"`
	Action         *struct {
		Status   int
		Location string
	}
}

func readVectors(t testing.TB) []vector {
	t.Helper()
	f, err := os.Open("testdata/router.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var vectors []vector
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var v vector
		if err := json.Unmarshal(lines.Bytes(), &v); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		vectors = append(vectors, v)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return vectors
}

// entries makes entities of a vector's routes, with Kong's defaults and ids.
func (v *vector) entries(t testing.TB) []Entry {
	t.Helper()
	namespace := uuid.NewSHA1(uuid.MustParse("fd02801f-0957-4a15-a55a-c8d9606f30b5"), []byte("routes"))
	var entries []Entry
	for _, given := range v.Routes {
		route := given.Route
		if route.ID == "" {
			route.ID = uuid.NewSHA1(namespace, []byte(route.Name)).String()
		}
		route.Protocols = given.Protocols
		if route.Protocols == nil {
			route.Protocols = []string{"http", "https"}
		}
		grpc := slices.Contains(route.Protocols, "grpc") || slices.Contains(route.Protocols, "grpcs")
		route.StripPath = !grpc
		if given.StripPath != nil {
			route.StripPath = *given.StripPath
		}
		route.HTTPSRedirectStatusCode = 426
		if given.HTTPSRedirectStatusCode != nil {
			route.HTTPSRedirectStatusCode = *given.HTTPSRedirectStatusCode
		}
		entry := Entry{Route: &route}
		if given.Service != nil {
			service := given.Service.Service
			service.Name = "svc-" + route.Name
			service.Enabled = given.Service.Enabled == nil || *given.Service.Enabled
			if given.Service.URL != "" {
				setURL(t, &service, given.Service.URL)
			}
			entry.Service = &service
		}
		entries = append(entries, entry)
	}
	return entries
}

func setURL(t testing.TB, service *entity.Service, raw string) {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	service.Protocol, service.Host, service.Path = u.Scheme, u.Hostname(), u.Path
	service.Port = map[string]int{"http": 80, "https": 443}[u.Scheme]
	if u.Port() != "" {
		service.Port, _ = strconv.Atoi(u.Port())
	}
}

// header gives the headers as a server reads them: without the space around values.
func (v *vector) header() http.Header {
	h := make(http.Header)
	for name, value := range v.Request.Headers {
		switch value := value.(type) {
		case string:
			h.Add(name, strings.TrimSpace(value))
		case []any:
			for _, one := range value {
				h.Add(name, strings.TrimSpace(one.(string)))
			}
		}
	}
	return h
}

// TestVectors compares with what Kong 3.9's traditional_compatible router did.
func TestVectors(t *testing.T) {
	ran := 0
	for _, v := range readVectors(t) {
		if v.Feature == "config_validation" || slices.Contains(v.Flags, "compat_rejects_config") {
			continue
		}
		ran++
		t.Run(v.ID, func(t *testing.T) { testVector(t, &v) })
	}
	if ran != 1153 {
		t.Errorf("ran %d vectors, want 1153", ran)
	}
}

func testVector(t *testing.T, v *vector) {
	want := v.ExpectCompat
	router, faulty := Compile(v.entries(t), nil)
	if faulty != nil {
		t.Fatal(faulty)
	}
	host := ""
	if v.Request.Host != nil {
		host = *v.Request.Host
	}
	sent := string(v.Request.URI)
	if got := Refuse(v.Request.Method, sent, host, v.Request.HTTPVersion != "1.0"); got != want.NginxStatus {
		t.Fatalf("Refuse = %d, want %d", got, want.NginxStatus)
	}
	if want.NginxStatus != 0 {
		return
	}
	target := OriginForm(sent)
	path, query, hasQuery, ok := Normalize(target)
	if !ok || path != string(*v.NormalizedPath) {
		t.Fatalf("Normalize(%q) = %q, %v, want %q", target, path, ok, *v.NormalizedPath)
	}
	req := &Request{
		Method: v.Request.Method, Scheme: v.Request.Scheme, Host: host, Target: target, Path: path,
		Header: v.header(), SNI: v.Request.SNI, Port: map[string]int{"http": 8000, "https": 8443}[v.Request.Scheme],
	}
	m, ok := router.Match(req)
	if !ok || want.Route == nil {
		got := "(none)"
		if ok {
			got = m.Route.Name
		}
		if ok || want.Route != nil {
			t.Fatalf("route %s, want %+v", got, want)
		}
		return
	}
	if m.Route.Name != *want.Route || m.Service.Name != *want.Service {
		t.Fatalf("route %s, want %s", m.Route.Name, *want.Route)
	}

	got := upstreamExpectation{
		UpstreamURI: bytesText(m.UpstreamPath()), RouterURI: bytesText(m.RouterPath()),
		UpstreamHost: m.UpstreamHost(host), UpstreamScheme: m.Service.Protocol, UpstreamPort: m.Service.Port,
		Prefix: bytesText(m.Prefix()), ForwardedPath: bytesText(ForwardedPath(target)),
		URICaptures: make(map[string]bytesText),
	}
	if hasQuery {
		got.UpstreamURI += bytesText("?" + query)
	}
	for key, text := range m.Captures {
		got.URICaptures[key] = bytesText(text)
	}
	if answer, ok := m.Answer(req, req.Scheme, HostName(host)); ok {
		got.Action = &struct {
			Status   int
			Location string
		}{answer.Status, answer.Header.Get("Location")}
	}
	if diff := cmp.Diff(want.upstreamExpectation, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestVectorsRejected: a route whose expressions Kong's engine refuses is named.
func TestVectorsRejected(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range readVectors(t) {
		if !slices.Contains(v.Flags, "compat_rejects_config") {
			continue
		}
		want := make(map[string]bool)
		for _, name := range v.ExpectCompat.ConfigRejected.([]any) {
			want[name.(string)] = true
		}
		for _, entry := range v.entries(t) {
			key := entry.Route.Name + strings.Join(entry.Route.Paths, " ")
			if seen[key] {
				continue
			}
			seen[key] = true
			_, faulty := Compile([]Entry{entry}, nil)
			err := faulty[entry.Route]
			if got := err != nil; got != want[entry.Route.Name] {
				t.Errorf("%s: route %s %q: error %v, want an error: %v",
					v.ID, entry.Route.Name, entry.Route.Paths, err, want[entry.Route.Name])
			}
		}
	}
	if len(seen) == 0 {
		t.Error("no vectors")
	}
}

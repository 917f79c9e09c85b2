// Package configs holds what to serve: a Snapshot, where it comes from (Source, Loader) and the one place where the
// current one lives (Store).
package configs

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// Snapshot is one complete, checked picture of what to serve. It and everything in it is read-only and safe for use by
// several goroutines. Lists are sorted by id; references between entities lead somewhere.
type Snapshot struct {
	Services       []*entity.Service
	Routes         []*entity.Route
	Upstreams      []*entity.Upstream
	Targets        []*entity.Target
	Consumers      []*entity.Consumer
	Certificates   []*entity.Certificate
	CACertificates []*entity.CACertificate
	SNIs           []*entity.SNI
	KeyAuth        []*entity.KeyAuthCredential
	BasicAuth      []*entity.BasicAuthCredential

	// Plugins are all instances, the disabled ones included.
	Plugins []*entity.Plugin
	// ActivePlugins are the enabled instances, the most specific scope first, then by name.
	ActivePlugins []*entity.Plugin
	// ActiveRoutes are the routes whose service is enabled, and those without a service.
	ActiveRoutes []*entity.Route

	// Document is what the snapshot was made of, for writing it out again.
	Document *declarative.Document
	// Hash is 32 hexadecimal digits that are equal for equal content, in whatever order or format it was written.
	Hash string

	services       map[string]*entity.Service
	routes         map[string]*entity.Route
	upstreams      map[string]*entity.Upstream
	consumers      map[string]*entity.Consumer
	certificates   map[string]*entity.Certificate
	caCertificates map[string]*entity.CACertificate
	upstreamNames  map[string]*entity.Upstream
}

// Snapshot makes a snapshot of a document, whose entities are checked already. It fails if a reference leads nowhere.
func (l Loader) Snapshot(document *declarative.Document) (*Snapshot, error) {
	pause := l.Pause
	if pause == nil {
		pause = func() {}
	}
	s := &Snapshot{Document: document}
	if err := s.decode(pause); err != nil {
		return nil, err
	}
	s.upstreamNames = make(map[string]*entity.Upstream, len(s.Upstreams))
	for _, u := range s.Upstreams {
		s.upstreamNames[u.Name] = u
	}
	if err := s.checkReferences(); err != nil {
		return nil, err
	}
	for _, r := range s.Routes {
		if r.Service == nil || s.services[r.Service.ID].Enabled {
			s.ActiveRoutes = append(s.ActiveRoutes, r)
		}
	}
	for _, p := range s.Plugins {
		if p.Enabled {
			s.ActivePlugins = append(s.ActivePlugins, p)
		}
	}
	slices.SortStableFunc(s.ActivePlugins, func(a, b *entity.Plugin) int {
		return cmp.Or(cmp.Compare(ScopeOf(a).Rank(), ScopeOf(b).Rank()), cmp.Compare(a.Name, b.Name))
	})
	s.Hash = hashOf(document, pause)
	return s, nil
}

func (s *Snapshot) decode(pause func()) error {
	return cmp.Or(
		decode(s.Document, "services", &s.Services, &s.services, pause),
		decode(s.Document, "routes", &s.Routes, &s.routes, pause),
		decode(s.Document, "upstreams", &s.Upstreams, &s.upstreams, pause),
		decode(s.Document, "targets", &s.Targets, nil, pause),
		decode(s.Document, "plugins", &s.Plugins, nil, pause),
		decode(s.Document, "consumers", &s.Consumers, &s.consumers, pause),
		decode(s.Document, "certificates", &s.Certificates, &s.certificates, pause),
		decode(s.Document, "ca_certificates", &s.CACertificates, &s.caCertificates, pause),
		decode(s.Document, "snis", &s.SNIs, nil, pause),
		decode(s.Document, "keyauth_credentials", &s.KeyAuth, nil, pause),
		decode(s.Document, "basicauth_credentials", &s.BasicAuth, nil, pause),
	)
}

// decode fills list with the entities of a kind, sorted by id, and byID unless it is nil.
func decode[T any](document *declarative.Document, kind string, list *[]*T, byID *map[string]*T, pause func()) error {
	entities := document.Entities[kind]
	found := make(map[string]*T, len(entities))
	for _, i := range orderOf(entities) {
		pause()
		e := &entities[i]
		id, _ := e.Object["id"].(string)
		to := new(T)
		if err := entity.Decode(e.Object, to); err != nil {
			return fmt.Errorf("decode %s %s: %w", kind, id, err)
		}
		if _, taken := found[id]; taken || id == "" {
			return fmt.Errorf("decode %s: id %q is missing or used twice", kind, id)
		}
		found[id] = to
		*list = append(*list, to)
	}
	if byID != nil {
		*byID = found
	}
	return nil
}

func (s *Snapshot) checkReferences() error {
	check := func(kind, id, field string, ref *entity.Ref, found func(string) bool) error {
		if ref == nil || found(ref.ID) {
			return nil
		}
		return fmt.Errorf("resolve %s %s: its %s %s does not exist", kind, id, field, ref.ID)
	}
	var errs []error
	for _, e := range s.Services {
		errs = append(errs, check("service", e.ID, "client_certificate", e.ClientCertificate, in(s.certificates)))
	}
	for _, e := range s.Upstreams {
		errs = append(errs, check("upstream", e.ID, "client_certificate", e.ClientCertificate, in(s.certificates)))
	}
	for _, e := range s.Routes {
		errs = append(errs, check("route", e.ID, "service", e.Service, in(s.services)))
	}
	for _, e := range s.Targets {
		errs = append(errs, check("target", e.ID, "upstream", &e.Upstream, in(s.upstreams)))
	}
	for _, e := range s.SNIs {
		errs = append(errs, check("sni", e.ID, "certificate", &e.Certificate, in(s.certificates)))
	}
	for _, e := range s.KeyAuth {
		errs = append(errs, check("key-auth credential", e.ID, "consumer", &e.Consumer, in(s.consumers)))
	}
	for _, e := range s.BasicAuth {
		errs = append(errs, check("basic-auth credential", e.ID, "consumer", &e.Consumer, in(s.consumers)))
	}
	for _, e := range s.Plugins {
		errs = append(errs,
			check("plugin", e.ID, "service", e.Service, in(s.services)),
			check("plugin", e.ID, "route", e.Route, in(s.routes)),
			check("plugin", e.ID, "consumer", e.Consumer, in(s.consumers)))
	}
	return cmp.Or(errs...)
}

func in[T any](m map[string]T) func(string) bool {
	return func(id string) bool { _, ok := m[id]; return ok }
}

// Service finds a service by its id.
func (s *Snapshot) Service(id string) (*entity.Service, bool) { e, ok := s.services[id]; return e, ok }

// Route finds a route by its id.
func (s *Snapshot) Route(id string) (*entity.Route, bool) { e, ok := s.routes[id]; return e, ok }

// Upstream finds an upstream by its id.
func (s *Snapshot) Upstream(id string) (*entity.Upstream, bool) {
	e, ok := s.upstreams[id]
	return e, ok
}

// UpstreamNamed finds the upstream that a service's host names.
func (s *Snapshot) UpstreamNamed(name string) (*entity.Upstream, bool) {
	e, ok := s.upstreamNames[name]
	return e, ok
}

// Consumer finds a consumer by its id.
func (s *Snapshot) Consumer(id string) (*entity.Consumer, bool) {
	e, ok := s.consumers[id]
	return e, ok
}

// Certificate finds a certificate by its id.
func (s *Snapshot) Certificate(id string) (*entity.Certificate, bool) {
	e, ok := s.certificates[id]
	return e, ok
}

// CACertificate finds a CA certificate by its id.
func (s *Snapshot) CACertificate(id string) (*entity.CACertificate, bool) {
	e, ok := s.caCertificates[id]
	return e, ok
}

// hashOf digests the entities of a document by kind and id. Places in files take no part.
func hashOf(document *declarative.Document, pause func()) string {
	sum := sha256.New()
	var text []byte
	between := byte('{')
	for _, kind := range slices.Sorted(maps.Keys(document.Entities)) {
		entities := document.Entities[kind]
		if len(entities) == 0 {
			continue
		}
		text = append(strconv.AppendQuote(append(text, between), kind), ':')
		between = '['
		for _, i := range orderOf(entities) {
			pause()
			text = entity.AppendJSON(append(text, between), entities[i].Object)
			sum.Write(text)
			text, between = text[:0], ','
		}
		text = append(text, ']')
	}
	if between == '{' {
		text = append(text, between)
	}
	sum.Write(append(text, '}'))
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

// orderOf gives the places of entities in the order of their ids.
func orderOf(entities []declarative.Entity) []int {
	ids, order := make([]string, len(entities)), make([]int, len(entities))
	for i, e := range entities {
		ids[i], _ = e.Object["id"].(string)
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(strings.Compare(ids[a], ids[b]), a-b) })
	return order
}

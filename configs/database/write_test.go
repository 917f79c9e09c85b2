package database_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

func TestInsertRefuses(t *testing.T) {
	tests := []struct {
		name string
		kind string
		in   entity.Object
		id   int
		want error
	}{
		{"an id that is taken", "services", entity.Object{"host": "x"}, 1, &database.UniqueError{Kind: "services", Fields: entity.Object{"id": id(1)}}},
		{"a name that is taken", "services", entity.Object{"host": "x", "name": "first"}, 0xff, &database.UniqueError{Kind: "services", Fields: entity.Object{"name": "first"}}},
		{"a username", "consumers", entity.Object{"username": "bob"}, 0xff, &database.UniqueError{Kind: "consumers", Fields: entity.Object{"username": "bob"}}},
		{"a key", "keyauth_credentials", entity.Object{"key": "k-1", "consumer": ref(0x22)}, 0xff, &database.UniqueError{Kind: "keyauth_credentials", Fields: entity.Object{"key": "k-1"}}},
		{"a name of a certificate", "snis", entity.Object{"name": "a.example", "certificate": ref(0x82)}, 0xff, &database.UniqueError{Kind: "snis", Fields: entity.Object{"name": "a.example"}}},
		{
			"a target of the same upstream", "targets",
			entity.Object{"target": "10.0.0.1:80", "upstream": ref(0x51)},
			0xff,
			&database.UniqueError{Kind: "targets", Fields: entity.Object{"target": "10.0.0.1:80", "upstream": ref(0x51)}},
		},
		{
			"a global plugin", "plugins",
			entity.Object{"name": "opentelemetry"},
			0xff,
			&database.UniqueError{Kind: "plugins", Fields: entity.Object{"name": "opentelemetry", "route": nil, "service": nil, "consumer": nil}},
		},
		{
			"a plugin of a service", "plugins",
			entity.Object{"name": "opentelemetry", "service": ref(1)},
			0xff,
			&database.UniqueError{Kind: "plugins", Fields: entity.Object{"name": "opentelemetry", "route": nil, "service": ref(1), "consumer": nil}},
		},
		{
			"an instance_name", "plugins",
			entity.Object{"name": "key-auth", "instance_name": "ot"},
			0xff,
			&database.UniqueError{Kind: "plugins", Fields: entity.Object{"instance_name": "ot"}},
		},
		{
			"a reference to nothing", "routes",
			entity.Object{"paths": []any{"/"}, "service": ref(0xee)},
			0xff,
			&database.ReferenceError{Kind: "routes", Field: "service", ID: id(0xee)},
		},
		{
			"a reference to another kind", "services",
			entity.Object{"host": "x", "protocol": "https", "client_certificate": ref(1)},
			0xff,
			&database.ReferenceError{Kind: "services", Field: "client_certificate", ID: id(1)},
		},
	}
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		before, version, err := db.Document(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, tt := range tests {
			err := db.Insert(t.Context(), tt.kind, object(t, tt.kind, tt.id, tt.in))
			if diff := cmp.Diff(tt.want, err); diff != "" {
				t.Errorf("%s (-want +got):\n%s", tt.name, diff)
			}
		}
		after, last, err := db.Document(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(before, after); diff != "" || last != version {
			t.Errorf("what was refused has changed something, version %d → %d (-before +after):\n%s", version, last, diff)
		}
	})
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		secret := object(t, "keyauth_credentials", 0xff, entity.Object{"key": "k-1", "consumer": ref(0x21)})
		if err := db.Insert(t.Context(), "keyauth_credentials", secret); err == nil || strings.Contains(err.Error(), "k-1") {
			t.Errorf("got %v", err)
		}
	})
}

func TestInsertTakes(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		for i, in := range []seeded{
			{"services", entity.Object{"host": "without a name"}},
			{"services", entity.Object{"host": "without a name either"}},
			{"plugins", entity.Object{"name": "key-auth"}},
			{"plugins", entity.Object{"name": "key-auth", "service": ref(1)}},
			{"plugins", entity.Object{"name": "key-auth", "service": ref(1), "route": ref(0x11)}},
			{"plugins", entity.Object{"name": "opentelemetry", "consumer": ref(0x21)}},
			{"upstreams", entity.Object{"name": "other.example"}},
			{"targets", entity.Object{"target": "10.0.0.1:80", "upstream": ref(0xf6)}},
			{"routes", entity.Object{"name": "first", "paths": []any{"/"}}}, // a service has that name
			{"keyauth_credentials", entity.Object{"key": strings.Repeat("long", 10_000), "consumer": ref(0x21)}},
			{"keyauth_credentials", entity.Object{"key": "\x00\xff", "consumer": ref(0x21)}},
		} {
			o := in.object
			if kind, err := schemas.Of(in.kind); !err || kind == nil {
				t.Fatal(in.kind)
			}
			if host, _ := o["host"].(string); host != "" {
				o["host"] = "x.example"
			}
			o = object(t, in.kind, 0xf0+i, o)
			if err := db.Insert(t.Context(), in.kind, o); err != nil {
				t.Errorf("%s: %v", in.kind, err)
				continue
			}
			if key, ok := o["key"].(string); ok {
				found, err := db.Find(t.Context(), in.kind, "key", key)
				if err != nil || found == nil || found["id"] != o["id"] {
					t.Errorf("a key of %d bytes is not found again: %v", len(key), err)
				}
			}
		}
	})
}

func TestIDsInCapitals(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := b.fresh(t)(t)
		service := object(t, "services", 0xabc, entity.Object{"host": "x"})
		service["id"] = strings.ToUpper(id(0xabc))
		if err := db.Insert(t.Context(), "services", service); err != nil {
			t.Fatal(err)
		}
		route := object(t, "routes", 0xdef, entity.Object{"paths": []any{"/"}, "service": entity.Object{"id": strings.ToUpper(id(0xabc))}})
		if err := db.Insert(t.Context(), "routes", route); err != nil {
			t.Fatal(err)
		}
		got, err := db.Get(t.Context(), "services", strings.ToUpper(id(0xabc)))
		if err != nil || got == nil || got["id"] != id(0xabc) {
			t.Errorf("got service %v, %v", got, err)
		}
		routes, _, err := db.List(t.Context(), "routes", database.Query{Field: "service", ID: strings.ToUpper(id(0xabc))})
		if err != nil || len(routes) != 1 || cmp.Diff(ref(0xabc), routes[0]["service"]) != "" {
			t.Errorf("got routes %v, %v", routes, err)
		}
	})
}

func TestUpdate(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		// What was found under the old values is found under the new ones alone.
		var old entity.Object
		changed, err := db.Update(t.Context(), "services", id(1), func(o entity.Object) (entity.Object, error) {
			old = o
			return object(t, "services", 1, entity.Object{"name": "renamed", "host": "z.example", "tags": []any{"green"}}), nil
		})
		if err != nil || changed {
			t.Fatalf("got created %v, %v", changed, err)
		}
		if diff := cmp.Diff(want(t, "services", 1), old); diff != "" {
			t.Errorf("change was given (-want +got):\n%s", diff)
		}
		for name, there := range map[string]bool{"first": false, "renamed": true} {
			if got, err := db.Find(t.Context(), "services", "name", name); err != nil || (got != nil) != there {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
		if items, _, err := db.List(t.Context(), "services", database.Query{Tags: []string{"red", "green"}, AnyTag: true}); err != nil || len(items) != 2 {
			t.Errorf("got %v, %v by tags", items, err)
		}
		if routes, _, err := db.List(t.Context(), "routes", database.Query{Field: "service", ID: id(1)}); err != nil || len(routes) != 2 {
			t.Errorf("its routes are %v, %v", routes, err)
		}

		// An upsert of something new.
		made, err := db.Update(t.Context(), "services", id(0xff), func(o entity.Object) (entity.Object, error) {
			if o != nil {
				t.Errorf("change was given %v", o)
			}
			return object(t, "services", 0xff, entity.Object{"name": "first", "host": "new.example"}), nil
		})
		if err != nil || !made {
			t.Errorf("got created %v, %v", made, err)
		}

		refusals := []struct {
			name   string
			change func(entity.Object) (entity.Object, error)
			want   error
		}{
			{"change's own error", func(entity.Object) (entity.Object, error) { return nil, errOwn }, errOwn},
			{"a name that is taken", func(o entity.Object) (entity.Object, error) { o["name"] = "third"; return o, nil }, &database.UniqueError{Kind: "services", Fields: entity.Object{"name": "third"}}},
			{"a reference to nothing", func(o entity.Object) (entity.Object, error) { o["client_certificate"] = ref(0xee); return o, nil }, &database.ReferenceError{Kind: "services", Field: "client_certificate", ID: id(0xee)}},
		}
		for _, tt := range refusals {
			_, err := db.Update(t.Context(), "services", id(1), tt.change)
			if errors.Is(tt.want, errOwn) && err != errOwn || tt.want != errOwn && cmp.Diff(tt.want, err) != "" {
				t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
			}
		}
		if _, err := db.Update(t.Context(), "services", id(1), func(o entity.Object) (entity.Object, error) { o["id"] = id(2); return o, nil }); err == nil {
			t.Error("an id may change")
		}
		if got, err := db.Get(t.Context(), "services", id(1)); err != nil || got["name"] != "renamed" {
			t.Errorf("after refusals: got %v, %v", got, err)
		}
	})
}

var errOwn = errors.New("change's own")

func TestUpdateReadsWhileItWrites(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		var writers sync.WaitGroup
		for range 20 { // more than there are connections
			writers.Go(func() {
				_, err := db.Update(t.Context(), "services", id(1), func(o entity.Object) (entity.Object, error) {
					_, err := db.Find(t.Context(), "consumers", "username", "alice")
					return o, err
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		writers.Wait()
	})
}

func TestUpdatesDoNotOverwriteEachOther(t *testing.T) {
	const nodes, each1 = 2, 25
	each(t, func(t *testing.T, b backend) {
		open := b.fresh(t)
		first := open(t)
		upstream := object(t, "services", 1, entity.Object{"host": "x", "retries": float64(0)})
		if err := first.Insert(t.Context(), "services", upstream); err != nil {
			t.Fatal(err)
		}
		var writers sync.WaitGroup
		for range nodes {
			db := open(t)
			writers.Go(func() {
				for range each1 {
					_, err := db.Update(t.Context(), "services", id(1), func(o entity.Object) (entity.Object, error) {
						o["retries"] = o["retries"].(float64) + 1
						return o, nil
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		if got, err := first.Get(t.Context(), "services", id(1)); err != nil || got["retries"] != float64(nodes*each1) {
			t.Errorf("got %v, %v, want %d", got["retries"], err, nodes*each1)
		}
		if _, version, err := first.Document(t.Context()); err != nil || version != 1+1+nodes*each1 {
			t.Errorf("version is %d, %v, want one more for each change", version, err)
		}
	})
}

func TestDelete(t *testing.T) {
	tests := []struct {
		name string
		kind string
		n    int
		want error
		gone []seeded // kind and id
	}{
		{"a service with routes", "services", 1, &database.ReferencedError{Kind: "services", By: "routes", ID: id(0x11)}, nil},
		{"a certificate of a service", "certificates", 0x81, &database.ReferencedError{Kind: "certificates", By: "services", ID: id(2)}, nil},
		{"a CA certificate of a service", "ca_certificates", 0x90, &database.ReferencedError{Kind: "ca_certificates", By: "services", ID: id(2)}, nil},
		{"a route with a plugin", "routes", 0x11, nil, []seeded{{"routes", ref(0x11)}, {"plugins", ref(0x73)}}},
		{"a consumer with credentials", "consumers", 0x21, nil, []seeded{
			{"consumers", ref(0x21)}, {"keyauth_credentials", ref(0x31)}, {"keyauth_credentials", ref(0x32)}, {"basicauth_credentials", ref(0x41)},
		}},
		{"an upstream with targets", "upstreams", 0x51, nil, []seeded{{"upstreams", ref(0x51)}, {"targets", ref(0x61)}, {"targets", ref(0x62)}}},
		{"a service with plugins", "services", 3, nil, []seeded{{"services", ref(3)}}},
	}
	each(t, func(t *testing.T, b backend) {
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				db := filled(t, b)
				found, err := db.Delete(t.Context(), tt.kind, id(tt.n))
				if diff := cmp.Diff(tt.want, err); diff != "" {
					t.Fatalf("(-want +got):\n%s", diff)
				}
				if found != (tt.want == nil) {
					t.Errorf("found is %v", found)
				}
				gone := map[string]bool{}
				for _, g := range tt.gone {
					gone[g.kind+fmt.Sprint(g.object["id"])] = true
				}
				for _, s := range seed(t) {
					got, err := db.Get(t.Context(), s.kind, s.object["id"].(string))
					if err != nil {
						t.Fatal(err)
					}
					if (got == nil) != gone[s.kind+fmt.Sprint(s.object["id"])] {
						t.Errorf("%s %s: there is %v", s.kind, s.object["id"], got)
					}
				}
				again, err := db.Delete(t.Context(), tt.kind, id(tt.n))
				if tt.want == nil && (again || err != nil) {
					t.Errorf("a second time: %v, %v", again, err)
				}
			})
		}
	})
}

func TestDeletedValuesAreFreeAgain(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		if _, err := db.Delete(t.Context(), "consumers", id(0x21)); err != nil {
			t.Fatal(err)
		}
		for _, s := range seed(t) {
			if s.kind == "consumers" && s.object["id"] == id(0x21) || strings.HasSuffix(s.kind, "_credentials") {
				if err := db.Insert(t.Context(), s.kind, s.object); err != nil {
					t.Errorf("%s: %v", s.kind, err)
				}
			}
		}
		if items, _, err := db.Tagged(t.Context(), "blue", 0, ""); err != nil || len(items) != 3 {
			t.Errorf("got tags %v, %v", items, err)
		}
	})
}

func TestCertificateNames(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		names := func() map[string]string { // → certificate
			all, _, err := db.List(t.Context(), "snis", database.Query{})
			if err != nil {
				t.Fatal(err)
			}
			m := map[string]string{}
			for _, sni := range all {
				if sni["id"] == nil || sni["created_at"] == nil || sni["updated_at"] == nil {
					t.Errorf("an SNI without id or times: %v", sni)
				}
				m[sni["name"].(string)] = sni["certificate"].(entity.Object)["id"].(string)
			}
			return m
		}
		set := func(n int, snis any) error {
			_, err := db.Update(t.Context(), "certificates", id(n), func(o entity.Object) (entity.Object, error) {
				if snis == nil {
					delete(o, "snis")
				} else {
					o["snis"] = snis
				}
				return o, nil
			})
			return err
		}
		kept, err := db.Find(t.Context(), "snis", "name", "b.example")
		if err != nil {
			t.Fatal(err)
		}
		if err := set(0x81, []any{"c.example", "b.example"}); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"b.example": id(0x81), "c.example": id(0x81)}, names()); diff != "" {
			t.Errorf("after an update (-want +got):\n%s", diff)
		}
		if again, err := db.Find(t.Context(), "snis", "name", "b.example"); err != nil || cmp.Diff(kept, again) != "" {
			t.Errorf("an SNI that stays has changed: %v, %v", again, err)
		}
		if err := set(0x81, nil); err != nil || len(names()) != 2 {
			t.Errorf("an update that says nothing of names: %v, %v", names(), err)
		}
		var taken *database.UniqueError
		if err := set(0x82, []any{"c.example"}); !errors.As(err, &taken) || taken.Kind != "snis" {
			t.Errorf("the name of another certificate: %v", err)
		}
		if err := set(0x81, []any{}); err != nil || len(names()) != 0 {
			t.Errorf("without names: %v, %v", names(), err)
		}
		made := object(t, "certificates", 0x83, entity.Object{"cert": "C3", "key": "K3"})
		made["snis"] = []any{"z.example", "y.example"}
		if err := db.Insert(t.Context(), "certificates", made); err != nil {
			t.Fatal(err)
		}
		if got, err := db.Get(t.Context(), "certificates", id(0x83)); err != nil || cmp.Diff([]any{"y.example", "z.example"}, got["snis"]) != "" {
			t.Errorf("got %v, %v", got["snis"], err)
		}
		if _, err := db.Delete(t.Context(), "certificates", id(0x83)); err != nil || len(names()) != 0 {
			t.Errorf("after a delete: %v, %v", names(), err)
		}
	})
}

func TestTimeToLive(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		short := object(t, "keyauth_credentials", 0xa1, entity.Object{"key": "short", "consumer": ref(0x21), "ttl": float64(1), "tags": []any{"brief"}})
		long := object(t, "keyauth_credentials", 0xa2, entity.Object{"key": "long", "consumer": ref(0x21), "ttl": float64(1000)})
		long["created_at"] = float64(time.Now().Unix())
		for _, o := range []entity.Object{short, long} {
			if err := db.Insert(t.Context(), "keyauth_credentials", o); err != nil {
				t.Fatal(err)
			}
		}
		got, err := db.Find(t.Context(), "keyauth_credentials", "key", "long")
		if err != nil {
			t.Fatal(err)
		}
		if left, _ := got["ttl"].(float64); left < 900 || left > 1000 {
			t.Errorf("%v seconds are left of 1000", got["ttl"])
		}
		document, _, err := db.Document(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range document.Objects("keyauth_credentials") {
			if ttl, _ := o["ttl"].(float64); o["key"] == "long" && (ttl < 1000 || ttl > 1002) {
				t.Errorf("in the document: ttl is %v", o["ttl"])
			}
		}
		eventually(t, "the credential to be gone", func() bool {
			got, err := db.Find(t.Context(), "keyauth_credentials", "key", "short")
			return err == nil && got == nil
		})
		if items, _, err := db.Tagged(t.Context(), "brief", 0, ""); err != nil || len(items) != 0 {
			t.Errorf("its tags are %v, %v", items, err)
		}
		if err := db.Insert(t.Context(), "keyauth_credentials", object(t, "keyauth_credentials", 0xa3, entity.Object{"key": "short", "consumer": ref(0x21)})); err != nil {
			t.Errorf("its key is not free: %v", err)
		}
	})
}

func TestPluginsOfOtherPrograms(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := b.fresh(t)(t)
		plugin := object(t, "plugins", 1, entity.Object{"name": "key-auth"})
		plugin["name"] = "of-a-newer-program"
		if err := db.Insert(t.Context(), "plugins", plugin); err != nil {
			t.Fatal(err)
		}
		document, _, err := db.Document(t.Context())
		if err != nil || len(document.Entities["plugins"]) != 0 || len(document.Others["plugins"]) != 1 {
			t.Errorf("got %v, %v", document, err)
		}
	})
}

func TestFieldsOfOtherPrograms(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := b.fresh(t)(t)
		// As a program wrote it that knew fewer fields.
		err := db.Insert(t.Context(), "services", entity.Object{"id": id(1), "host": "x", "created_at": float64(1), "updated_at": float64(1)})
		if err != nil {
			t.Fatal(err)
		}
		got, err := db.Get(t.Context(), "services", id(1))
		if err != nil || got["enabled"] != true || got["retries"] != float64(5) {
			t.Errorf("got %v, %v, want today's defaults", got, err)
		}
		document, _, err := db.Document(t.Context())
		if err != nil || document.Objects("services")[0]["enabled"] != true {
			t.Errorf("got %v, %v, want today's defaults", document, err)
		}
	})
}

func TestContextEnds(t *testing.T) {
	each(t, func(t *testing.T, b backend) {
		db := filled(t, b)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := db.Get(ctx, "services", id(1)); !errors.Is(err, context.Canceled) || errors.Is(err, database.ErrUnreachable) {
			t.Errorf("get: %v", err)
		}
		if err := db.Insert(ctx, "consumers", object(t, "consumers", 0xff, entity.Object{"username": "x"})); !errors.Is(err, context.Canceled) {
			t.Errorf("insert: %v", err)
		}
		if _, _, err := db.Document(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("document: %v", err)
		}
	})
}

func TestMemoryIsReadOnly(t *testing.T) {
	db := database.NewMemory(seedDocument(t), schemas)
	if err := db.Insert(t.Context(), "services", entity.Object{}); !errors.Is(err, database.ErrReadOnly) {
		t.Errorf("insert: %v", err)
	}
	_, err := db.Update(t.Context(), "services", id(1), func(entity.Object) (entity.Object, error) {
		t.Error("change was called")
		return nil, nil
	})
	if !errors.Is(err, database.ErrReadOnly) {
		t.Errorf("update: %v", err)
	}
	if _, err := db.Delete(t.Context(), "services", id(1)); !errors.Is(err, database.ErrReadOnly) {
		t.Errorf("delete: %v", err)
	}
	before := db.System()
	db.Replace(&declarative.Document{})
	if got, err := db.Get(t.Context(), "services", id(1)); got != nil || err != nil || before != "" {
		t.Errorf("after Replace: %v, %v", got, err)
	}
}

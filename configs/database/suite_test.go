package database_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sidekong/configs/database"
	"sidekong/configs/declarative"
	"sidekong/configs/entity"
)

// backend is one of the databases that the tests run against.
type backend struct {
	name string
	// fresh makes an empty database and gives what opens it, as often as it is called.
	fresh func(t testing.TB) (open func(t testing.TB) database.DB)
	// child gives what a child process needs to open the same database: an argument for childOpen.
	child func(t testing.TB) (argument string, open func(t testing.TB) database.DB)
}

var backends = []backend{{name: "sqlite", fresh: freshSQLite, child: childSQLite}}

// childOpen opens a database by the argument of its backend's child.
var childOpen = map[string]func(argument string) (database.DB, error){
	"sqlite": func(path string) (database.DB, error) {
		return database.OpenSQLite(context.Background(), path, schemas)
	},
}

// runTests is replaced where the tests need a server beside them.
var runTests = (*testing.M).Run

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "write-until-killed" {
		writeUntilKilled(os.Args[2], os.Args[3])
	}
	os.Exit(runTests(m))
}

func freshSQLite(t testing.TB) func(testing.TB) database.DB {
	_, open := childSQLite(t)
	return open
}

func childSQLite(t testing.TB) (string, func(testing.TB) database.DB) {
	path := filepath.Join(t.TempDir(), "a folder", "100% ?#.db")
	if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	return path, func(t testing.TB) database.DB {
		t.Helper()
		db, err := database.OpenSQLite(t.Context(), path, schemas)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		return db
	}
}

// each runs a test against every database.
func each(t *testing.T, test func(t *testing.T, b backend)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) { test(t, b) })
	}
}

var text = &entity.Field{Type: entity.String}

var schemas = entity.NewSchemas(map[string]*entity.Record{
	"opentelemetry": {Fields: []entity.Field{
		{Name: "traces_endpoint", Type: entity.String},
		{Name: "headers", Type: entity.Map, Keys: text, Values: text},
		{Name: "batch", Type: entity.Integer, Default: 200},
	}},
	"key-auth": {},
})

const created = 1700000000

// id gives ids whose order is that of n.
func id(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012x", n) }

// ref is a reference to id(n).
func ref(n int) entity.Object { return entity.Object{"id": id(n)} }

// object is what the Admin API would hand over: checked, with an id and times.
func object(t testing.TB, kind string, n int, in entity.Object) entity.Object {
	t.Helper()
	schema, ok := schemas.Of(kind)
	if !ok {
		t.Fatalf("no schema of %s", kind)
	}
	in["id"] = id(n)
	if kind == "certificates" || kind == "ca_certificates" { // whose content the database does not look at
		schema.Complete(in)
	} else {
		checked, err := schema.Insert(in)
		if err != nil {
			t.Fatal(err)
		}
		in = checked
	}
	in["created_at"] = float64(created)
	if kind != "keyauth_credentials" && kind != "basicauth_credentials" {
		in["updated_at"] = float64(created)
	}
	return in
}

// seeded is an entity of the configuration that tests begin with.
type seeded struct {
	kind   string
	object entity.Object
}

// seed is a configuration with something of every kind, in an order in which it can be inserted.
func seed(t testing.TB) []seeded {
	var all []seeded
	add := func(kind string, n int, in entity.Object) {
		all = append(all, seeded{kind, object(t, kind, n, in)})
	}
	add("ca_certificates", 0x90, entity.Object{"cert": "an authority", "cert_digest": "d1"})
	add("certificates", 0x81, entity.Object{"cert": "C1", "key": "K1", "snis": []any{}, "tags": []any{"red"}})
	add("certificates", 0x82, entity.Object{"cert": "C2", "key": "K2", "snis": []any{}})
	add("snis", 0x86, entity.Object{"name": "b.example", "certificate": ref(0x81)})
	add("snis", 0x87, entity.Object{"name": "a.example", "certificate": ref(0x81)})
	add("services", 0x03, entity.Object{"name": "third", "host": "c.example", "tags": []any{"red", "blue", "é"}})
	add("services", 0x01, entity.Object{"name": "first", "host": "a.example", "tags": []any{"red"}})
	add("services", 0x02, entity.Object{
		"host": "b.example", "protocol": "https", "client_certificate": ref(0x81), "ca_certificates": []any{id(0x90)},
	})
	add("routes", 0x11, entity.Object{"name": "r1", "paths": []any{"/1"}, "service": ref(0x01)})
	add("routes", 0x12, entity.Object{"name": "r2", "paths": []any{"/2"}, "service": ref(0x01), "tags": []any{"blue"}})
	add("routes", 0x13, entity.Object{"name": "r3", "paths": []any{"/3"}})
	add("consumers", 0x21, entity.Object{"username": "alice", "custom_id": "c-1", "tags": []any{"red"}})
	add("consumers", 0x22, entity.Object{"username": "bob"})
	add("keyauth_credentials", 0x31, entity.Object{"key": "k-1", "consumer": ref(0x21)})
	add("keyauth_credentials", 0x32, entity.Object{"key": "k-2", "consumer": ref(0x21), "tags": []any{"blue"}})
	add("basicauth_credentials", 0x41, entity.Object{"username": "al", "password": "p", "consumer": ref(0x21)})
	add("upstreams", 0x51, entity.Object{"name": "up.example"})
	add("targets", 0x61, entity.Object{"target": "10.0.0.1:80", "upstream": ref(0x51)})
	add("targets", 0x62, entity.Object{"target": "10.0.0.2:80", "upstream": ref(0x51)})
	add("plugins", 0x71, entity.Object{"name": "opentelemetry", "config": entity.Object{"traces_endpoint": "http://c:4318"}})
	add("plugins", 0x72, entity.Object{"name": "opentelemetry", "instance_name": "ot", "service": ref(0x01)})
	add("plugins", 0x73, entity.Object{"name": "key-auth", "route": ref(0x11)})
	return all
}

// filled opens an empty database and inserts the seed.
func filled(t testing.TB, b backend) database.DB {
	t.Helper()
	db := b.fresh(t)(t)
	for _, s := range seed(t) {
		if err := db.Insert(t.Context(), s.kind, s.object); err != nil {
			t.Fatalf("insert %s: %v", s.kind, err)
		}
	}
	return db
}

// seedDocument is the seed as files would have given it.
func seedDocument(t testing.TB) *declarative.Document {
	document := &declarative.Document{Entities: map[string][]declarative.Entity{}}
	for _, s := range seed(t) {
		document.Entities[s.kind] = append(document.Entities[s.kind], declarative.Entity{Object: s.object})
	}
	return document
}

// eventually waits until what is asked for is so.
func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !so() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

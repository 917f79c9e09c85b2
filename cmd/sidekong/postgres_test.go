//go:build postgres

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"testing"
	"time"

	"sidekong/internal/collector"
	"sidekong/internal/postgres"
)

func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }

// TestTwoSidecars: what one is told, the other does within a second; a database that goes away stops neither.
func TestTwoSidecars(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "hello") }))
	defer backend.Close()
	receiver := collector.Start(t)
	db := postgres.Database(t)
	one := func() *controlled {
		return startControlled(t, "KONG_PREFIX="+t.TempDir(), "KONG_DATABASE=postgres", "KONG_PG_HOST="+db.Host, "KONG_PG_PORT="+strconv.Itoa(db.Port),
			"KONG_PG_USER="+db.User, "KONG_PG_PASSWORD="+db.Password, "KONG_PG_DATABASE="+db.Database)
	}
	a, b := one(), one()
	a.must("POST", "/services", "name=hello&url="+backend.URL, http.StatusCreated)
	a.must("POST", "/services/hello/routes", "paths[]=/hello", http.StatusCreated)
	status, plugin := a.call("POST", "/plugins/", "application/json",
		`{"name":"opentelemetry","config":{"traces_endpoint":"`+receiver.URL()+`","resource_attributes":{"service.name":"kong-dev"}}}`)
	if status != http.StatusCreated {
		t.Fatalf("POST /plugins: %d %v", status, plugin)
	}
	written := time.Now()
	b.eventually("the other serves it", func() bool { res, _ := b.get("/hello"); return res.StatusCode == http.StatusOK })
	if took := time.Since(written); took > time.Second {
		t.Errorf("the other served it after %v", took)
	}
	b.eventually("the other exports", func() bool { b.get("/hello"); return len(receiver.Spans()) > 0 })
	if name := receiver.Spans()[0].Resource["service.name"]; name != "kong-dev" {
		t.Errorf("service.name: %v", name)
	}

	// Nobody gets in any more, and those who are in are put out.
	aside := db
	aside.Database = "postgres"
	aside.Exec(t, fmt.Sprintf("ALTER DATABASE %q ALLOW_CONNECTIONS false", db.Database))
	aside.Exec(t, fmt.Sprintf("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s' AND pid <> pg_backend_pid()", db.Database))
	a.eventually("the outage is on /status", func() bool {
		reachable, _ := a.statusJSON()["database"].(map[string]any)["reachable"].(bool)
		return !reachable
	})
	if res, body := a.get("/hello"); res.StatusCode != http.StatusOK || body != "hello" {
		t.Errorf("without its database: %d %q", res.StatusCode, body)
	}
	if status, body := a.call("POST", "/services", "application/json", `{"host":"x.test"}`); status != http.StatusServiceUnavailable {
		t.Errorf("a write without the database: %d %v", status, body)
	}
	aside.Exec(t, fmt.Sprintf("ALTER DATABASE %q ALLOW_CONNECTIONS true", db.Database))
	db.Exec(t, "SELECT 1")
	a.eventually("a write succeeds again", func() bool {
		status, _ := a.call("POST", "/services/hello/routes", "application/x-www-form-urlencoded", "name=again&paths[]=/again")
		return status == http.StatusCreated
	})
	b.eventually("the other catches up", func() bool { res, _ := b.get("/again"); return res.StatusCode == http.StatusOK })
}

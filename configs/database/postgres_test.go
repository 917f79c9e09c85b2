//go:build postgres

package database_test

import (
	"context"
	"encoding/json"
	"testing"

	"sidekong/configs/database"
	"sidekong/internal/postgres"
)

func init() {
	runTests = postgres.Main
	backends = append(backends, backend{name: "postgres", fresh: freshPostgres, child: childPostgres})
	childOpen["postgres"] = func(argument string) (database.DB, error) {
		var o database.PostgresOptions
		if err := json.Unmarshal([]byte(argument), &o); err != nil {
			return nil, err
		}
		return database.OpenPostgres(context.Background(), o, schemas)
	}
}

func options(s postgres.Server) database.PostgresOptions {
	return database.PostgresOptions{Host: s.Host, Port: s.Port, User: s.User, Password: s.Password, Database: s.Database}
}

func openPostgres(t testing.TB, o database.PostgresOptions) database.DB {
	t.Helper()
	db, err := database.OpenPostgres(t.Context(), o, schemas)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func freshPostgres(t testing.TB) func(testing.TB) database.DB {
	o := options(postgres.Database(t))
	return func(t testing.TB) database.DB { return openPostgres(t, o) }
}

func childPostgres(t testing.TB) (string, func(testing.TB) database.DB) {
	o := options(postgres.Database(t))
	argument, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	return string(argument), func(t testing.TB) database.DB { return openPostgres(t, o) }
}

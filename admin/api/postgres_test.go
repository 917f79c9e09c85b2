//go:build postgres

package api_test

import (
	"testing"

	"sidekong/configs/database"
	"sidekong/configs/entity"
	"sidekong/internal/postgres"
)

func init() {
	runTests = postgres.Main
	openers["postgres"] = openPostgres
	preferred = openPostgres
}

func openPostgres(t *testing.T, schemas *entity.Schemas) database.DB {
	t.Helper()
	s := postgres.Database(t)
	db, err := database.OpenPostgres(t.Context(), database.PostgresOptions{
		Host: s.Host, Port: s.Port, User: s.User, Password: s.Password, Database: s.Database,
	}, schemas)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

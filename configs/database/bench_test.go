package database_test

import (
	"fmt"
	"testing"

	"sidekong/configs/database"
	"sidekong/configs/entity"
)

// BenchmarkDocument reads a configuration of 5,000 routes, as every change of it does.
func BenchmarkDocument(b *testing.B) {
	const routes = 5000
	for _, backend := range backends {
		b.Run(backend.name, func(b *testing.B) {
			db := filled(b, backend)
			for n := range routes {
				route := object(b, "routes", 1000+n, entity.Object{
					"name": fmt.Sprint("route-", n), "paths": []any{fmt.Sprint("/route/", n)}, "service": ref(1), "tags": []any{"many"},
				})
				if err := db.Insert(b.Context(), "routes", route); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				document, _, err := db.Document(b.Context())
				if err != nil || len(document.Entities["routes"]) < routes {
					b.Fatal(len(document.Entities["routes"]), err)
				}
			}
		})
	}
}

// BenchmarkInsert writes one entity with a unique value and a tag.
func BenchmarkInsert(b *testing.B) {
	for _, backend := range backends {
		b.Run(backend.name, func(b *testing.B) {
			db := backend.fresh(b)(b)
			n := 0
			for b.Loop() {
				n++
				if err := db.Insert(b.Context(), "consumers", consumer(b, n)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCredentials is what a request with a known key costs, and one with a key that is asked for anew.
func BenchmarkCredentials(b *testing.B) {
	for _, backend := range backends {
		db := filled(b, backend)
		c := database.NewCredentials(db, database.CredentialsOptions{})
		b.Run(backend.name+"/remembered", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if got, err := c.KeyAuth(b.Context(), "k-1"); got == nil || err != nil {
					b.Fatal(got, err)
				}
			}
		})
		b.Run(backend.name+"/asked", func(b *testing.B) {
			for b.Loop() {
				c.Invalidate()
				if got, err := c.KeyAuth(b.Context(), "k-1"); got == nil || err != nil {
					b.Fatal(got, err)
				}
			}
		})
	}
}

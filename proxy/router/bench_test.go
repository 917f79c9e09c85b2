package router

import (
	"fmt"
	"net/http"
	"testing"

	"sidekong/configs/entity"
)

// BenchmarkMatch looks up the route in the middle, by kind of route and size of the table.
func BenchmarkMatch(b *testing.B) {
	kinds := []struct {
		name  string
		route func(i int) entity.Route
		req   func(i int) Request
	}{
		{
			"prefix",
			func(i int) entity.Route { return entity.Route{Paths: []string{fmt.Sprintf("/api/v1/service-%d", i)}} },
			func(i int) Request { return Request{Path: fmt.Sprintf("/api/v1/service-%d/items/7", i)} },
		},
		{
			"host",
			func(i int) entity.Route {
				return entity.Route{Hosts: []string{fmt.Sprintf("tenant-%d.example.test", i)}}
			},
			func(i int) Request { return Request{Path: "/items/7", Host: fmt.Sprintf("tenant-%d.example.test", i)} },
		},
		{
			"wildcard",
			func(i int) entity.Route { return entity.Route{Hosts: []string{fmt.Sprintf("*.tenant-%d.test", i)}} },
			func(i int) Request { return Request{Path: "/items/7", Host: fmt.Sprintf("www.tenant-%d.test", i)} },
		},
		{
			"host×path",
			func(i int) entity.Route {
				return entity.Route{
					Hosts: []string{fmt.Sprintf("tenant-%d.example.test", i/10)},
					Paths: []string{fmt.Sprintf("/service-%d", i%10)},
				}
			},
			func(i int) Request {
				return Request{
					Path: fmt.Sprintf("/service-%d/items/7", i%10),
					Host: fmt.Sprintf("tenant-%d.example.test", i/10),
				}
			},
		},
		{
			"regex",
			func(i int) entity.Route { return entity.Route{Paths: []string{fmt.Sprintf(`~/service-%d/\d+$`, i)}} },
			func(i int) Request { return Request{Path: fmt.Sprintf("/service-%d/7", i)} },
		},
		{
			"regex, literal end",
			func(i int) entity.Route {
				return entity.Route{Paths: []string{fmt.Sprintf(`~/users/[^/]+/kind-%d$`, i)}}
			},
			func(i int) Request { return Request{Path: fmt.Sprintf("/users/joe/kind-%d", i)} },
		},
		{
			"regex, open end",
			func(i int) entity.Route {
				return entity.Route{Paths: []string{fmt.Sprintf(`~/users/[^/]+/kind-%d/`, i)}}
			},
			func(i int) Request { return Request{Path: fmt.Sprintf("/users/joe/kind-%d/", i)} },
		},
		{
			"header",
			func(i int) entity.Route {
				return entity.Route{Paths: []string{"/api"}, Headers: map[string][]string{"x-tenant": {fmt.Sprintf("t%d", i)}}}
			},
			func(i int) Request {
				return Request{Path: "/api/items/7", Header: http.Header{
					"Accept": {"*/*"}, "User-Agent": {"curl/8.0"}, "X-Tenant": {fmt.Sprintf("T%d", i)},
				}}
			},
		},
	}
	for _, kind := range kinds {
		for _, size := range []int{10, 100, 1000, 10_000} {
			entries := make([]Entry, size)
			for i := range entries {
				route := kind.route(i)
				route.ID = fmt.Sprintf("%08d", i)
				entries[i].Route = &route
			}
			router, faulty := Compile(entries, nil)
			if faulty != nil {
				b.Fatal(faulty)
			}
			req := kind.req(size / 2)
			req.Method, req.Scheme, req.Port = "GET", "http", 8000
			b.Run(fmt.Sprintf("%s/%d", kind.name, size), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if m, ok := router.Match(&req); !ok || m.Route != entries[size/2].Route {
						b.Fatalf("%+v, %v", m.Route, ok)
					}
				}
			})
		}
	}
}

func BenchmarkNormalize(b *testing.B) {
	for _, target := range []string{"/api/v1/users/7/orders?limit=10", "/api/%41/../caf%C3%A9//x?limit=10"} {
		b.Run(target, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Normalize(target)
			}
		})
	}
}

func BenchmarkRefuse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Refuse("GET", "/api/v1/users/7/orders?limit=10", "www.example.test:8000", true)
	}
}

func BenchmarkCompile(b *testing.B) {
	entries := make([]Entry, 1000)
	for i := range entries {
		entries[i].Route = &entity.Route{
			Meta:  entity.Meta{ID: fmt.Sprint(i)},
			Paths: []string{fmt.Sprintf("/service-%d", i), fmt.Sprintf(`~/service-%d/\d+$`, i)},
		}
	}
	for b.Loop() {
		if _, faulty := Compile(entries, nil); faulty != nil {
			b.Fatal(faulty)
		}
	}
}

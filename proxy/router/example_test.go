package router_test

import (
	"fmt"

	"sidekong/configs/entity"
	"sidekong/proxy/router"
)

func Example() {
	r, faulty := router.Compile([]router.Entry{{
		Route:   &entity.Route{Name: "users", Paths: []string{`~/users/(?<id>\d+)`}, StripPath: true},
		Service: &entity.Service{Enabled: true, Protocol: "http", Host: "users.internal", Port: 8080, Path: "/v1"},
	}}, nil)
	if faulty != nil {
		fmt.Println(faulty)
		return
	}
	method, host, target := "GET", "www.example.test", "/users//7/orders?limit=10"
	if status := router.Refuse(method, target, host, true); status != 0 {
		fmt.Println(status)
		return
	}
	path, query, _, _ := router.Normalize(target)
	m, ok := r.Match(&router.Request{
		Method: method, Scheme: "http", Host: host, Target: target, Path: path, Port: 8000,
	})
	fmt.Println(ok, m.Route.Name, m.Path, m.Captures["id"])
	fmt.Println(m.UpstreamHost(host), m.UpstreamPath(), query, m.ForwardedPrefix())
	// Output:
	// true users ~/users/(?<id>\d+) 7
	// users.internal:8080 /v1/orders limit=10 /users/7
}

package main

import (
	"fmt"
	"strings"
)

// steps are Sidekong with more and more to do, after the yardstick.
func steps() []peer {
	return []peer{
		bare,
		sidekong("no plugin", 0, "routing and forwarding; tracing_instrumentations = off", "off", 1, plainYAML),
		sidekong("unsampled", 0, "trace context in and out, sampling rate 0", "all", 0, tracedYAML),
		sidekong("request", 1, "the root span alone", "request", 1, tracedYAML),
		sidekong("all", 9, "every span", "all", 1, tracedYAML),
		sidekong("all with the page", 9, "every span, kept for the page as well", "all", 1, tracedYAML, "admin_gui_listen=127.0.0.1:0"),
		sidekong("all with capture", 9, "every span, with the headers and bodies of both directions", "all", 1, captureYAML),
		sidekong("all with capture of JSON", 9, "the same, where the answer is JSON of 45 members", "all", 1, captureJSONYAML),
		sidekong("all with 5000 routes", 9, "with 4,999 further routes", "all", 1, routesYAML),
		sidekong("all with 100 targets", 9, "an upstream with 100 targets", "all", 1, targetsYAML),
	}
}

// routesYAML is tracedYAML among many other routes.
func routesYAML(s site) string {
	var b strings.Builder
	b.WriteString(plainYAML(s))
	for i := range 4999 {
		fmt.Fprintf(&b, "  - {name: other-%d, paths: [/other/%d/things]}\n", i, i)
	}
	b.WriteString(tracing(s))
	return b.String()
}

// captureYAML records what requests and answers hold.
func captureYAML(s site) string { return tracedYAML(s) + "- name: sidekong-capture\n" }

// captureJSONYAML is captureYAML with another answer.
func captureJSONYAML(s site) string {
	_, port, _ := strings.Cut(s.backend, ":")
	s.backend = fmt.Sprintf("127.0.0.%d:%s", jsonAddress, port)
	return captureYAML(s)
}

// targetsYAML sends to the backend by way of an upstream whose targets are all its addresses.
func targetsYAML(s site) string {
	_, port, _ := strings.Cut(s.backend, ":")
	var b strings.Builder
	fmt.Fprintf(&b, `_format_version: "3.0"
services:
- name: backend
  host: many
  routes:
  - {name: bench, paths: [/bench], strip_path: false}
upstreams:
- name: many
  targets:
`)
	for i := range targets {
		fmt.Fprintf(&b, "  - {target: \"127.0.0.%d:%s\"}\n", i+1, port)
	}
	b.WriteString(tracing(s))
	return b.String()
}

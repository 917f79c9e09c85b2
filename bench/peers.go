package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// peer is something to measure.
type peer struct {
	name  string
	spans int // per request
	note  string

	// The program: one that is installed, or a main package of a module of ours to be built.
	installed    string
	module, path string

	// command says how to start the program at s.
	command func(program string, s site) (command, error)
}

// command is a program's command line and what it needs in its environment.
type command struct {
	args []string
	env  []string
}

// site is where a peer stands: who it listens to, who it sends to, and a folder of its own.
type site struct {
	port          int
	backend, sink string // host:port
	folder        string
	single        bool // one process, one thread where there is a choice: valgrind counts one process
}

func (s site) address() string { return fmt.Sprintf("127.0.0.1:%d", s.port) }

// write makes a file in the site's folder.
func (s site) write(name, content string) (string, error) {
	path := filepath.Join(s.folder, name)
	return path, os.WriteFile(path, []byte(content), 0o600)
}

// program finds or builds the peer's program.
func (p peer) program(ctx context.Context, folder string) (string, error) {
	if p.installed != "" {
		return exec.LookPath(p.installed)
	}
	path := filepath.Join(folder, filepath.Base(filepath.Join(p.module, p.path)))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, build(ctx, p.module, p.path, path)
}

// build builds a program that needs no library of the machine that it runs on.
func build(ctx context.Context, module, path, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, path)
	cmd.Dir, cmd.Env = module, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w: %s", err, tail(string(out)))
	}
	return nil
}

// peers are all, the yardstick first.
func peers() []peer {
	return []peer{
		bare,
		sidekong("sidekong off", 0, "no plugin, tracing_instrumentations = off", "off", 1, plainYAML),
		sidekong("sidekong unsampled", 0, "tracing_instrumentations = all, tracing_sampling_rate = 0", "all", 0, tracedYAML),
		sidekong("sidekong all", 9, "tracing_instrumentations = all, all else as it is by default", "all", 1, tracedYAML),
		stock("otelhttp", 2, "otelhttp around handler and transport, SDK defaults"),
		stock("sdk", 7, "the spans of Kong by the OpenTelemetry SDK, its defaults"),
		caddy, traefik, nginx, haproxy,
	}
}

var bare = peer{
	name: "bare", note: "httputil.ReverseProxy with a tuned transport, no tracing: the yardstick",
	module: ".", path: "./bench/peers/bare",
	command: func(program string, s site) (command, error) {
		return command{args: []string{program, "-listen", s.address(), "-upstream", "http://" + s.backend}}, nil
	},
}

// stock is the yardstick with tracing by OpenTelemetry's libraries.
func stock(name string, spans int, note string) peer {
	return peer{
		name: name, spans: spans, note: note, module: "bench/peers/stock", path: "./" + name,
		command: func(program string, s site) (command, error) {
			return command{args: []string{
				program, "-listen", s.address(), "-upstream", "http://" + s.backend, "-otlp", "http://" + s.sink + "/v1/traces",
			}}, nil
		},
	}
}

// sidekong runs ours with what yaml makes of a site.
func sidekong(name string, spans int, note, instrumentations string, rate float64, yaml func(site) string, more ...string) peer {
	return peer{
		name: name, spans: spans, note: note, module: ".", path: "./cmd/sidekong",
		command: func(program string, s site) (command, error) {
			file, err := s.write("kong.yaml", yaml(s))
			args := []string{
				program, "run",
				"--proxy-listen", s.address(), "--status-listen", "off", "--log-level", "error", "--declarative-config", file,
				"--set", "tracing_instrumentations=" + instrumentations, "--set", "prefix=" + s.folder,
				"--tracing-sampling-rate", fmt.Sprint(rate), "--set", "admin_listen=off", "--set", "admin_gui_listen=off",
			}
			for _, setting := range more {
				args = append(args, "--set", setting)
			}
			return command{args: args}, err
		},
	}
}

// plainYAML is one route to the backend and no plugin.
func plainYAML(s site) string {
	return fmt.Sprintf(`_format_version: "3.0"
services:
- name: backend
  url: http://%s
  routes:
  - name: bench
    paths: [/bench]
    strip_path: false
`, s.backend)
}

// tracedYAML adds Kong's opentelemetry plugin.
func tracedYAML(s site) string { return plainYAML(s) + tracing(s) }

func tracing(s site) string {
	return fmt.Sprintf("plugins:\n- name: opentelemetry\n  config: {traces_endpoint: \"http://%s/v1/traces\"}\n", s.sink)
}

var caddy = peer{
	name: "caddy", spans: 1, note: "`tracing` and `reverse_proxy`", module: "bench/peers/caddy", path: ".",
	command: func(program string, s site) (command, error) {
		file, err := s.write("caddy.json", fmt.Sprintf(`{"admin": {"disabled": true},
"logging": {"logs": {"default": {"level": "ERROR"}}},
"apps": {"http": {"servers": {"bench": {
	"listen": ["%s"], "automatic_https": {"disable": true},
	"routes": [{"handle": [{"handler": "tracing", "span": "proxy"},
		{"handler": "reverse_proxy", "upstreams": [{"dial": "%s"}]}]}]}}}}}`, s.address(), s.backend))
		return command{
			args: []string{program, "run", "--config", file},
			env: []string{
				"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + s.sink, "OTEL_EXPORTER_OTLP_INSECURE=true",
				"XDG_DATA_HOME=" + s.folder, "XDG_CONFIG_HOME=" + s.folder,
			},
		}, err
	},
}

var traefik = peer{
	name: "traefik", spans: 2, note: "OTLP/HTTP, minimal trace verbosity",
	module: "bench/peers/traefik", path: "github.com/traefik/traefik/v3/cmd/traefik",
	command: func(program string, s site) (command, error) {
		file, err := s.write("dynamic.yaml", fmt.Sprintf(`http:
  routers:
    bench: {rule: "PathPrefix(`+"`/bench`"+`)", service: backend, entryPoints: [web]}
  services:
    backend: {loadBalancer: {servers: [{url: "http://%s"}]}}
`, s.backend))
		return command{args: []string{
			program, "--entrypoints.web.address=" + s.address(), "--providers.file.filename=" + file, "--providers.file.watch=false",
			"--tracing.otlp.http.endpoint=http://" + s.sink + "/v1/traces", "--tracing.samplerate=1",
			"--log.level=ERROR", "--global.checknewversion=false", "--global.sendanonymoususage=false",
		}}, err
	},
}

// nginxWorkers is what differs between a load and a count.
var nginxWorkers = map[bool]string{false: "worker_processes 2;", true: "master_process off;"}

var nginx = peer{
	name: "nginx", note: "no tracing: Debian has no OpenTelemetry module", installed: "nginx",
	command: func(program string, s site) (command, error) {
		file, err := s.write("nginx.conf", fmt.Sprintf(`daemon off; %s
pid %[2]s/nginx.pid; error_log stderr error;
events { worker_connections 2048; }
http {
	access_log off; keepalive_requests 100000000;
	client_body_temp_path %[2]s; proxy_temp_path %[2]s; fastcgi_temp_path %[2]s; uwsgi_temp_path %[2]s; scgi_temp_path %[2]s;
	upstream backend { server %[3]s; keepalive 256; keepalive_requests 100000000; }
	server {
		listen %[4]s;
		location / {
			proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection "";
			proxy_set_header Host $host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Forwarded-Proto $scheme;
		}
	}
}
`, nginxWorkers[s.single], s.folder, s.backend, s.address()))
		return command{args: []string{program, "-c", file, "-p", s.folder}}, err
	},
}

var haproxy = peer{
	name: "haproxy", note: "no tracing", installed: "haproxy",
	command: func(program string, s site) (command, error) {
		threads := 2
		if s.single {
			threads = 1
		}
		file, err := s.write("haproxy.cfg", fmt.Sprintf(`global
	nbthread %d
	maxconn 4096
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	http-reuse always
	option forwardfor
frontend bench
	bind %s
	default_backend backend
backend backend
	server backend %s
`, threads, s.address(), s.backend))
		return command{args: []string{program, "-db", "-f", file}}, err
	},
}

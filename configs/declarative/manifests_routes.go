package declarative

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"sidekong/configs/entity"
)

// backendPort finds the number of a Service's port, which may be given by name.
func (b *builder) backendPort(service *manifest, port *value, path string) (number float64, known bool) {
	switch port := port.orEmpty().scalar.(type) {
	case float64:
		return port, true
	case string:
		if service == nil {
			break
		}
		for _, p := range service.get("spec", "ports").orEmpty().items {
			if name, _ := p.get("name").text(); name == port {
				number, known = p.get("port").orEmpty().scalar.(float64)
				return number, known
			}
		}
	}
	return 0, false
}

// hostOf is where requests for a Service go.
func hostOf(service *manifest, namespace, name string) string {
	if service != nil {
		if external, ok := service.get("spec", "externalName").text(); ok && external != "" {
			return external
		}
	}
	return name + "." + namespace + ".svc"
}

// service makes the service entity for a port of a Kubernetes Service, once, and gives its name.
func (b *builder) service(m *manifest, namespace, name string, port, at *value, path string) (string, bool) {
	entityName := fmt.Sprintf("%s.%s.%v", namespace, name, port.orEmpty().scalar)
	if b.manifests.made[entityName] {
		return entityName, true
	}
	service := b.manifests.byName["Service/"+namespace+"/"+name]
	number, ok := b.backendPort(service, port, path)
	if !ok {
		b.fault(m.place(at), path, "port %v of Service %s/%s is not known: give its number, or add the Service to the configuration",
			port.orEmpty().scalar, namespace, name)
		return "", false
	}
	e := &made{at: m.place(at)}
	e.scalar("name", entityName)
	e.scalar("host", hostOf(service, namespace, name))
	e.scalar("port", number)
	b.annotateService(e, service)
	b.manifests.made[entityName] = true
	b.madeOf(entityName, namespace, name)
	b.make("services", e, path)
	return entityName, true
}

// madeOf notes that a service entity is made of a Kubernetes Service.
func (b *builder) madeOf(entityName, namespace, name string) {
	key := namespace + "/" + name
	if names := b.manifests.services[key]; len(names) == 0 || names[len(names)-1] != entityName {
		b.manifests.services[key] = append(names, entityName)
	}
}

// annotateService has a Kubernetes Service's annotations say what its entity is. service may be nil.
func (b *builder) annotateService(e *made, service *manifest) {
	if service == nil {
		return
	}
	service.used = true
	e.set("protocol", b.typed(service, "protocol", entity.String))
	e.set("path", b.typed(service, "path", entity.String))
	e.set("connect_timeout", b.typed(service, "connect-timeout", entity.Integer))
	e.set("read_timeout", b.typed(service, "read-timeout", entity.Integer))
	e.set("write_timeout", b.typed(service, "write-timeout", entity.Integer))
	e.set("retries", b.typed(service, "retries", entity.Integer))
	e.set("tls_verify", b.typed(service, "tls-verify", entity.Boolean))
	e.set("tls_verify_depth", b.typed(service, "tls-verify-depth", entity.Integer))
	e.set("tags", b.typed(service, "tags", entity.Array))
	for name, says := range map[string]string{
		"host-header":                "Kong would send this Host header",
		"client-cert":                "Kong would show a certificate to the Service",
		"override":                   "Kong's controller would change the service by a KongIngress",
		"upstream-policy":            "Kong would balance by a KongUpstreamPolicy",
		"ca-certificates-secrets":    "Kong would trust these authorities alone",
		"ca-certificates-configmaps": "Kong would trust these authorities alone",
	} {
		b.notHonoured(service, name, says)
	}
}

func (b *builder) notHonoured(m *manifest, annotation, says string) {
	if _, v := m.annotation(annotation); v != nil {
		b.warn(v.at, "%s: konghq.com/%s: not honoured by Sidekong; %s", m, annotation, says)
	}
}

// annotateRoute has the annotations of an Ingress or HTTPRoute say what a route is.
func (b *builder) annotateRoute(e *made, m *manifest) {
	set := func(name, annotation string, t entity.Type, otherwise any) {
		if v := b.typed(m, annotation, t); v != nil {
			e.set(name, v)
		} else if otherwise != nil {
			e.scalar(name, otherwise)
		}
	}
	set("strip_path", "strip-path", entity.Boolean, false)
	set("preserve_host", "preserve-host", entity.Boolean, true)
	set("protocols", "protocols", entity.Array, nil)
	set("https_redirect_status_code", "https-redirect-status-code", entity.Integer, nil)
	set("regex_priority", "regex-priority", entity.Integer, nil)
	set("path_handling", "path-handling", entity.String, nil)
	set("request_buffering", "request-buffering", entity.Boolean, nil)
	set("response_buffering", "response-buffering", entity.Boolean, nil)
	set("snis", "snis", entity.Array, nil)
	set("tags", "tags", entity.Array, nil)
	b.notHonoured(m, "rewrite", "Kong would change the path")
	b.notHonoured(m, "override", "Kong's controller would change the route by a KongIngress")
}

// headers adds the annotations konghq.com/headers.NAME to those of a match.
func (b *builder) headers(e *made, m *manifest, matched []field) {
	separator, v := m.annotation("headers-separator")
	if v == nil {
		separator = ","
	}
	fields := matched
	for _, f := range m.get("metadata", "annotations").orEmpty().fields {
		name, ok := strings.CutPrefix(f.name, "konghq.com/headers.")
		text, isText := f.val.text()
		if ok && isText {
			values := strings.Split(text, separator)
			fields = append(fields, field{name: name, at: f.at, val: textList(f.val.at, values...)})
		}
	}
	if len(fields) > 0 {
		e.set("headers", &value{at: fields[0].at, shape: mapShape, fields: fields})
	}
}

// hosts adds the annotation konghq.com/host-aliases.
func (b *builder) hosts(e *made, m *manifest, hosts []*value) {
	if aliases := b.typed(m, "host-aliases", entity.Array); aliases != nil {
		hosts = append(hosts, aliases.items...)
	}
	if len(hosts) > 0 {
		e.set("hosts", &value{at: hosts[0].at, shape: listShape, items: hosts})
	}
}

// ingress makes a route for each host and backend of an Ingress.
func (b *builder) ingress(m *manifest) {
	type destination struct{ host, service, port string }
	routes := map[destination]*made{}
	var order []destination
	targets := map[destination]string{}
	add := func(host, backend, path *value, at string, paths []*value) {
		service := backend.orEmpty().get("service")
		name, ok := service.orEmpty().get("name").text()
		if !ok {
			b.fault(m.place(backend), at+".service.name", "required field missing; only Services can be backends")
			return
		}
		port := service.get("port").orEmpty().get("number")
		if port.isNull() {
			port = service.get("port").orEmpty().get("name")
		}
		hostText, _ := host.text()
		d := destination{hostText, name, fmt.Sprint(port.orEmpty().scalar)}
		route := routes[d]
		if route == nil {
			target, ok := b.service(m, m.namespace, name, port, service, at)
			if !ok {
				return
			}
			route = &made{at: m.place(path)}
			routes[d], targets[d] = route, target
			order = append(order, d)
			if !host.isNull() && hostText != "" {
				b.hosts(route, m, []*value{host})
			} else {
				b.hosts(route, m, nil)
			}
			route.set("paths", &value{at: m.place(path), shape: listShape})
		}
		for i := range route.fields {
			if route.fields[i].name == "paths" {
				route.fields[i].val.items = append(route.fields[i].val.items, paths...)
			}
		}
	}
	for i, rule := range m.get("spec", "rules").orEmpty().items {
		for j, path := range rule.get("http").orEmpty().get("paths").orEmpty().items {
			at := fmt.Sprintf("%s.spec.rules[%d].http.paths[%d]", m, i, j)
			add(rule.get("host"), path.get("backend"), path, at+".backend", b.ingressPaths(m, path, at))
		}
	}
	if backend := m.get("spec", "defaultBackend"); !backend.isNull() {
		add(nil, backend, backend, m.String()+".spec.defaultBackend", []*value{scalarValue(backend.at, "/")})
	}
	b.certificates(m)
	var names []string
	for _, d := range order {
		route := routes[d]
		name := fmt.Sprintf("%s.%s.%s.%s.%s", m.namespace, m.name, d.service, strings.ReplaceAll(d.host, "*", "_"), d.port)
		route.scalar("name", name)
		route.scalar("service", targets[d])
		b.annotateRoute(route, m)
		route.set("methods", b.typed(m, "methods", entity.Array))
		b.headers(route, m, nil)
		b.make("routes", route, m.String())
		names = append(names, name)
	}
	b.attach(m, "route", names)
}

// ingressPaths are a route's paths for a path of an Ingress. Its dots and the like are no regular expression.
// Kong: kubernetes-ingress-controller internal/dataplane/translator/subtranslator/ingress.go PathsFromIngressPaths
func (b *builder) ingressPaths(m *manifest, path *value, at string) []*value {
	v := path.get("path")
	text, _ := v.text()
	place := m.place(v)
	kind, _ := path.get("pathType").text()
	switch kind {
	case "Prefix":
		return prefixPaths(place, text)
	case "Exact":
		return []*value{scalarValue(place, "~/"+regexp.QuoteMeta(strings.TrimLeft(text, "/"))+"$")}
	case "ImplementationSpecific":
		prefix, annotated := m.annotation("regex-prefix")
		if annotated == nil {
			prefix = "/~"
		}
		if expression, ok := strings.CutPrefix(text, prefix); ok && prefix != "" {
			text = "~" + expression
		}
		if text == "" {
			text = "/"
		}
		return []*value{scalarValue(place, text)}
	}
	b.fault(m.place(path.get("pathType")), at+".pathType", "%q is unknown; allowed: Prefix, Exact, ImplementationSpecific", kind)
	return nil
}

// prefixPaths match a path and everything below it.
func prefixPaths(at Position, path string) []*value {
	base := strings.Trim(path, "/")
	if base == "" {
		return []*value{scalarValue(at, "/")}
	}
	return []*value{scalarValue(at, "/"+base+"/"), scalarValue(at, "~/"+regexp.QuoteMeta(base)+"$")}
}

// httpRoute makes a service for each rule of an HTTPRoute, and a route for each match.
func (b *builder) httpRoute(m *manifest) {
	var names []string
	for i, rule := range m.get("spec", "rules").orEmpty().items {
		path := fmt.Sprintf("%s.spec.rules[%d]", m, i)
		service, ok := b.ruleService(m, rule, i, path)
		if !ok {
			continue
		}
		matches := rule.get("matches").orEmpty().items
		if len(matches) == 0 {
			matches = []*value{{at: rule.at, shape: mapShape}}
		}
		var ofRule []string
		for j, match := range matches {
			e := &made{at: match.at}
			name := fmt.Sprintf("httproute.%s.%s.%d.%d", m.namespace, m.name, i, j)
			if !b.match(e, m, match, index(path+".matches", j)) {
				continue
			}
			e.scalar("name", name)
			e.scalar("service", service)
			b.hosts(e, m, m.get("spec", "hostnames").orEmpty().items)
			b.annotateRoute(e, m)
			b.make("routes", e, index(path+".matches", j))
			ofRule = append(ofRule, name)
		}
		b.filters(m, rule, path, ofRule)
		names = append(names, ofRule...)
	}
	b.attach(m, "route", names)
}

// ruleService makes the service of a rule, with an upstream where there are several backends.
func (b *builder) ruleService(m *manifest, rule *value, i int, path string) (string, bool) {
	refs := rule.get("backendRefs").orEmpty().items
	if len(refs) == 0 {
		b.warn(rule.at, "%s: left out, it has no backendRefs; Kong would answer its requests with an error", path)
		return "", false
	}
	name := fmt.Sprintf("httproute.%s.%s.%d", m.namespace, m.name, i)
	e := &made{at: rule.at}
	e.scalar("name", name)
	for j, ref := range refs {
		at := index(path+".backendRefs", j)
		if kind, ok := ref.get("kind").text(); ok && kind != "Service" {
			b.fault(ref.get("kind").at, at+".kind", "%q cannot be a backend; allowed: Service", kind)
			return "", false
		}
		to, _ := ref.get("name").text()
		namespace, ok := ref.get("namespace").text()
		if !ok {
			namespace = m.namespace
		}
		port, ok := ref.get("port").orEmpty().scalar.(float64)
		if to == "" || !ok {
			b.fault(ref.at, at, "name and port are required")
			return "", false
		}
		service := b.manifests.byName["Service/"+namespace+"/"+to]
		b.madeOf(name, namespace, to)
		host := hostOf(service, namespace, to)
		if j == 0 {
			b.annotateService(e, service)
		}
		if len(refs) == 1 {
			e.scalar("host", host)
			e.scalar("port", port)
			continue
		}
		if j == 0 {
			upstream := &made{at: rule.at}
			upstream.scalar("name", name)
			b.make("upstreams", upstream, path)
			e.scalar("host", name)
		}
		target := &made{at: ref.at}
		target.scalar("upstream", name)
		target.scalar("target", host+":"+strconv.FormatFloat(port, 'f', -1, 64))
		if weight := ref.get("weight"); !weight.isNull() {
			target.set("weight", weight)
		} else {
			target.scalar("weight", 1.0)
		}
		b.make("targets", target, at)
	}
	b.make("services", e, path)
	return name, true
}

// match says which requests a route takes. It is false where that cannot be said.
func (b *builder) match(e *made, m *manifest, match *value, path string) bool {
	if query := match.get("queryParams"); query != nil && len(query.items) > 0 {
		b.warn(query.at, "%s: left out, Sidekong does not match by queryParams", path)
		return false
	}
	v := match.get("path").orEmpty().get("value")
	text, ok := v.text()
	if !ok {
		text = "/"
	}
	place := m.place(v)
	kind, ok := match.get("path").orEmpty().get("type").text()
	if !ok {
		kind = "PathPrefix"
	}
	var paths []*value
	switch kind {
	case "PathPrefix":
		paths = prefixPaths(place, text)
	case "Exact":
		paths = []*value{scalarValue(place, "~"+regexp.QuoteMeta(text)+"$")}
	case "RegularExpression":
		paths = []*value{scalarValue(place, "~"+text)}
	default:
		b.fault(m.place(match.get("path").get("type")), path+".path.type", "%q is unknown; allowed: PathPrefix, Exact, RegularExpression", kind)
		return false
	}
	e.set("paths", &value{at: place, shape: listShape, items: paths})
	if method := match.get("method"); !method.isNull() {
		e.set("methods", &value{at: method.at, shape: listShape, items: []*value{method}})
	} else {
		e.set("methods", b.typed(m, "methods", entity.Array))
	}
	var headers []field
	for _, header := range match.get("headers").orEmpty().items {
		name, _ := header.get("name").text()
		text, _ := header.get("value").text()
		if kind, _ := header.get("type").text(); kind == "RegularExpression" {
			text = "~*" + text
		}
		headers = append(headers, field{name: name, at: header.at, val: textList(m.place(header.get("value")), text)})
	}
	b.headers(e, m, headers)
	return true
}

// filters are what a rule does to requests and answers, by plugins.
// Kong: kubernetes-ingress-controller internal/dataplane/translator/subtranslator/httproute.go
// generatePluginsFromHTTPRouteFilters
func (b *builder) filters(m *manifest, rule *value, path string, routes []string) {
	for i, filter := range rule.get("filters").orEmpty().items {
		kind, _ := filter.get("type").text()
		at := index(path+".filters", i)
		switch kind {
		case "ExtensionRef":
			ref := filter.get("extensionRef").orEmpty()
			if name, ok := ref.get("name").text(); ok {
				b.attachNamed(m, name, ref.get("name"), "route", routes, at+".extensionRef.name")
			}
		case "RequestHeaderModifier":
			b.headerModifier("request-transformer", filter.get("requestHeaderModifier").orEmpty(), filter.at, at, routes)
		case "ResponseHeaderModifier":
			b.headerModifier("response-transformer", filter.get("responseHeaderModifier").orEmpty(), filter.at, at, routes)
		default:
			b.warn(filter.at, "%s: the filter %s is not served by Sidekong; requests go on without it", at, kind)
		}
	}
}

func (b *builder) headerModifier(plugin string, modifier *value, place Position, path string, routes []string) {
	pairs := func(name string) *value {
		list := &value{at: place, shape: listShape}
		for _, header := range modifier.get(name).orEmpty().items {
			key, _ := header.get("name").text()
			text, _ := header.get("value").text()
			list.items = append(list.items, scalarValue(header.at, key+":"+text))
		}
		return list
	}
	config := &made{at: place}
	operation := func(name string, headers *value) {
		if headers != nil && len(headers.items) > 0 {
			inner := &made{at: place}
			inner.set("headers", headers)
			config.set(name, inner.value())
		}
	}
	operation("add", pairs("set"))
	operation("replace", pairs("set"))
	operation("append", pairs("add"))
	operation("remove", modifier.get("remove"))
	for _, route := range routes {
		e := &made{at: place}
		e.scalar("name", plugin)
		e.scalar("route", route)
		e.set("config", config.value())
		b.make("plugins", e, path)
	}
}

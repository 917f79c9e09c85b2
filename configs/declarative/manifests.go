package declarative

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"sidekong/configs/entity"
)

// Kubernetes manifests stand for entities as they do for Kong's ingress controller: KongClusterPlugin, KongPlugin,
// KongConsumer, Ingress, HTTPRoute, and what these refer to: Service and Secret. There is no cluster to ask, so all of it
// has to be among the inputs, but Services whose port is given by its number. Requests go to a Service's name in
// the cluster's DNS, where the controller would list the addresses of its pods.
//
// Kong: kubernetes-ingress-controller internal/dataplane

// manifest is one Kubernetes object.
type manifest struct {
	root            *value
	kind            string
	namespace, name string
	used            bool // something refers to it
	attached        attachment
}

// manifests are those of all inputs.
type manifests struct {
	inOrder  []*manifest
	byName   map[string]*manifest // kind, namespace and name
	services map[string][]string  // namespace and name of a Service → the entities that are made of it
	made     map[string]bool      // what must be made once: by the names of services, the ids of certificates, …
	file     *file                // of the entities that are made of manifests
}

// servedManifests are the kinds that become entities, with the group of their apiVersion.
var servedManifests = map[string]string{
	"KongClusterPlugin": "configuration.konghq.com",
	"KongPlugin":        "configuration.konghq.com",
	"KongConsumer":      "configuration.konghq.com",
	"Ingress":           "networking.k8s.io",
	"HTTPRoute":         "gateway.networking.k8s.io",
	"Service":           "",
	"Secret":            "",
}

// leftOutManifests are kinds that Kong's controller would serve.
var leftOutManifests = map[string]string{
	"GRPCRoute":          "Kong would route gRPC calls by these",
	"TCPRoute":           "Kong would forward TCP connections",
	"TLSRoute":           "Kong would forward TLS connections",
	"UDPRoute":           "Kong would forward UDP packets",
	"TCPIngress":         "Kong would forward TCP connections",
	"UDPIngress":         "Kong would forward UDP packets",
	"KongIngress":        "Kong's controller would change routes and upstreams by these",
	"KongUpstreamPolicy": "Kong would balance by these",
	"KongServiceFacade":  "Kong would send requests to these",
	"KongConsumerGroup":  "Kong Enterprise would put consumers into consumer groups",
	"KongCustomEntity":   "Kong would hand these to the plugins that define them",
	"KongVault":          "Kong would read {vault://…} references from these",
	"KongLicense":        "Kong Enterprise would unlock its features",
}

func isManifest(root *value) bool {
	_, version := root.get("apiVersion").text()
	_, kind := root.get("kind").text()
	return version && kind && !hasField(root, "_format_version")
}

func looksLikeManifest(n *yaml.Node) bool {
	found := 0
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		switch n.Content[i].Value {
		case "apiVersion", "kind":
			found++
		case "_format_version":
			return false
		}
	}
	return found == 2
}

// manifest takes one in, or each in a List.
func (b *builder) manifest(root *value) {
	kind, _ := root.get("kind").text()
	version, _ := root.get("apiVersion").text()
	group, _, grouped := strings.Cut(version, "/")
	if !grouped {
		group = ""
	}
	if strings.HasSuffix(kind, "List") && root.get("items") != nil {
		for _, item := range root.get("items").items {
			if isManifest(item) {
				b.manifest(item)
			} else {
				b.fault(item.at, kind, "expected an object with apiVersion and kind, found %s", item.describe())
			}
		}
		return
	}
	served, ok := servedManifests[kind]
	if !ok || served != group {
		if leftOutManifests[kind] != "" {
			b.leftOut(kind, root.at)
		}
		return // a Deployment, say
	}
	metadata := root.get("metadata").orEmpty()
	m := &manifest{root: root, kind: kind, namespace: "default"}
	m.name, _ = metadata.get("name").text()
	if namespace, ok := metadata.get("namespace").text(); ok && namespace != "" {
		m.namespace = namespace
	}
	if kind == "KongClusterPlugin" {
		m.namespace = ""
	}
	if m.name == "" {
		b.fault(root.at, kind+".metadata.name", "required field missing")
		return
	}
	for _, f := range metadata.get("annotations").orEmpty().fields {
		if _, ok := f.val.text(); strings.HasPrefix(f.name, "konghq.com/") && !ok {
			b.fault(f.val.at, m.String()+".metadata.annotations."+f.name, "expected a string, found %s; put it in quotes", f.val.describe())
			return
		}
	}
	if class, at := m.class(); class != "" && class != "kong" {
		b.warn(at, "%s: left out, it is for the ingress class %s; Sidekong reads those of the class kong, and those without one", m, class)
		return
	}
	if b.manifests.byName == nil {
		b.manifests = manifests{
			byName: map[string]*manifest{}, services: map[string][]string{}, made: map[string]bool{}, file: &file{version: "3.0", transform: true},
		}
	}
	key := kind + "/" + m.namespace + "/" + m.name
	if first := b.manifests.byName[key]; first != nil {
		b.fault(root.at, m.String(), "stands here a second time; the first is at %s", first.root.at)
		return
	}
	b.manifests.byName[key] = m
	b.manifests.inOrder = append(b.manifests.inOrder, m)
}

// leftOut counts what is not served, for one warning by kind.
func (b *builder) leftOut(kind string, at Position) {
	if t := b.tallies[kind]; t != nil {
		t.count++
	} else {
		b.tallies[kind] = &tally{at: at, count: 1}
	}
}

// String names a manifest in messages.
func (m *manifest) String() string {
	if m.namespace == "" {
		return m.kind + " " + m.name
	}
	return m.kind + " " + m.namespace + "/" + m.name
}

// class is the ingress class that a manifest is for, "" if it names none.
func (m *manifest) class() (string, Position) {
	for _, v := range []*value{
		m.root.get("metadata").orEmpty().get("annotations").orEmpty().get("kubernetes.io/ingress.class"),
		m.root.get("spec").orEmpty().get("ingressClassName"),
	} {
		if class, ok := v.text(); ok {
			return class, v.at
		}
	}
	return "", m.root.at
}

// annotation is a value of konghq.com/…
func (m *manifest) annotation(name string) (text string, at *value) {
	v := m.root.get("metadata").orEmpty().get("annotations").orEmpty().get("konghq.com/" + name)
	text, _ = v.text()
	return text, v
}

// get gives a value below the root, nil if there is none.
func (m *manifest) get(path ...string) *value {
	v := m.root
	for _, name := range path {
		v = v.orEmpty().get(name)
	}
	return v
}

// translate turns the manifests into entities.
func (b *builder) translate() {
	for _, m := range b.manifests.inOrder {
		switch m.kind {
		case "Ingress":
			b.ingress(m)
		case "HTTPRoute":
			b.httpRoute(m)
		case "KongConsumer":
			b.consumer(m)
		}
	}
	for _, m := range b.manifests.inOrder {
		if m.kind == "Service" {
			b.attachToServices(m)
		}
	}
	for _, m := range b.manifests.inOrder {
		switch m.kind {
		case "KongPlugin", "KongClusterPlugin":
			b.pluginManifest(m)
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(leftOutManifests)) {
		if t := b.tallies[kind]; t != nil {
			b.warn(t.at, "%s%s: not served by Sidekong; %s", kind, t.more(), leftOutManifests[kind])
			delete(b.tallies, kind)
		}
	}
}

// made are the fields of an entity that is made of a manifest.
type made struct {
	at     Position
	fields []field
}

// set adds a field that stands where v stands. A nil v adds nothing.
func (e *made) set(name string, v *value) {
	if v != nil {
		e.fields = append(e.fields, field{name: name, at: v.at, val: v})
	}
}

func (e *made) scalar(name string, scalar any) {
	e.set(name, scalarValue(e.at, scalar))
}

func (e *made) value() *value { return &value{at: e.at, shape: mapShape, fields: e.fields} }

func scalarValue(at Position, scalar any) *value { return &value{at: at, scalar: scalar} }

func textList(at Position, texts ...string) *value {
	list := &value{at: at, shape: listShape}
	for _, text := range texts {
		list.items = append(list.items, scalarValue(at, text))
	}
	return list
}

// make takes an entity in.
func (b *builder) make(kind string, e *made, path string) *item {
	return b.add(b.manifests.file, kindByName[kind], e.value(), path, nil)
}

// list is a text with commas as a list.
func list(v *value) []string {
	text, _ := v.text()
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// typed is an annotation, which is always text, as the field of an entity that it stands for.
func (b *builder) typed(m *manifest, name string, t entity.Type) *value {
	text, at := m.annotation(name)
	if at == nil {
		return nil
	}
	path := m.String() + ".metadata.annotations.konghq.com/" + name
	typed := &value{at: at.at}
	switch t {
	case entity.Boolean:
		switch strings.ToLower(text) {
		case "true", "false":
			typed.scalar = strings.EqualFold(text, "true")
			return typed
		}
		b.fault(at.at, path, `expected "true" or "false", found %q`, text)
	case entity.Integer:
		if number, ok := resolveScalar(text).(float64); ok {
			typed.scalar = number
			return typed
		}
		b.fault(at.at, path, "expected a number in quotes, found %q", text)
	case entity.Array:
		return textList(at.at, list(at)...)
	default:
		typed.scalar = text
		return typed
	}
	return nil
}

// place is where a value stands, or the manifest where there is none.
func (m *manifest) place(v *value) Position {
	if v == nil {
		return m.root.at
	}
	return cmp.Or(v.at, m.root.at)
}

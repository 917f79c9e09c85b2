package declarative

import (
	"encoding/base64"
	"slices"
	"strings"

	"sidekong/configs/entity"
)

// attachment is what refers to a plugin's manifest: names of entities.
type attachment struct {
	services, routes, consumers []string
}

// attach adds entities to the plugins that a manifest names by konghq.com/plugins. field is service, route or consumer.
func (b *builder) attach(m *manifest, field string, names []string) {
	_, v := m.annotation("plugins")
	for _, plugin := range list(v) {
		b.attachNamed(m, plugin, v, field, names, m.String()+".metadata.annotations.konghq.com/plugins")
	}
}

// attachNamed adds entities to one plugin: a KongPlugin of the same namespace, or of another as in "namespace:name", or
// else a KongClusterPlugin.
func (b *builder) attachNamed(m *manifest, name string, v *value, field string, names []string, path string) {
	namespace, inNamespace, apart := strings.Cut(name, ":")
	if !apart {
		namespace, inNamespace = m.namespace, name
	}
	plugin := b.manifests.byName["KongPlugin/"+namespace+"/"+inNamespace]
	if plugin == nil && !apart {
		plugin = b.manifests.byName["KongClusterPlugin//"+name]
	}
	if plugin == nil {
		b.fault(v.at, path, "no KongPlugin %s in namespace %s and no KongClusterPlugin of this name", inNamespace, namespace)
		return
	}
	plugin.used = true
	a := &plugin.attached
	switch field {
	case "service":
		a.services = append(a.services, names...)
	case "route":
		a.routes = append(a.routes, names...)
	case "consumer":
		a.consumers = append(a.consumers, names...)
	}
}

// attachToServices adds the entities that are made of a Kubernetes Service to the plugins that it names.
func (b *builder) attachToServices(m *manifest) {
	b.attach(m, "service", b.manifests.services[m.namespace+"/"+m.name])
}

var pluginManifestFields = []string{
	"apiVersion", "kind", "metadata", "status", "plugin", "config", "configFrom", "configPatches", "disabled", "protocols",
	"instance_name", "run_on", "ordering", "consumerRef",
}

// pluginManifest makes a plugin for everything that refers to a KongPlugin or KongClusterPlugin.
// Kong: kubernetes-ingress-controller internal/util/rels/relations.go GetCombinations
func (b *builder) pluginManifest(m *manifest) {
	path := m.String()
	for _, f := range m.root.fields {
		if !slices.Contains(pluginManifestFields, f.name) {
			b.fault(f.at, path+"."+f.name, "unknown field; %s", choice(f.name, pluginManifestFields))
		}
	}
	for name, says := range map[string]string{
		"ordering": "Kong Enterprise would run its plugins in this order", "consumerRef": "use the annotation konghq.com/plugins of the KongConsumer",
	} {
		if v := m.get(name); !v.isNull() {
			b.warn(v.at, "%s.%s: not honoured by Sidekong; %s", path, name, says)
		}
	}
	e := &made{at: m.root.at}
	if plugin := m.get("plugin"); !plugin.isNull() {
		e.set("name", plugin)
	} else {
		b.fault(m.root.at, path+".plugin", "required field missing")
		return
	}
	e.set("config", b.pluginConfig(m))
	e.set("protocols", m.get("protocols"))
	if disabled := m.get("disabled"); !disabled.isNull() {
		off, ok := disabled.scalar.(bool)
		if !ok {
			b.fault(disabled.at, path+".disabled", "expected a boolean, found %s", disabled.describe())
		}
		e.set("enabled", scalarValue(disabled.at, !off))
	}
	add := func(scope ...string) { // field, name, …
		key := path + "\x00" + strings.Join(scope, "\x00")
		if b.values > maxValues || b.manifests.made[key] { // the same may refer to it twice
			return
		}
		b.manifests.made[key] = true
		own := &made{at: e.at, fields: slices.Clone(e.fields)}
		if instance := m.get("instance_name"); !instance.isNull() {
			text, _ := instance.text()
			if len(scope) > 0 && text != "" { // each instance has a name of its own
				text += "-" + entity.ID("plugins", text+":"+strings.Join(scope, ":"))[:8]
				instance = scalarValue(instance.at, text)
			}
			own.set("instance_name", instance)
		}
		for i := 0; i < len(scope); i += 2 {
			own.scalar(scope[i], scope[i+1])
		}
		b.make("plugins", own, path)
	}
	if global, _ := m.get("metadata", "labels", "global").orEmpty().text(); global == "true" && m.kind == "KongClusterPlugin" {
		add()
	} else if !m.used {
		b.warn(m.root.at, "%s: nothing refers to it by the annotation konghq.com/plugins, so it runs nowhere%s", path, globalHint(m))
	}
	a := &m.attached
	for _, consumer := range a.consumers {
		for _, service := range a.services {
			add("service", service, "consumer", consumer)
		}
		for _, route := range a.routes {
			add("route", route, "consumer", consumer)
		}
		if len(a.services)+len(a.routes) == 0 {
			add("consumer", consumer)
		}
	}
	if len(a.consumers) > 0 {
		return
	}
	for _, service := range a.services {
		add("service", service)
	}
	for _, route := range a.routes {
		add("route", route)
	}
}

func globalHint(m *manifest) string {
	if m.kind == "KongClusterPlugin" {
		return `; the label global: "true" has it run everywhere`
	}
	return ""
}

// pluginConfig is what a plugin's manifest says of its configuration: config, or a Secret, with patches from Secrets.
func (b *builder) pluginConfig(m *manifest) *value {
	config, from := m.get("config"), m.get("configFrom")
	if !from.isNull() {
		path := m.String() + ".configFrom"
		if !config.isNull() {
			b.fault(from.at, path, "config and configFrom cannot stand beside each other")
			return nil
		}
		if config = b.secretValue(m, from.get("secretKeyRef"), from.at, path); config == nil {
			return nil
		}
		if config.shape != mapShape {
			b.fault(from.at, path, "the Secret's value must be a map in YAML or JSON")
			return nil
		}
	}
	patches := m.get("configPatches").orEmpty()
	for i, patch := range patches.items {
		path := index(m.String()+".configPatches", i)
		pointer, _ := patch.get("path").text()
		from := patch.get("valueFrom").orEmpty().get("secretKeyRef")
		v := b.secretValue(m, from, patch.at, path)
		if v == nil {
			continue
		}
		if config.isNull() {
			config = &value{at: patch.at, shape: mapShape}
		}
		patched, ok := patchedWith(config, strings.Split(strings.TrimPrefix(pointer, "/"), "/"), v)
		if !ok || !strings.HasPrefix(pointer, "/") {
			b.fault(patch.at, path+".path", "%q leads to nothing that can be set; allowed: /field/field …, through maps", pointer)
			continue
		}
		config = patched
	}
	return config
}

// patchedWith is a map with a value put in, of which the parts that change are new.
func patchedWith(config *value, path []string, v *value) (*value, bool) {
	if config.shape != mapShape {
		return nil, false
	}
	name := strings.NewReplacer("~1", "/", "~0", "~").Replace(path[0])
	patched := &value{at: config.at, shape: mapShape, fields: slices.Clone(config.fields)}
	i := slices.IndexFunc(patched.fields, func(f field) bool { return f.name == name })
	if len(path) > 1 {
		inner := &value{at: v.at, shape: mapShape}
		if i >= 0 && !patched.fields[i].val.isNull() {
			inner = patched.fields[i].val
		}
		var ok bool
		if v, ok = patchedWith(inner, path[1:], v); !ok {
			return nil, false
		}
	}
	if i < 0 {
		patched.fields = append(patched.fields, field{name: name, at: v.at, val: v})
	} else {
		patched.fields[i].val = v
	}
	return patched, true
}

// secretValue reads what a secretKeyRef names as YAML or JSON. Its places are that of the reference, and messages do not
// show what is in it.
func (b *builder) secretValue(m *manifest, ref *value, at Position, path string) *value {
	name, _ := ref.orEmpty().get("name").text()
	key, _ := ref.orEmpty().get("key").text()
	namespace := m.namespace
	if n, ok := ref.orEmpty().get("namespace").text(); ok && m.namespace == "" {
		namespace = n
	}
	if name == "" || key == "" {
		b.fault(at, path, "secretKeyRef needs name and key")
		return nil
	}
	secret := b.manifests.byName["Secret/"+namespace+"/"+name]
	if secret == nil {
		b.fault(ref.at, path+".secretKeyRef", "no Secret %s/%s in the configuration", namespace, name)
		return nil
	}
	text, _, ok := b.secretText(secret, key)
	if !ok {
		b.fault(ref.at, path+".secretKeyRef", "%s has no key %s", secret, key)
		return nil
	}
	inner := &report{files: map[string]int{}, broken: map[Position]bool{}}
	parsed := (&reader{name: secret.String(), text: []byte(text), report: inner, pause: b.pause}).yaml()
	if len(inner.faults) > 0 || len(parsed) != 1 || parsed[0].expandedSize() > maxValues {
		b.fault(ref.at, path+".secretKeyRef", "%s: the value of %s is not YAML or JSON", secret, key)
		return nil
	}
	b.moveSecret(parsed[0], ref.at, "("+secret.String()+" "+key+")", map[*value]bool{})
	return parsed[0]
}

// moveSecret gives a value from a Secret the place of what refers to it, and keeps its texts out of messages.
func (b *builder) moveSecret(v *value, at Position, source string, seen map[*value]bool) {
	if seen[v] {
		return
	}
	seen[v] = true
	v.at = at
	b.hide(v, source)
	for _, item := range v.items {
		b.moveSecret(item, at, source, seen)
	}
	for i := range v.fields {
		v.fields[i].at = at
		b.moveSecret(v.fields[i].val, at, source, seen)
	}
}

func (b *builder) hide(v *value, source string) {
	if text, ok := v.text(); ok && len(text) >= minSecret {
		b.secrets = append(b.secrets, secret{text, source})
	}
}

// secretText is a value of a Secret: from stringData, or decoded from data.
func (b *builder) secretText(m *manifest, key string) (text string, at Position, ok bool) {
	m.used = true
	if v := m.get("stringData", key); v != nil {
		text, ok = v.text()
		return text, v.at, ok
	}
	v := m.get("data", key)
	encoded, ok := v.text()
	if !ok {
		return "", m.root.at, false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(encoded), ""))
	if err != nil {
		b.fault(v.at, m.String()+".data."+key, "not base64")
		return "", v.at, false
	}
	return string(decoded), v.at, true
}

var consumerManifestFields = []string{
	"apiVersion", "kind", "metadata", "status", "username", "custom_id", "credentials", "consumerGroups", "spec",
}

// consumer makes a consumer with its credentials.
func (b *builder) consumer(m *manifest) {
	path := m.String()
	for _, f := range m.root.fields {
		if !slices.Contains(consumerManifestFields, f.name) {
			b.fault(f.at, path+"."+f.name, "unknown field; %s", choice(f.name, consumerManifestFields))
		}
	}
	if groups := m.get("consumerGroups"); groups != nil && len(groups.items) > 0 {
		b.warn(groups.at, "%s.consumerGroups: not honoured by Sidekong; Kong Enterprise would run plugins for the members of these groups", path)
	}
	e := &made{at: m.root.at}
	e.set("username", m.get("username"))
	e.set("custom_id", m.get("custom_id"))
	e.set("tags", b.typed(m, "tags", entity.Array))
	// References by id, since a consumer may have no username.
	id := entity.ID("consumers", m.namespace+"/"+m.name)
	if username, ok := m.get("username").text(); ok && username != "" {
		id = entity.ID("consumers", username)
	}
	e.scalar("id", id)
	b.make("consumers", e, path)
	b.attach(m, "consumer", []string{id})
	for i, credential := range m.get("credentials").orEmpty().items {
		at := index(path+".credentials", i)
		name, _ := credential.text()
		secret := b.manifests.byName["Secret/"+m.namespace+"/"+name]
		if secret == nil {
			b.fault(credential.at, at, "no Secret %s/%s in the configuration", m.namespace, name)
			continue
		}
		b.credential(m, secret, id, credential.at, at)
	}
}

// credentialFields are what a Secret holds, by the type that its label konghq.com/credential or its key kongCredType says.
var credentialFields = map[string]struct {
	kind   string
	fields []string
}{
	"key-auth":             {"keyauth_credentials", []string{"key"}},
	"keyauth_credential":   {"keyauth_credentials", []string{"key"}},
	"basic-auth":           {"basicauth_credentials", []string{"username", "password"}},
	"basicauth_credential": {"basicauth_credentials", []string{"username", "password"}},
}

func (b *builder) credential(m, secret *manifest, consumer string, place Position, path string) {
	kind, ok := secret.get("metadata", "labels", "konghq.com/credential").text()
	if !ok {
		kind, _, _ = b.secretText(secret, "kongCredType")
	}
	known, ok := credentialFields[kind]
	if !ok {
		b.warn(place, "%s: %s is a credential of type %q, which Sidekong does not serve; it serves key-auth and basic-auth", path, secret, kind)
		return
	}
	e := &made{at: place}
	e.scalar("consumer", consumer)
	for _, name := range known.fields {
		text, at, ok := b.secretText(secret, name)
		if !ok {
			b.fault(place, path, "%s has no key %s", secret, name)
			return
		}
		v := scalarValue(at, text)
		if name != "username" {
			b.hide(v, "("+secret.String()+" "+name+")")
		}
		e.set(name, v)
	}
	b.make(known.kind, e, path)
}

// certificates makes a certificate of each Secret that an Ingress names for TLS.
func (b *builder) certificates(m *manifest) {
	for i, entry := range m.get("spec", "tls").orEmpty().items {
		path := index(m.String()+".spec.tls", i)
		name, _ := entry.get("secretName").text()
		secret := b.manifests.byName["Secret/"+m.namespace+"/"+name]
		if secret == nil {
			b.warn(entry.at, "%s: no Secret %s/%s in the configuration: these names are served with the default certificate", path, m.namespace, name)
			continue
		}
		id := entity.ID("certificates", m.namespace+"/"+name)
		if !b.manifests.made[id] {
			b.manifests.made[id] = true
			e := &made{at: entry.at}
			e.scalar("id", id)
			for from, to := range map[string]string{"tls.crt": "cert", "tls.key": "key"} {
				text, at, ok := b.secretText(secret, from)
				if !ok {
					b.fault(entry.at, path, "%s has no key %s", secret, from)
					continue
				}
				v := scalarValue(at, text)
				b.hide(v, "("+secret.String()+" "+from+")")
				e.set(to, v)
			}
			b.make("certificates", e, path)
		}
		for _, host := range entry.get("hosts").orEmpty().items {
			text, _ := host.text()
			if b.manifests.made[id+text] {
				continue // another Ingress has it too
			}
			b.manifests.made[id+text] = true
			e := &made{at: host.at}
			e.set("name", host)
			e.scalar("certificate", id)
			b.make("snis", e, path)
		}
	}
}

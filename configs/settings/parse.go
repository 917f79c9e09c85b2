package settings

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Source is where settings come from.
type Source struct {
	Flags    map[string]string            // name of a setting, with _ or -, to its value; only those given
	Environ  []string                     // as os.Environ gives it
	File     string                       // path of kong.conf; "" = none
	ReadFile func(string) ([]byte, error) // nil = os.ReadFile
}

// Parse reads all settings and checks them. The error is a Faults. Warnings come with and without an error, in an
// order that depends on nothing but the source.
func Parse(src Source) (*Settings, []Warning, error) {
	if src.ReadFile == nil {
		src.ReadFile = os.ReadFile
	}
	p := &parser{src: src, chosen: make(map[string]raw)}
	p.layers = []layer{p.readFlags(), p.readEnviron(), p.readConf()}

	d := new(draft)
	for i := range keys {
		p.decode(&keys[i], d)
	}
	p.reportOthers()
	p.assemble(d)
	if len(p.faults) > 0 {
		return nil, p.warnings, p.faults
	}
	slices.SortFunc(p.entries, func(a, b Entry) int { return strings.Compare(a.Key, b.Key) })
	d.Settings.entries = p.entries
	return &d.Settings, p.warnings, nil
}

// CheckFile gives all that is wrong with a kong.conf by itself, with neither flags nor environment.
func CheckFile(name string, data []byte) []Fault {
	_, _, err := Parse(Source{File: name, ReadFile: func(string) ([]byte, error) { return data, nil }})
	var faults Faults
	errors.As(err, &faults)
	return faults
}

// raw is a value as a source has it.
type raw struct {
	value  string
	origin string // as in Entry
	// Where it stands, when that is kong.conf.
	file         string
	line, column int
}

// layer is one source: names to values.
type layer map[string]raw

type parser struct {
	src      Source
	layers   []layer        // the strongest first
	chosen   map[string]raw // honoured settings that were set, by canonical name
	entries  []Entry
	warnings []Warning
	faults   Faults
}

func (p *parser) warn(origin, key, format string, args ...any) {
	p.warnings = append(p.warnings, Warning{Origin: origin, Key: key, Text: fmt.Sprintf(format, args...)})
}

func (p *parser) fault(at raw, key, problem, allowed string) {
	f := Fault{File: at.file, Line: at.line, Column: at.column, Key: key, Problem: problem, Allowed: allowed}
	if f.File == "" {
		f.Origin = at.origin
	}
	p.faults = append(p.faults, f)
}

func (p *parser) readFlags() layer {
	flags := make(layer)
	for name, value := range p.src.Flags {
		flags[strings.ReplaceAll(name, "-", "_")] = raw{
			value: strings.TrimSpace(value), origin: "flag --" + strings.ReplaceAll(name, "_", "-"),
		}
	}
	return flags
}

func (p *parser) readConf() layer {
	conf := make(layer)
	if p.src.File == "" {
		return conf
	}
	data, err := p.src.ReadFile(p.src.File)
	if err != nil {
		p.fault(raw{file: p.src.File}, "", "read file: "+err.Error(), "")
		return conf
	}
	assignments, faults := parseConf(p.src.File, data)
	p.faults = append(p.faults, faults...)
	for _, a := range assignments {
		conf[a.key] = raw{
			value: a.value, origin: fmt.Sprintf("%s:%d", p.src.File, a.line), file: p.src.File, line: a.line, column: a.column,
		}
	}
	return conf
}

// lookup gives the strongest value of one name. An empty value hides weaker ones and is none itself.
func (p *parser) lookup(name string) (raw, bool) {
	for _, l := range p.layers {
		if r, ok := l[name]; ok {
			return r, r.value != ""
		}
	}
	return raw{}, false
}

// decode finds one setting's value, sets it and writes down its entry.
func (p *parser) decode(k *key, d *draft) {
	entry := Entry{Key: k.name, Value: k.def, Origin: "default", Secret: k.secret}
	if k.name == "prefix" {
		entry.Value = defaultPrefix(p.src.Environ)
	}
	at := raw{value: entry.Value, origin: entry.Origin}
	winner := ""
	for _, name := range k.names() {
		r, ok := p.lookup(name)
		if !ok {
			continue
		}
		switch deprecated := k.old && slices.Contains(k.under, name); {
		case winner != "":
			p.warn(r.origin, name, "is ignored, since %s is set", winner)
			continue
		case deprecated:
			p.warn(r.origin, name, "is deprecated; its name is %s now", k.name)
		}
		winner, at = name, r
		p.chosen[k.name] = r
	}
	entry.Value, entry.Origin = shown(k, at.value), at.origin
	p.entries = append(p.entries, entry)
	if at.value == "" {
		return
	}
	if winner == "" {
		winner = k.name
	}
	if strings.HasPrefix(at.value, "{vault://") {
		p.fault(at, winner, "references to vaults are not resolved", "the value itself, or KONG_X_FILE with the path of a file that holds it")
		return
	}
	if err := k.set(d, at.value); err != nil {
		p.invalid(k, winner, at, err)
	}
}

// masked stands for a secret. Kong: kong/conf_loader/constants.lua CONF_SENSITIVE_PLACEHOLDER
const masked = "******"

// shown is what an entry shows of a value. PEM text is masked wherever it stands, since a certificate's may have its
// key behind it.
func shown(k *key, value string) string {
	inline := func(item string) bool { return strings.Contains(pemOrPath(item), pemMark) }
	if value != "" && k.secret || slices.ContainsFunc(splitList(value), inline) {
		return masked
	}
	return value
}

// invalid reports a decoder's error without giving a secret away.
func (p *parser) invalid(k *key, name string, at raw, err error) {
	problem, allowed := "the value is not valid", ""
	var bad *invalid
	if errors.As(err, &bad) {
		problem, allowed = bad.text(k.secret), bad.allowed
	}
	if at.file != "" && strings.ContainsAny(at.value[:1], `"'`) {
		problem += " (quotes are part of the value)"
	}
	p.fault(at, name, problem, allowed)
}

// reportOthers names what was set and is not honoured, once each.
func (p *parser) reportOthers() {
	seen := make(map[string]bool)
	var names []string
	for _, l := range p.layers {
		for name := range l {
			if honoured[name] == nil && !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		r, ok := p.lookup(name)
		reason, accepted := meaningless(name)
		switch {
		case p.isFlag(r):
			p.fault(r, name, "there is no such setting", "")
		case accepted && ok:
			p.warn(r.origin, name, "has no effect: %s", reason)
			p.entries = append(p.entries, Entry{Key: name, Origin: r.origin, Note: reason})
		case !accepted:
			p.warnUnknown(r.origin, name)
		}
	}
}

func (p *parser) isFlag(r raw) bool { return strings.HasPrefix(r.origin, "flag ") }

func (p *parser) warnUnknown(origin, name string) {
	if near := nearest(strings.ToLower(name)); near != "" {
		p.warn(origin, name, "is not a setting; did you mean %s?", near)
		return
	}
	p.warn(origin, name, "is not a setting")
}

// assemble puts together what more than one key says, and checks it.
func (p *parser) assemble(d *draft) {
	d.SSL = p.pairs("ssl_cert", d.ssl, d.ProxyListen)
	d.AdminSSL = p.pairs("admin_ssl_cert", d.adminSSL, d.AdminListen)
	d.AdminGUISSL = p.pairs("admin_gui_ssl_cert", d.guiSSL, d.AdminGUIListen)
	d.StatusSSL = p.pairs("status_ssl_cert", d.status, d.StatusListen)
	if d.ClientSSL && (d.ClientSSLKeyPair.Cert == "") != (d.ClientSSLKeyPair.Key == "") {
		p.oneSided("client_ssl_cert", d.ClientSSLKeyPair.Cert == "")
	}
	if d.suite == "custom" {
		d.SSLMinVersion, d.SSLMaxVersion = d.lowestTLS, d.highestTLS
	} else {
		d.SSLMinVersion, d.SSLMaxVersion, _ = parseProtocols(suiteProtocols(d.suite))
		if at, ok := p.chosen["ssl_protocols"]; ok {
			p.warn(at.origin, "ssl_protocols", "has no effect: ssl_cipher_suite is not custom")
		}
	}
	p.assembleDNS(d)
	if d.RealIPHeader == "proxy_protocol" && !slices.ContainsFunc(d.ProxyListen, func(l Listener) bool { return l.ProxyProtocol }) {
		p.warn(p.origin("real_ip_header"), "real_ip_header", "has no effect: no address of proxy_listen has proxy_protocol")
	}
	if len(d.DeclarativeConfig) > 0 && d.DeclarativeConfigString != "" {
		p.warn(p.origin("declarative_config_string"), "declarative_config_string", "is ignored, since declarative_config is set")
		d.DeclarativeConfigString = ""
	}
	switch {
	case d.ProxyAccessLog == "off":
		d.ProxyAccessLog = ""
	case d.ProxyAccessLog != "" && !filepath.IsAbs(d.ProxyAccessLog):
		d.ProxyAccessLog = filepath.Join(d.Prefix, d.ProxyAccessLog)
	}
	if d.Database == "" {
		d.Database = "sqlite"
		if len(d.DeclarativeConfig) > 0 || d.DeclarativeConfigString != "" {
			d.Database = "off"
		}
	}
	p.checkAddresses(d)
}

func (p *parser) origin(name string) string {
	if at, ok := p.chosen[name]; ok {
		return at.origin
	}
	return "default"
}

// pairs matches certificates with keys. As in Kong only a setting with a TLS address is checked.
func (p *parser) pairs(name string, given certAndKey, listeners []Listener) []KeyPair {
	if !slices.ContainsFunc(listeners, func(l Listener) bool { return l.SSL }) {
		return nil
	}
	if (len(given.cert) == 0) != (len(given.key) == 0) {
		p.oneSided(name, len(given.cert) == 0)
		return nil
	}
	if len(given.cert) != len(given.key) {
		p.fault(p.chosen[name+"_key"], name+"_key", fmt.Sprintf("%d keys are given for %d certificates", len(given.key), len(given.cert)),
			"as many keys as certificates, in the same order")
		return nil
	}
	var pairs []KeyPair
	for i := range given.cert {
		pairs = append(pairs, KeyPair{Cert: given.cert[i], Key: given.key[i]})
	}
	return pairs
}

// oneSided reports a certificate without a key or a key without a certificate.
func (p *parser) oneSided(name string, certMissing bool) {
	given, missing := name, name+"_key"
	if certMissing {
		given, missing = missing, given
	}
	p.fault(p.chosen[given], given, missing+" is missing", "both or neither")
}

// assembleDNS chooses between Kong's two resolvers. The newer one has one time for all failures.
func (p *parser) assembleDNS(d *draft) {
	d.DNS = d.legacyDNS
	idle, use := "resolver_", "on"
	if d.newDNS {
		d.DNS = d.resolver
		d.DNS.NewClient, d.DNS.NotFoundTTL = true, d.resolver.ErrorTTL
		idle, use = "dns_", "off"
	}
	for i := range keys {
		if at, ok := p.chosen[keys[i].name]; ok && strings.HasPrefix(keys[i].name, idle) {
			p.warn(at.origin, keys[i].name, "has no effect unless new_dns_client is %s", use)
		}
	}
}

// checkAddresses refuses an address that two settings listen on.
func (p *parser) checkAddresses(d *draft) {
	taken := make(map[string]string)
	for _, l := range []struct {
		name      string
		listeners []Listener
	}{
		{"proxy_listen", d.ProxyListen},
		{"admin_listen", d.AdminListen},
		{"admin_gui_listen", d.AdminGUIListen},
		{"status_listen", d.StatusListen},
	} {
		for _, address := range l.listeners {
			first, twice := taken[address.Address]
			if strings.HasSuffix(address.Address, ":0") {
				continue // a free port each
			}
			if !twice {
				taken[address.Address] = l.name
				continue
			}
			name, other := l.name, first
			if _, set := p.chosen[name]; !set {
				name, other = other, name // the one that was set is the one to change
			}
			p.fault(p.chosen[name], name, address.Address+" is also an address of "+other, "")
		}
	}
}

package settings

import (
	"regexp"
	"slices"
	"strings"
)

// readEnviron collects KONG_X, KONG_X_FILE and, for our own settings, SIDEKONG_X and SIDEKONG_X_FILE.
//
// Names are upper case, as in Kong. A variable that is itself a setting's, such as KONG_RESOLVER_HOSTS_FILE, is not read
// as the file of another.
func (p *parser) readEnviron() layer {
	env := make(layer)
	variables := make(map[string]string)
	var names []string
	for _, entry := range p.src.Environ {
		name, value, ok := strings.Cut(entry, "=")
		if _, twice := variables[name]; !ok || twice {
			continue
		}
		variables[name] = strings.TrimSpace(value)
		names = append(names, name)
	}
	// The descending order puts SIDEKONG_ before KONG_, and X_FILE before X.
	slices.Sort(names)
	slices.Reverse(names)
	for _, variable := range names {
		name, ours := strings.CutPrefix(variable, "SIDEKONG_")
		if !ours {
			var kongs bool
			if name, kongs = strings.CutPrefix(variable, "KONG_"); !kongs {
				continue
			}
		}
		p.readVariable(env, variables, variable, name, ours)
	}
	return env
}

// readVariable puts one variable into env, or says why not.
func (p *parser) readVariable(env layer, variables map[string]string, variable, name string, ours bool) {
	value := variables[variable]
	at := raw{value: value, origin: "environment " + variable}
	setting := strings.ToLower(name)
	file := false
	if base, ok := strings.CutSuffix(setting, "_file"); ok && (honoured[base] != nil || !known(setting) && known(base)) {
		setting, file = base, true
	}
	k := honoured[setting]
	switch {
	case ours && known(setting) && (k == nil || !k.own):
		p.warn(at.origin, setting, "is Kong's setting and has no effect; its variable is KONG_%s", name)
		return
	case name != strings.ToUpper(name), ours && k == nil:
		p.warnUnknown(at.origin, setting)
		return
	case !known(setting) && isServiceLink(name, value):
		return
	case file && value == "":
		return
	case file && k != nil:
		if variables[strings.TrimSuffix(variable, "_FILE")] != "" {
			p.fault(at, setting, "is given twice, as a value and as a file",
				"one of "+strings.TrimSuffix(variable, "_FILE")+" and "+variable)
			return
		}
		data, err := p.src.ReadFile(value)
		if err != nil {
			p.fault(at, setting, "read file: "+err.Error(), "")
			return
		}
		at.value = strings.TrimSpace(string(data))
	}
	if before, ok := env[setting]; ok && before.value != "" {
		if at.value != "" {
			p.warn(at.origin, setting, "is ignored, since %s is set", strings.TrimPrefix(before.origin, "environment "))
		}
		return
	}
	env[setting] = at
}

// serviceLink is the shape of the variables that Kubernetes and Docker make from the name of a service, such as
// KONG_PROXY_SERVICE_HOST and KONG_PROXY_PORT_80_TCP_ADDR for one called kong-proxy.
var serviceLink = regexp.MustCompile(`^(|[A-Z0-9_]+_)(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(ADDR|PORT|PROTO))?)?)$`)

// isServiceLink reports whether a variable comes from the platform and not from an operator.
func isServiceLink(name, value string) bool {
	if !serviceLink.MatchString(name) {
		return false
	}
	return !strings.HasSuffix(name, "PORT") || strings.Contains(name, "SERVICE_PORT") || strings.Contains(value, "://") ||
		strings.HasSuffix(name, "_TCP_PORT") || strings.HasSuffix(name, "_UDP_PORT") || strings.HasSuffix(name, "_SCTP_PORT")
}

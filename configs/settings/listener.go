package settings

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Listener is one address of a *_listen setting with its flags.
type Listener struct {
	Address       string // host:port as net.Listen takes it; IPv6 in brackets
	SSL           bool   // every connection is TLS
	HTTP2         bool   // with SSL offered by ALPN, without it accepted in the clear
	ReusePort     bool
	ProxyProtocol bool // every connection begins with a PROXY header
	Deferred      bool // accept once data is there, where the system can
	Bind          bool
	Backlog       int  // connections that may wait; 0 = the system's choice
	IPv6Only      bool // an IPv6 wildcard takes no IPv4; true for every IPv6 address without ipv6only=off
	// KeepAlive is TCP keep-alive as so_keepalive says; nil leaves it as the system and Go have it. A zero time in it
	// is the system's.
	KeepAlive *net.KeepAliveConfig
}

const listenerForm = "off, or address:port [ssl] [http2] [proxy_protocol] [deferred] [bind] [reuseport] [backlog=N] " +
	"[ipv6only=on|off] [so_keepalive=on|off|idle:interval:count], several separated by commas"

// parseListeners reads a *_listen setting; off gives none.
// Kong: kong/conf_loader/listeners.lua parse_listeners
func parseListeners(value string) ([]Listener, error) {
	entries := splitList(value)
	if len(entries) == 1 && entries[0] == "off" {
		return nil, nil
	}
	var listeners []Listener
	seen := make(map[string]bool)
	for _, entry := range entries {
		l, err := parseListener(entry)
		if err != nil {
			return nil, err
		}
		if seen[l.Address] && !strings.HasSuffix(l.Address, ":0") {
			return nil, &invalid{entry, "repeats an address", ""}
		}
		seen[l.Address] = true
		listeners = append(listeners, l)
	}
	if len(listeners) == 0 {
		return nil, &invalid{value, "names no address", listenerForm}
	}
	return listeners, nil
}

// parseListener reads one entry. Flags may stand on either side of the address.
func parseListener(entry string) (Listener, error) {
	var (
		l        Listener
		address  string
		ipv6only string
	)
	for word := range strings.FieldsSeq(entry) {
		name, arg, hasArg := strings.Cut(word, "=")
		var err error
		switch {
		case word == "ssl":
			l.SSL = true
		case word == "http2":
			l.HTTP2 = true
		case word == "proxy_protocol":
			l.ProxyProtocol = true
		case word == "deferred":
			l.Deferred = true
		case word == "bind":
			l.Bind = true
		case word == "reuseport":
			l.ReusePort = true
		case word == "off":
			err = &invalid{entry, "mixes off with an address", listenerForm}
		case hasArg && name == "backlog":
			l.Backlog, err = parseInt(arg, 1, 1<<31-1)
		case hasArg && name == "ipv6only":
			ipv6only, err = arg, oneOf(arg, "on", "off")
		case hasArg && name == "so_keepalive":
			l.KeepAlive, err = parseKeepAlive(arg)
		case address == "" && !hasArg:
			address = word
		default:
			err = &invalid{word, "is not a flag of an address", listenerForm}
		}
		if err != nil {
			return Listener{}, err
		}
	}
	var v6 bool
	var err error
	if l.Address, v6, err = parseAddress(address, entry); err != nil {
		return Listener{}, err
	}
	if ipv6only != "" && !v6 {
		return Listener{}, &invalid{entry, "has ipv6only without an IPv6 address", ""}
	}
	l.IPv6Only = v6 && ipv6only != "off"
	return l, nil
}

// parseAddress checks host:port and gives it as net.Listen wants it. A * is every IPv4 address, as in nginx.
func parseAddress(address, entry string) (normal string, v6 bool, err error) {
	host, port, splitErr := net.SplitHostPort(address)
	if splitErr != nil || host == "" {
		return "", false, &invalid{entry, "is not an address with a port", listenerForm}
	}
	number, portErr := parseInt(port, 0, 65535)
	if portErr != nil {
		return "", false, &invalid{entry, "has no port from 0 to 65535", listenerForm}
	}
	ip, ipErr := netip.ParseAddr(host)
	switch {
	case ipErr == nil:
		host, v6 = ip.String(), ip.Is6()
	case host == "*":
		host = "0.0.0.0"
	case strings.HasPrefix(address, "[") || !isHostName(host):
		return "", false, &invalid{entry, "has neither an IP address nor a host name", listenerForm}
	}
	return net.JoinHostPort(host, strconv.Itoa(number)), v6, nil
}

// isHostName reports whether name can be a DNS name that is not just a mistyped IPv4 address.
func isHostName(name string) bool {
	name = strings.TrimSuffix(name, ".")
	if name == "" || len(name) > 253 {
		return false
	}
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// parseKeepAlive reads so_keepalive: on, off, or idle:interval:count of which any may be missing.
func parseKeepAlive(arg string) (*net.KeepAliveConfig, error) {
	switch arg {
	case "on":
		return &net.KeepAliveConfig{Enable: true}, nil
	case "off":
		return &net.KeepAliveConfig{}, nil
	}
	bad := &invalid{"so_keepalive=" + arg, "is not a keep-alive", "on, off, idle:interval:count"}
	parts := strings.Split(arg, ":")
	if len(parts) != 3 || arg == "::" {
		return nil, bad
	}
	config := &net.KeepAliveConfig{Enable: true}
	for i, part := range parts {
		if part == "" {
			continue
		}
		unit := time.Second
		if i < 2 {
			part, unit = cutTimeUnit(part)
		}
		n, err := parseInt(part, 1, 1<<20)
		if err != nil {
			return nil, bad
		}
		switch i {
		case 0:
			config.Idle = time.Duration(n) * unit
		case 1:
			config.Interval = time.Duration(n) * unit
		case 2:
			config.Count = n
		}
	}
	return config, nil
}

// cutTimeUnit takes nginx's unit off a time: s, m or h, seconds without one.
func cutTimeUnit(text string) (number string, unit time.Duration) {
	switch text[len(text)-1] {
	case 's':
		return text[:len(text)-1], time.Second
	case 'm':
		return text[:len(text)-1], time.Minute
	case 'h':
		return text[:len(text)-1], time.Hour
	}
	return text, time.Second
}

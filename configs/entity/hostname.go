package entity

import (
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// hostKind is what a host is taken for by its looks alone.
type hostKind int

const (
	hostName hostKind = iota
	hostIPv4
	hostIPv6
)

// hostPort is a host with an optional port, in normal form: IPv4 without leading zeros, IPv6 expanded and without
// brackets, names as they came.
type hostPort struct {
	kind hostKind
	host string
	port int // -1 if there is none
}

const errPort = "invalid port number"

var (
	digitsAndDots = regexp.MustCompile(`^[0-9.]+$`)
	ipv4Pattern   = regexp.MustCompile(`^([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})(?::([0-9]+))?$`)
	ipv6Pattern   = regexp.MustCompile(`^[0-9A-Fa-f]{1,4}(:[0-9A-Fa-f]{1,4}){7}$`)
	namePattern   = regexp.MustCompile(`^[0-9A-Za-z.\-_]+$`)
	namePort      = regexp.MustCompile(`:([0-9]+)$`)
)

// parseHost splits and checks a host with an optional port; a text says what is wrong with it.
// Kong: kong/tools/ip.lua normalize_ip
func parseHost(address string) (hostPort, string) {
	switch {
	case strings.Count(address, ":") > 1:
		return parseIPv6(address)
	case digitsAndDots.MatchString(strings.ReplaceAll(address, ":", "")):
		return parseIPv4(address)
	}
	return parseName(address)
}

// Kong: kong/tools/ip.lua normalize_ipv4
func parseIPv4(address string) (hostPort, string) {
	parts := ipv4Pattern.FindStringSubmatch(address)
	if parts == nil {
		return hostPort{}, "invalid ipv4 address: " + address
	}
	octets := make([]string, 4)
	for i, part := range parts[1:5] {
		n, _ := strconv.Atoi(part)
		if n > 255 {
			return hostPort{}, "invalid ipv4 address: " + address
		}
		octets[i] = strconv.Itoa(n)
	}
	port, ok := parsePort(parts[5])
	if !ok {
		return hostPort{}, errPort
	}
	return hostPort{hostIPv4, strings.Join(octets, "."), port}, ""
}

// Kong: kong/tools/ip.lua normalize_ipv6
func parseIPv6(address string) (hostPort, string) {
	check, port := address, -1
	if inner, ok := strings.CutPrefix(address, "["); ok {
		inside, rest, closed := strings.Cut(inner, "]")
		if closed {
			check = inside
			if rest != "" {
				digits, ok := strings.CutPrefix(rest, ":")
				if !ok || digits == "" || strings.Trim(digits, "0123456789") != "" {
					return hostPort{}, "invalid ipv6 address"
				}
				if port, ok = parsePort(digits); !ok {
					return hostPort{}, errPort
				}
			}
		}
	}
	if strings.HasPrefix(check, ":") {
		check = "0" + check
	}
	if strings.HasSuffix(check, ":") {
		check += "0"
	}
	if strings.Contains(check, "::") {
		zeros := max(8-strings.Count(check, ":"), 0)
		check = strings.Replace(check, "::", ":"+strings.Repeat("0:", zeros), 1)
	}
	if !ipv6Pattern.MatchString(check) {
		return hostPort{}, "invalid ipv6 address: " + address
	}
	groups := strings.Split(strings.ToLower(check), ":")
	for i, group := range groups {
		groups[i] = strings.Repeat("0", 4-len(group)) + group
	}
	return hostPort{hostIPv6, strings.Join(groups, ":"), port}, ""
}

// Kong: kong/tools/ip.lua check_hostname
func parseName(address string) (hostPort, string) {
	name, port := address, -1
	if match := namePort.FindStringSubmatch(address); match != nil {
		name = strings.TrimSuffix(address, match[0])
		var ok bool
		if port, ok = parsePort(match[1]); !ok {
			return hostPort{}, errPort
		}
	}
	if !namePattern.MatchString(name) {
		return hostPort{}, "invalid hostname: " + address
	}
	labels := strings.Split(name, ".")
	for i, label := range labels {
		if strings.HasSuffix(label, "-") || label == "" && i != len(labels)-1 {
			return hostPort{}, "invalid hostname: " + address
		}
	}
	return hostPort{hostName, name, port}, ""
}

func parsePort(digits string) (int, bool) {
	if digits == "" {
		return -1, true
	}
	port, err := strconv.ParseUint(digits, 10, 64)
	return int(port), err == nil && port <= 65535
}

// withPort writes host:port, with brackets for IPv6. Kong: kong/tools/ip.lua format_host
func (h hostPort) withPort(missing int) string {
	port := h.port
	if port < 0 {
		port = missing
	}
	if h.kind == hostIPv6 {
		return fmt.Sprintf("[%s]:%d", h.host, port)
	}
	return fmt.Sprintf("%s:%d", h.host, port)
}

// Kong: kong/db/schema/typedefs.lua validate_host
func checkHost(host string) string {
	parsed, text := parseHost(host)
	switch {
	case text == errPort || text == "" && parsed.port >= 0:
		return "must not have a port"
	case text != "":
		return "invalid value: " + host
	}
	return ""
}

// Kong: kong/db/schema/typedefs.lua validate_sni
func checkSNI(host string) string {
	parsed, text := parseHost(host)
	switch {
	case text != "" && text != errPort:
		return "invalid value: " + host
	case text == "" && parsed.kind != hostName:
		return "must not be an IP"
	case text == errPort || parsed.port >= 0:
		return "must not have a port"
	}
	return ""
}

// Kong: kong/db/schema/typedefs.lua validate_wildcard_host
func checkWildcardHost(host string) string {
	if i := strings.Index(host, "*"); i >= 0 {
		if i != 0 && i != len(host)-1 {
			return "wildcard must be leftmost or rightmost character"
		}
		if strings.Count(host, "*") > 1 {
			return "only one wildcard must be specified"
		}
		host = strings.Replace(host, "*", "wildcard", 1)
	}
	return checkSNI(host)
}

// Kong: kong/db/schema/typedefs.lua validate_host_with_optional_port
func checkHostPort(host string) string {
	_, text := parseHost(host)
	return text
}

// Kong: kong/db/schema/typedefs.lua validate_host_with_wildcards
func checkRouteHost(host string) string {
	return checkHostPort(strings.ReplaceAll(host, "*", "abc"))
}

// Kong: kong/tools/ip.lua is_valid_ip_or_cidr
func checkCIDR(text string) string {
	address, bits, ranged := strings.Cut(text, "/")
	address = strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	ip, err := netip.ParseAddr(address)
	valid := err == nil && ip.Zone() == ""
	if ranged && valid {
		n, err := strconv.Atoi(bits)
		valid = err == nil && strconv.Itoa(n) == bits && n >= 0 && n <= ip.BitLen()
	}
	if !valid {
		return "invalid ip or cidr range: '" + text + "'"
	}
	return ""
}

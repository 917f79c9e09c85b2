package settings

import (
	"crypto/tls"
	"encoding/base64"
	"math"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// splitList splits at commas, trims, and drops what is empty.
func splitList(value string) []string {
	var list []string
	for item := range strings.SplitSeq(value, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}

// oneOf checks an enumeration. Kong compares with regard to case.
func oneOf(value string, allowed ...string) error {
	if slices.Contains(allowed, value) {
		return nil
	}
	return &invalid{value, "is not one of the values", strings.Join(allowed, ", ")}
}

// parseBool reads Kong's boolean. Kong takes what it does not know for off; here that is an error.
func parseBool(value string) (bool, error) {
	switch value {
	case "on", "true":
		return true, nil
	case "off", "false":
		return false, nil
	}
	return false, &invalid{value, "is neither on nor off", "on, off"}
}

// parseInt reads a decimal whole number from low to high.
func parseInt(value string, low, high int) (int, error) {
	n, err := strconv.Atoi(value)
	if err != nil || n < low || n > high {
		return 0, &invalid{value, "is not a whole number in range", strconv.Itoa(low) + " to " + strconv.Itoa(high)}
	}
	return n, nil
}

// parseRate reads a number from 0 to 1.
func parseRate(value string) (float64, error) {
	rate, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(rate) || rate < 0 || rate > 1 {
		return 0, &invalid{value, "is not a number in range", "0 to 1"}
	}
	return rate, nil
}

// maxSeconds bounds a time in seconds: about 31 years, far inside a time.Duration.
const maxSeconds = 1_000_000_000

// parseSeconds reads a number of seconds; a fraction is welcome.
func parseSeconds(value string) (time.Duration, error) {
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || math.IsNaN(seconds) || seconds < 0 || seconds > maxSeconds {
		return 0, &invalid{value, "is not a number of seconds in range", "0 to " + strconv.Itoa(maxSeconds)}
	}
	return time.Duration(math.Round(seconds * float64(time.Second))), nil
}

func parseMilliseconds(value string) (time.Duration, error) {
	n, err := parseInt(value, 0, 1<<31-1)
	return time.Duration(n) * time.Millisecond, err
}

// parseTime reads nginx's time: seconds, or numbers with ms, s, m, h, d, w, M or y behind them, the greatest unit first.
// nginx: ngx_parse_time
func parseTime(value string) (time.Duration, error) {
	units := []struct {
		name   string
		length time.Duration
	}{
		{"y", 365 * 24 * time.Hour},
		{"M", 30 * 24 * time.Hour},
		{"w", 7 * 24 * time.Hour},
		{"d", 24 * time.Hour},
		{"h", time.Hour},
		{"m", time.Minute},
		{"s", time.Second},
		{"ms", time.Millisecond},
	}
	bad := &invalid{value, "is not a time", "seconds, or numbers with ms, s, m, h, d, w, M or y behind them, such as 90s or 1m 30s"}
	var sum time.Duration
	for part := range strings.FieldsSeq(splitUnits(value)) {
		number := strings.TrimRight(part, "abcdefghijklmnopqrstuvwxyzM")
		name := part[len(number):]
		if name == "" {
			name = "s"
		}
		i := slices.IndexFunc(units, func(u struct {
			name   string
			length time.Duration
		},
		) bool {
			return u.name == name
		})
		n, err := strconv.ParseUint(number, 10, 31)
		if i < 0 || err != nil || time.Duration(n) > maxSeconds*time.Second/units[i].length {
			return 0, bad
		}
		sum += time.Duration(n) * units[i].length
		units = units[i+1:]
	}
	if value == "" || sum > maxSeconds*time.Second {
		return 0, bad
	}
	return sum, nil
}

// splitUnits puts a space behind every unit: 1m30s becomes 1m 30s.
func splitUnits(value string) string {
	var b strings.Builder
	for i, c := range []byte(value) {
		if i > 0 && c >= '0' && c <= '9' && (value[i-1] < '0' || value[i-1] > '9') {
			b.WriteByte(' ')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// parseHeaderBuffers reads a number of buffers and their size.
func parseHeaderBuffers(value string) (HeaderBuffers, error) {
	number, size, _ := strings.Cut(value, " ")
	n, err := strconv.Atoi(number)
	bytes, sizeErr := parseSize(strings.TrimSpace(size))
	if err != nil || sizeErr != nil || n < 1 || n > 1024 || bytes < 128 || bytes > 16<<20 {
		return HeaderBuffers{}, &invalid{value, "is not a number of buffers and their size", `such as "4 8k"; 1 to 1024 of 128 bytes to 16m`}
	}
	return HeaderBuffers{Number: n, Size: int(bytes)}, nil
}

// parseSize reads nginx's size: bytes, or with k, m or g behind the number.
func parseSize(value string) (int64, error) {
	bad := &invalid{value, "is not a size", "a whole number of bytes, or of kilo-, mega- or gigabytes with k, m or g behind it"}
	number, shift := value, 0
	if value != "" {
		switch value[len(value)-1] {
		case 'k', 'K':
			shift = 10
		case 'm', 'M':
			shift = 20
		case 'g', 'G':
			shift = 30
		}
	}
	if shift > 0 {
		number = value[:len(value)-1]
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > math.MaxInt64>>shift {
		return 0, bad
	}
	return int64(n) << shift, nil
}

// parseTrusted reads addresses and blocks. Unix sockets have no address to trust, so "unix:" adds nothing.
func parseTrusted(value string) ([]netip.Prefix, error) {
	var prefixes []netip.Prefix
	for _, item := range splitList(value) {
		if item == "unix:" {
			continue
		}
		prefix, err := netip.ParsePrefix(item)
		if err != nil {
			addr, addrErr := netip.ParseAddr(item)
			if addrErr != nil || addr.Zone() != "" {
				return nil, &invalid{item, "is neither an IP address nor a block of them", "192.0.2.1, 192.0.2.0/24, 2001:db8::/32, unix:"}
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		if prefix.Addr().Is4In6() && prefix.Bits() >= 96 {
			prefix = netip.PrefixFrom(prefix.Addr().Unmap(), prefix.Bits()-96)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}

// parseNameservers reads addresses with or without a port; the port is 53 where there is none.
func parseNameservers(value string) ([]netip.AddrPort, error) {
	var servers []netip.AddrPort
	for _, item := range splitList(value) {
		server, err := netip.ParseAddrPort(item)
		if err != nil {
			bare := item
			if strings.HasPrefix(item, "[") && strings.HasSuffix(item, "]") {
				bare = item[1 : len(item)-1]
			}
			addr, addrErr := netip.ParseAddr(bare)
			if addrErr != nil {
				return nil, &invalid{item, "is not the address of a name server", "192.0.2.1, 192.0.2.1:53, [2001:db8::1], [2001:db8::1]:53"}
			}
			server = netip.AddrPortFrom(addr, 53)
		}
		if server.Port() == 0 {
			return nil, &invalid{item, "has port 0", "1 to 65535"}
		}
		servers = append(servers, server)
	}
	return servers, nil
}

// parseRecordTypes reads the order of DNS record types, without regard to case.
func parseRecordTypes(value string, allowed ...string) ([]string, error) {
	var order []string
	for _, item := range splitList(strings.ToUpper(value)) {
		if err := oneOf(item, allowed...); err != nil {
			return nil, err
		}
		if !slices.Contains(order, item) {
			order = append(order, item)
		}
	}
	if len(order) == 0 {
		return nil, &invalid{value, "names no record type", strings.Join(allowed, ", ")}
	}
	return order, nil
}

// instrumentations are the values of tracing_instrumentations: Kong's, then ours.
var instrumentations = []string{
	"off", "all", "request",
	"db_query", "router", "http_client", "balancer", "plugin_rewrite", "plugin_access", "plugin_header_filter", "dns_query",
	"upstream", "plugin_body_filter", "plugin_log",
}

// parseInstrumentations reads what to trace. Kong: kong/conf_loader/parse.lua check_and_parse
func parseInstrumentations(value string) ([]string, error) {
	var list []string
	for _, item := range splitList(value) {
		if err := oneOf(item, instrumentations...); err != nil {
			return nil, err
		}
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	if len(list) == 0 {
		return nil, &invalid{value, "names nothing", strings.Join(instrumentations, ", ")}
	}
	if len(list) > 1 && slices.Contains(list, "off") {
		return nil, &invalid{value, "mixes off with other values", "off alone, or any of the others"}
	}
	return list, nil
}

const headerTokens = "off, server_tokens, latency_tokens, Server, Via, X-Kong-Proxy-Latency, X-Kong-Response-Latency, " +
	"X-Kong-Upstream-Latency, X-Kong-Admin-Latency, X-Kong-Upstream-Status, X-Kong-Request-Id"

// parseHeaders reads the headers for answers. As in Kong off counts only where it stands first, and then alone.
func parseHeaders(value string) (ResponseHeaders, error) {
	var h ResponseHeaders
	list := splitList(value)
	for _, item := range list {
		switch strings.ToLower(item) {
		case "server_tokens":
			h.Server, h.Via = true, true
		case "latency_tokens":
			h.ProxyLatency, h.ResponseLatency, h.UpstreamLatency, h.AdminLatency = true, true, true, true
		case "server":
			h.Server = true
		case "via":
			h.Via = true
		case "x-kong-proxy-latency":
			h.ProxyLatency = true
		case "x-kong-response-latency":
			h.ResponseLatency = true
		case "x-kong-upstream-latency":
			h.UpstreamLatency = true
		case "x-kong-admin-latency":
			h.AdminLatency = true
		case "x-kong-upstream-status":
			h.UpstreamStatus = true
		case "x-kong-request-id":
			h.RequestID = true
		case "off":
		default:
			return ResponseHeaders{}, &invalid{item, "is not a header to send", headerTokens}
		}
	}
	if len(list) > 0 && strings.EqualFold(list[0], "off") {
		return ResponseHeaders{}, nil
	}
	return h, nil
}

// parseUpstreamHeaders reads the headers for requests to upstreams.
func parseUpstreamHeaders(value string) (UpstreamHeaders, error) {
	var h UpstreamHeaders
	list := splitList(value)
	for _, item := range list {
		switch strings.ToLower(item) {
		case "x-kong-request-id":
			h.RequestID = true
		case "off":
		default:
			return UpstreamHeaders{}, &invalid{item, "is not a header to send", "off, X-Kong-Request-Id"}
		}
	}
	if len(list) > 0 && strings.EqualFold(list[0], "off") {
		return UpstreamHeaders{}, nil
	}
	return h, nil
}

// parseHeaderName reads the name of a header field.
func parseHeaderName(value string) (string, error) {
	for _, c := range []byte(value) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return "", &invalid{value, "is not the name of a header", "X-Real-IP, X-Forwarded-For, another header, proxy_protocol"}
		}
	}
	return value, nil
}

// parsePortMaps reads outside:listening pairs into listening → outside.
func parsePortMaps(value string) (map[int]int, error) {
	maps := make(map[int]int)
	for _, item := range splitList(value) {
		outside, listening, _ := strings.Cut(item, ":")
		from, err := parseInt(outside, 1, 65535)
		to, err2 := parseInt(listening, 1, 65535)
		if err != nil || err2 != nil {
			return nil, &invalid{item, "is not a pair of ports", "80:8000, the port that clients see before the one listened on"}
		}
		maps[to] = from
	}
	return maps, nil
}

// parseProtocols reads ssl_protocols into the lowest and the highest TLS version.
func parseProtocols(value string) (lowest, highest uint16, err error) {
	versions := map[string]uint16{
		"TLSv1": tls.VersionTLS10, "TLSv1.1": tls.VersionTLS11, "TLSv1.2": tls.VersionTLS12, "TLSv1.3": tls.VersionTLS13,
	}
	for word := range strings.FieldsSeq(value) {
		version, ok := versions[word]
		if !ok {
			return 0, 0, &invalid{word, "is not a TLS version that can be spoken", "TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"}
		}
		if lowest == 0 || version < lowest {
			lowest = version
		}
		highest = max(highest, version)
	}
	if lowest == 0 {
		return 0, 0, &invalid{value, "names no TLS version", "TLSv1, TLSv1.1, TLSv1.2, TLSv1.3"}
	}
	return lowest, highest, nil
}

// suiteProtocols gives the TLS versions of a cipher suite's name. Kong: kong/conf_loader/constants.lua CIPHER_SUITES
func suiteProtocols(suite string) string {
	switch suite {
	case "modern":
		return "TLSv1.3"
	case "old":
		return "TLSv1 TLSv1.1 TLSv1.2 TLSv1.3"
	case "fips":
		return "TLSv1.2"
	}
	return "TLSv1.2 TLSv1.3"
}

const pemMark = "-----BEGIN"

// pemOrPath gives PEM for PEM and for base64 of PEM; anything else is a path.
func pemOrPath(value string) string {
	if strings.Contains(value, pemMark) {
		return value
	}
	if decoded, err := base64.StdEncoding.DecodeString(value); err == nil && strings.Contains(string(decoded), pemMark) {
		return string(decoded)
	}
	return value
}

func pemOrPaths(value string) []string {
	list := splitList(value)
	for i := range list {
		list[i] = pemOrPath(list[i])
	}
	return list
}

// parseUUID reads a UUID in its usual form and gives it in lower case.
func parseUUID(value string) (string, error) {
	id := strings.ToLower(value)
	ok := len(id) == 36
	for i := 0; ok && i < len(id); i++ {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			ok = id[i] == '-'
		} else {
			ok = strings.IndexByte("0123456789abcdef", id[i]) >= 0
		}
	}
	if !ok {
		return "", &invalid{value, "is not a UUID", "like 1b4e28ba-2fa1-41d2-883f-0016d3cca427"}
	}
	return id, nil
}

// parseHTTPURL reads the URL of a server, http or https. It does not quote the value, which may hold a password.
func parseHTTPURL(value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", &invalid{"the value", "is no URL of a server", "http://host:port or https://host:port"}
	}
	return value, nil
}
